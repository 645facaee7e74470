"""The identity of irreversible calls, and the messages to a claim."""

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airlock.admission.call_digest import call_digest, known_digest
from airlock.base.incoming import MalformedMessage
from airlock.gates.claim import SettledByPerson, SettledByPlan, claim_details, parse_settle
from airlock.gates.protocol import Claimed, ClaimOutcome
from airlock.plans.contract import Contract
from airlock.plans.plan import Step
from airlock.plans.refs import UNKNOWN

SEND = Contract(tool="send", risk="HIGH", reversibility="irreversible")
PUT = Contract(tool="send", risk="MEDIUM", reversibility="reversible", has_compensate=True)


def a_step(**more: Any) -> Step:
    return Step(**{"id": "s", "agent": "a", "tool": "send", "confidence": 1.0, **more})


def test_the_digest_is_32_hex_characters_and_never_changes():
    # claims are open for weeks: the same call must have the same id after an upgrade (computed with sha256sum)
    assert call_digest("send", {"to": "jo@acme.test", "body": "hi"}, None) == "3c312015717ff63d375c286a41f3ca32"
    assert call_digest("send", {}, "weekly-17") == "8d810120ca89bb17f41605b4b25b9515"


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (("send", {"a": 1, "b": 2}, None), ("send", {"b": 2, "a": 1}, None), True),
        (("send", {"a": 1}, None), ("send", {"a": 2}, None), False),
        (("send", {"a": 1}, None), ("post", {"a": 1}, None), False),
        (("send", {"a": 1}, "k"), ("send", {"a": 2}, "k"), True),
        (("send", {"a": 1}, "k"), ("send", {"a": 1}, "l"), False),
        (("send", {"a": 1}, "k"), ("post", {"a": 1}, "k"), False),
        (("send", {"dedupe_key": "k"}, None), ("send", {}, "k"), False),
        (("send", {}, None), ("send", {}, "k"), False),
        (("send", {"a": {"$secret": "x"}}, None), ("send", {"a": {"$secret": "y"}}, None), False),
    ],
)
def test_two_calls_are_the_same(one, other, same):
    assert (call_digest(*one) == call_digest(*other)) is same


@given(st.dictionaries(st.text(), st.text() | st.integers()), st.text(min_size=1))
def test_a_key_never_names_the_call_of_any_arguments(args, key):
    assert call_digest("send", args, None) != call_digest("send", {}, key)


def test_a_call_is_known_when_all_its_arguments_are():
    step = a_step(args={"to": {"$ref": "make.email"}, "token": {"$secret": "TOKEN"}, "body": ["hi", {"n": 1}]})
    assert known_digest(step, SEND, {}) is None
    assert known_digest(step, SEND, {"make": {"email": UNKNOWN}}) is None
    resolved = {"to": "jo@acme.test", "token": {"$secret": "TOKEN"}, "body": ["hi", {"n": 1}]}
    assert known_digest(step, SEND, {"make": {"email": "jo@acme.test"}}) == call_digest("send", resolved, None)


def test_a_dedupe_key_stands_for_arguments_nobody_knows_yet():
    step = a_step(args={"to": {"$ref": "make.email"}}, dedupe_key="welcome-acme")
    assert known_digest(step, SEND, {}) == call_digest("send", {"whatever": 1}, "welcome-acme")


def test_no_digest_for_what_can_be_taken_back_or_finds_nothing():
    assert known_digest(a_step(args={"to": "x"}), PUT, {}) is None
    assert known_digest(a_step(args={"to": {"$ref": "make.email"}}), SEND, {"make": {"id": 1}}) is None


def test_what_may_settle_a_claim():
    assert parse_settle(({"holder": "plan-p", "outcome": "done"},)) == SettledByPlan(holder="plan-p", outcome="done")
    by_hand = {"by": " alice ", "outcome": "free", "reason": "asked the customer"}
    assert parse_settle((by_hand,)) == SettledByPerson(by="alice", outcome="free", reason="asked the customer")


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        ((), "takes one JSON object"),
        (("free",), "takes one JSON object"),
        (({"by": "a", "outcome": "free", "reason": "r"}, 1), "takes one JSON object"),
        (({"by": "a", "outcome": "maybe", "reason": "r"},), "outcome"),
        (({"by": "a", "outcome": "free"},), "reason"),
        (({"by": " ", "outcome": "free", "reason": "r"},), "by"),
        (({"by": "Airlock", "outcome": "free", "reason": "r"},), "are not people"),
        (({"by": "a", "outcome": "free", "reason": "r", "force": True},), "force"),
        (({"holder": "plan-p", "by": "a", "outcome": "free", "reason": "r"},), "by"),
        (({"holder": 7, "outcome": "free"},), "holder"),
    ],
)
def test_nonsense_is_refused_with_the_field(sent, said):
    with pytest.raises(MalformedMessage, match=said):
        parse_settle(sent)


def test_the_commands_in_the_document_are_understood():
    text = (Path(__file__).parents[2] / "docs" / "explanation" / "nothing-twice.md").read_text()
    words = [shlex.split(line) for line in text.splitlines() if "--name settle" in line]
    said = [parse_settle((json.loads(line[line.index("--input") + 1]),)) for line in words]
    assert [each.outcome for each in said] == [ClaimOutcome.DONE, ClaimOutcome.FREE]


def test_the_details_say_whose_it_is_and_how_to_settle_it():
    claimed = Claimed(plan_id="p", step="s", holder="plan-p", tool="send", refused=2, last_refusal="nonsense")
    text = claim_details(claimed, "claim-send-1")
    assert "**plan-p** claims its call of `send` (step s)" in text
    assert "temporal workflow signal -w claim-send-1 --name settle --input" in text
    assert "2 signals refused; the last: nonsense" in text
    assert "settled as `done`" in claim_details(claimed.model_copy(update={"outcome": ClaimOutcome.DONE}), "claim-send-1")


@pytest.mark.parametrize(
    ("limit", "quota"),
    [(None, None), ("10/s", (10, 1.0)), ("1/m", (1, 60.0)), ("500/h", (500, 3_600.0)), ("7/d", (7, 86_400.0))],
)
def test_a_rate_limit_as_numbers(limit, quota):
    assert SEND.model_copy(update={"rate_limit": limit}).quota == quota
