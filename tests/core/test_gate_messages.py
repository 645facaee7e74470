"""Messages to a gate, and what it shows: each refusal, each line."""

from datetime import UTC, datetime

import pytest

from airlock.base.incoming import MalformedMessage
from airlock.gates.locks import GateLock
from airlock.gates.messages import RefusedMessage
from airlock.gates.parsing import parse_gate_decision, parse_hold_off, parse_permit, parse_release, parse_wanted
from airlock.gates.semaphore import Gate
from airlock.gates.view import HolderView, NotifiedHolderView, WaitingView, gate_details, gate_view, proven
from airlock.plans.drift import drift, matched
from airlock.plans.refs import UNKNOWN

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
LOCK = {"decision": "lock", "by": "alice", "reason": "an incident"}
WANTED = {"holder": "airlock-plan-p1", "request": "p1/live"}


@pytest.mark.parametrize("scope", [None, "agent:bot", "tool:pay", "resource:crm:1"])
def test_a_lock_names_its_scope(scope):
    name, decision = parse_gate_decision((LOCK | {"scope": scope},))
    assert (name, decision.scope, decision.by) == ("lock", scope, "alice")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "takes one JSON object"),
        (("lock",), "takes one JSON object"),
        ((LOCK, LOCK), "takes one JSON object"),
        ((LOCK | {"decision": "close"},), "must be one of lock, unlock, got 'close'"),
        ((LOCK | {"scope": "plan:p1"},), "agent:NAME"),
        ((LOCK | {"scope": "tool:"},), "agent:NAME"),
        ((LOCK | {"scope": "tool:*"},), "agent:NAME"),
        ((LOCK | {"scope": ""},), "agent:NAME"),
        ((LOCK | {"by": " "},), "by"),
    ],
)
def test_a_decision_that_makes_no_sense_is_refused(arguments, message):
    with pytest.raises(MalformedMessage, match=message):
        parse_gate_decision(arguments)


def test_a_slot_request_is_read():
    assert parse_wanted((WANTED,)).holder == "airlock-plan-p1"


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"holder": ""}, "holder"),
        ({"holder": "h" * 301}, "holder"),
        ({"request": ""}, "request"),
        ({"capacity": 0}, "capacity"),
        ({"slots": 0}, "slots"),
        ({"grace": -1.0}, "grace"),
    ],
)
def test_a_slot_request_out_of_bounds_is_refused(more, field):
    with pytest.raises(MalformedMessage, match=f"acquire: {field}"):
        parse_wanted((WANTED | more,))


@pytest.mark.parametrize(
    ("more", "field"), [({"key": ""}, "key"), ({"calls": 0}, "calls"), ({"per": 0.0}, "per"), ({"per": 4e7}, "per")]
)
def test_a_permit_out_of_bounds_is_refused(more, field):
    good = {"key": "p1/one", "calls": 1, "per": 60.0}
    assert parse_permit((good,)).calls == 1
    with pytest.raises(MalformedMessage, match=f"permit: {field}"):
        parse_permit((good | more,))


@pytest.mark.parametrize("seconds", [-1.0, 7 * 86_400 + 1.0])
def test_a_gate_is_held_off_for_a_week_at_most(seconds):
    assert parse_hold_off(({"seconds": 5.0},)).seconds == 5.0
    with pytest.raises(MalformedMessage, match="hold_off: seconds"):
        parse_hold_off(({"seconds": seconds},))


def test_a_release_names_its_holder():
    assert parse_release(({"holder": "h", "request": "r"},)).holder == "h"
    with pytest.raises(MalformedMessage, match="release"):
        parse_release(("h",))


def test_an_open_gate_shows_no_table():
    view = gate_view("gate-1", Gate(), True, 0, (), 10)
    assert gate_details(view) == "**gate-1**: 0 of 1 in use, 0 waiting\n\n**OPEN**"


def test_a_gate_that_recovers_says_so():
    assert gate_details(gate_view("gate-1", Gate(), False, 0, (), 10)).startswith("Recovers the state of an earlier run")


@pytest.mark.parametrize(("holders", "more"), [(1, False), (40, False), (41, True)])
def test_a_busy_gate_shows_locks_holders_queue_and_proof(holders, more):
    told = NotifiedHolderView(holder="h0", told_at=AT, quiesced_at=None, unreachable=None)
    view = gate_view("gate-1", Gate(), True, 3, (RefusedMessage(at=AT, what="lock", why="no reason"),), 10).model_copy(
        update={
            "locks": (
                GateLock(by="alice", reason="an incident", at=AT, scope="tool:pay"),
                GateLock(by="bob", reason="r", at=AT, scope=None),
            ),
            "holders": tuple(HolderView(holder=f"h{n}", request="r", slots=1, fence=n, since=AT) for n in range(holders)),
            "waiting": (WaitingView(holder="w", position=1, since=AT, urgent=True),),
            "waits": 1,
            "told": (told,),
            "kept_out": 2,
            "kept_out_first": ("k1", "k2"),
        }
    )
    text = gate_details(view)
    assert "**CLOSED**" in text
    assert "- tool:pay, by alice at 2026-01-02 03:04:05 UTC: an incident" in text
    assert "- everything, by bob" in text
    assert "| h0 | 1 | 0 | 2026-01-02 03:04:05 UTC |" in text
    assert "| w (urgent) | 1 | 2026-01-02 03:04:05 UTC |" in text
    assert "| h0 | 2026-01-02 03:04:05 UTC | finishing a call |" in text
    assert "2 kept out, among them k1, k2" in text
    assert "3 signals refused; the last: no reason" in text
    assert ("… and 1 more" in text) is more


@pytest.mark.parametrize(
    ("quiesced", "unreachable", "words"),
    [
        (AT, None, "quiesced since 2026-01-02 03:04:05 UTC"),
        (None, "it is paused", "unreachable: it is paused"),
        (None, None, "finishing a call"),
    ],
)
def test_the_proof_of_a_lock_in_words(quiesced, unreachable, words):
    assert proven(NotifiedHolderView(holder="h", told_at=AT, quiesced_at=quiesced, unreachable=unreachable)) == words


@pytest.mark.parametrize(
    ("predicted", "actual", "paths", "same"),
    [
        ({"a": 1}, {"a": 1}, (), True),
        ({"a": 1}, {"a": 2}, ("a",), False),
        ({"a": UNKNOWN}, {"a": 2}, (), True),
        (UNKNOWN, {"a": 2}, (), None),
    ],
)
def test_drift_is_what_the_preview_knew_otherwise(predicted, actual, paths, same):
    assert drift(predicted, actual) == paths
    assert matched(predicted, actual) is same
