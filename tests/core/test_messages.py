"""Messages of people and programs: only `MalformedMessage` ever comes out, and junk cannot fill a run."""

import json
import re
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError, field_validator

from airlock.base.incoming import MalformedMessage, parse_as
from airlock.base.model import WireModel
from airlock.base.text import MAX_OUTPUT_BYTES, shorten
from airlock.plans.state import State
from airlock.run.audit import MAX_REFUSALS
from airlock.run.decisions.decision import decide, refuse
from airlock.run.messages import MESSAGES, Approve, Resolve, parse_decision, parse_message
from airlock.run.state import Run
from tests.core.build import NOW, awaiting, json_values, plan, say, step

GOOD: dict[str, dict[str, Any]] = {
    "approve": {"by": "ann", "digest": "0" * 12},
    "deny": {"by": "ann", "reason": "no"},
    "lock": {"by": "ann", "reason": "no"},
    "unlock": {"by": "ann", "reason": "no"},
    "rollback": {"by": "ann", "reason": "no"},
    "abort": {"by": "ann", "reason": "no"},
    "resolve": {"by": "ann", "reason": "no", "step": "a", "outcome": "happened"},
    "amend": {"by": "ann", "reason": "no"},
}
FIELDS = ("by", "digest", "steps", "reason", "signature", "step", "to_step", "outcome", "output", "decision")

objects = st.dictionaries(st.sampled_from(FIELDS) | st.text(max_size=5), json_values, max_size=6)
anything = json_values | objects | st.binary(max_size=5)
signals = st.sampled_from(sorted(MESSAGES)) | st.text(max_size=10)


def survives(run: Run) -> None:
    """The run can still be carried through continue-as-new and shown."""
    assert Run.model_validate_json(run.model_dump_json()).audit == run.audit
    assert len(run.model_dump_json()) < 1_000_000


@given(signals, st.lists(anything, max_size=3).map(tuple))
@example("approve", ())
@example("approve", (None,))
@example("resolve", ({"by": "a", "step": "s", "outcome": "happened", "reason": "r", "output": float("nan")},))
@example("approve", ({"by": "a", "digest": "d", "reason": "\ud800"},))
@example("approve", ({"by": "\ud800", "digest": "d"},))
@example("resolve", ({"by": "a", "step": "s", "outcome": "happened", "reason": "r", "output": {"\ud800": 1}},))
@example("\ud800", ({},))
def test_parsing_a_signal_gives_a_message_or_says_what_is_wrong(name: str, arguments: tuple[Any, ...]) -> None:
    run = awaiting(plan(step("a")))
    try:
        message = parse_message(name, arguments)
    except MalformedMessage as error:
        refuse(run, name, str(error), NOW)
    else:
        decide(run, name, message, NOW)
    survives(run)


@given(st.lists(anything | objects.map(lambda fields: {"decision": "approve", **fields}), max_size=2).map(tuple))
def test_parsing_a_decision_gives_a_message_or_says_what_is_wrong(arguments: tuple[Any, ...]) -> None:
    try:
        name, message = parse_decision(arguments)
    except MalformedMessage:
        return
    assert isinstance(message, MESSAGES[name])


@pytest.mark.parametrize("name", MESSAGES)
def test_the_smallest_good_message(name: str) -> None:
    message = parse_message(name, (GOOD[name],))
    assert isinstance(message, MESSAGES[name])
    assert parse_decision(({**GOOD[name], "decision": name},)) == (name, message)


@pytest.mark.parametrize("name", MESSAGES)
def test_an_unknown_field_is_refused_and_named(name: str) -> None:
    with pytest.raises(MalformedMessage, match=rf"{name}: no field stepz; it takes by"):
        parse_message(name, ({**GOOD[name], "stepz": ["a"]},))


@pytest.mark.parametrize(("name", "field"), [(name, field) for name, fields in GOOD.items() for field in fields])
@pytest.mark.parametrize("wrong", [None, 7, True, [], {}, "", "   "], ids=repr)
def test_a_wrong_field_is_named(name: str, field: str, wrong: Any) -> None:
    if field == "digest" and isinstance(wrong, str):
        return  # an empty digest is understood, and refused with a hint
    if field == "step" and wrong == "   ":
        return  # a step of that name is not in any plan
    with pytest.raises(MalformedMessage, match=rf"^{name}: .*{field}"):
        parse_message(name, ({**GOOD[name], field: wrong},))


@pytest.mark.parametrize(("name", "field"), [(name, field) for name, fields in GOOD.items() for field in fields])
def test_a_missing_field_is_named(name: str, field: str) -> None:
    with pytest.raises(MalformedMessage, match=f"{field}: is missing"):
        parse_message(name, ({key: value for key, value in GOOD[name].items() if key != field},))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "got 0 arguments"),
        (({}, {}), "got 2 arguments"),
        ((None,), "got null"),
        (([],), "got a list"),
        (("{}",), "got a text"),
        ((4,), "got a number or a boolean"),
        ((True,), "got a number or a boolean"),
        ((b"x",), "got something undecodable"),
    ],
)
def test_anything_but_one_object(arguments: tuple[Any, ...], words: str) -> None:
    with pytest.raises(MalformedMessage, match=words):
        parse_message("approve", arguments)


def test_unknown_names() -> None:
    with pytest.raises(MalformedMessage, match=r"unknown signal 'aprove'; there are approve, deny"):
        parse_message("aprove", ({},))
    with pytest.raises(MalformedMessage, match=r"decision: must be one of approve.*got 'aprove'"):
        parse_decision(({"decision": "aprove"},))
    with pytest.raises(MalformedMessage, match="a field 'decision'"):
        parse_decision(("approve",))


MEGABYTE = "x" * 1_000_000


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("approve", {"by": MEGABYTE, "digest": "d"}),
        ("approve", {"by": "a", "digest": MEGABYTE}),
        ("approve", {"by": "a", "digest": "d", "reason": MEGABYTE}),
        ("approve", {"by": "a", "digest": "d", "signature": MEGABYTE}),
        ("approve", {"by": "a", "digest": "d", "steps": [MEGABYTE]}),
        ("approve", {"by": "a", "digest": "d", "steps": ["a"] * 100_000}),
        ("approve", {MEGABYTE: 1}),
        ("resolve", {**GOOD["resolve"], "output": MEGABYTE}),
        ("resolve", {**GOOD["resolve"], "output": {MEGABYTE: float("nan")}}),
        ("resolve", {**GOOD["resolve"], "outcome": MEGABYTE}),
        ("lock", {"by": "a", "reason": MEGABYTE}),
        ("deny", {"by": "a", "reason": "b", "digest": MEGABYTE}),
        (MEGABYTE, {}),
    ],
    ids=lambda value: value[:10] if isinstance(value, str) else ",".join(key[:10] for key in value),
)
def test_a_megabyte_is_refused_in_a_few_words(name: str, fields: dict[str, Any]) -> None:
    run = awaiting(plan(step("a")))
    before = len(run.model_dump_json())
    with pytest.raises(MalformedMessage) as caught:
        parse_message(name, (fields,))
    verdict = refuse(run, name, str(caught.value), NOW)
    assert len(verdict.reason) <= 500
    assert len(run.model_dump_json()) - before < 1_500


def test_a_long_reason_is_cut() -> None:
    run = awaiting(plan(step("a")))
    before = len(run.model_dump_json())
    assert say(run, "lock", reason="y" * 2_000).accepted
    assert len(run.model_dump_json()) - before < 6_000
    assert max(len(entry.reason) for entry in run.audit) <= 500


def test_a_deep_message_is_refused() -> None:
    deep: Any = 1
    for _ in range(900):
        deep = [deep]
    with pytest.raises(MalformedMessage) as caught:
        parse_message("resolve", ({**GOOD["resolve"], "output": deep},))
    assert len(str(caught.value)) < 1_000
    with pytest.raises(MalformedMessage):
        parse_decision(({"decision": deep},))


@pytest.mark.parametrize("output", [float("nan"), float("-inf"), "\ud800", "x" * (MAX_OUTPUT_BYTES - 1)])
def test_an_output_that_cannot_be_kept_is_refused(output: Any) -> None:
    with pytest.raises(MalformedMessage, match="output"):
        parse_message("resolve", ({**GOOD["resolve"], "output": output},))


def test_an_output_of_the_largest_size() -> None:
    message = parse_message("resolve", ({**GOOD["resolve"], "output": "x" * (MAX_OUTPUT_BYTES - 2)},))
    assert isinstance(message, Resolve)


def test_refusals_are_bounded_but_counted() -> None:
    run = awaiting(plan(step("a")))
    entries = len(run.audit)
    for _ in range(MAX_REFUSALS + 300):
        refuse(run, "approve", "z" * 10_000, NOW)
    assert run.refused == MAX_REFUSALS + 300
    assert len(run.audit) == entries + MAX_REFUSALS
    assert not say(run, "unlock").accepted
    assert run.refused == MAX_REFUSALS + 301
    assert say(run, "approve").accepted
    assert run.state is State.LIVE
    assert [entry.number for entry in run.audit] == list(range(1, len(run.audit) + 1))


def test_a_refusal_says_which_message_and_why() -> None:
    run = awaiting(plan(step("a")))
    refuse(run, "n" * 500, "two\nlines", NOW)
    entry = run.audit[-1]
    assert (entry.kind, entry.by, entry.reason) == ("refused", "unknown", "two lines")
    assert len(entry.what) == 100


@given(st.text(), st.integers(1, 50))
def test_shorten(text: str, limit: int) -> None:
    short = shorten(text, limit)
    assert len(short) <= limit
    assert not re.search(r"[\r\n\t]", short)
    json.dumps(short, ensure_ascii=False).encode()


def test_names_are_stripped() -> None:
    message = parse_message("approve", ({"by": "  ann ", "digest": " 0123456789ab\n"},))
    assert isinstance(message, Approve)
    assert (message.by, message.digest) == ("ann", "0123456789ab")


def test_a_rule_of_our_own_is_told_in_its_own_words() -> None:
    class Ruled(WireModel):
        name: str

        @field_validator("name")
        @classmethod
        def _known(cls, value: str) -> str:
            raise ValueError("must be a name that is known")

    with pytest.raises(MalformedMessage) as refused:
        parse_as(Ruled, "greet", ({"name": "x"},))
    assert str(refused.value) == "greet: name: must be a name that is known"


_STEP = {"id": "a", "agent": "bot", "tool": "write", "confidence": 1.0}


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("approve", {"digest": "0" * 64, "steps": [1] * 200_000}),
        ("approve", {"digest": "0" * 64, "steps": [{}] * 200_000}),
        ("amend", {"steps": [1] * 200_000}),
        ("amend", {"steps": [[]] * 200_000}),
        ("amend", {"steps": [{"junk": 1}] * 5_000}),
        ("amend", {"steps": [{**_STEP, "after": [1] * 200_000}]}),
        ("amend", {"remove": [1] * 200_000}),
        ("amend", {"remove": [{}] * 200_000}),
    ],
)
def test_no_message_makes_a_workflow_count_its_errors_by_the_thousand(name: str, fields: dict[str, Any]) -> None:
    """Forty such messages fit a history: each took seconds, and the task that holds them never ended."""
    with pytest.raises(ValidationError) as wrong:
        MESSAGES[name].model_validate({"by": "eve", "reason": "slow", **fields})
    assert wrong.value.error_count() < 10
    with pytest.raises(MalformedMessage, match=f"{name}: "):
        parse_message(name, ({"by": "eve", "reason": "slow", **fields},))
