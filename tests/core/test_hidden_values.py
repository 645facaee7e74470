"""Hidden values in `approvals.jsonl`: everything else is checked without them, and each can be opened."""

import json
from typing import Any

import pytest

from airlock.export.approvals import SealLine
from airlock.export.hiding import HIDDEN, Openings, hidden_line, hidden_values, misplaced, shows_the_same
from airlock.export.ledger import line_hash, line_text
from airlock.export.plan_lines import first_difference, plan_record
from airlock.export.verification import read_line
from tests.core.export_build import RUNS, completed, resealed, trace
from tests.core.exported_seals import KEY, checked, hidden


@pytest.mark.parametrize("make", [*RUNS, resealed])
def test_hidden_values_can_be_opened_and_everything_else_be_checked_without(make: Any) -> None:
    record = plan_record(trace(make()))
    openings = Openings()
    hidden: list[SealLine] = []
    for seal in record.seals:
        line, opened = hidden_line(seal, KEY)
        assert (line.hash, line_hash(line.model_dump(mode="json"))) == (seal.hash, seal.hash)
        assert all(openings.add(one) for one in opened)
        assert len(opened) == len(set(hidden_values(line.content))) > 0
        assert read_line(line_text(line).encode(), SealLine) == line
        hidden.append(line)
    made = record.model_copy(update={"seals": tuple(hidden)})
    message, report = checked(made)
    assert (message, report.recomputed, report.hidden) == (None, 0, len(hidden))
    message, report = checked(made, openings)
    assert (message, report.recomputed, report.hidden) == (None, len(hidden), 0)


def test_hidden_is_every_argument_and_what_the_dry_run_said() -> None:
    (seal,) = plan_record(trace(completed())).seals
    line, opened = hidden_line(seal, KEY)
    assert line.content is not None
    for told in line.content["steps"]:  # type: ignore[union-attr]
        assert isinstance(told, dict)
        assert all(value.keys() == {HIDDEN} for value in told["args"].values())  # type: ignore[union-attr]
        assert told["preview"]["effect"].keys() == {HIDDEN}  # type: ignore[index,call-overload,union-attr]
    places = {one.path.partition("/")[2] for one in opened}
    assert {"steps.a.preview.effect", "steps.a.preview.observed", "steps.a.undo"} <= places
    again, _ = hidden_line(seal, KEY)
    other, _ = hidden_line(seal, bytes(31) + b"x")
    assert again == line != other


def test_a_changed_opening_opens_nothing_and_a_changed_hash_is_a_fault() -> None:
    record = plan_record(trace(completed()))
    line, opened = hidden_line(record.seals[0], KEY)
    assert not Openings().add(opened[0].model_copy(update={"value": "another"}))
    assert not Openings().add(opened[0].model_copy(update={"salt": "0" * 64}))
    other = json.loads(line_text(line).replace(opened[0].hash, "0" * 64))
    forged = record.model_copy(update={"seals": (SealLine.model_validate_json(line_text(other)),)})
    assert checked(forged)[0] == "content: was changed: it does not match content_hash"


def test_a_value_that_was_swapped_for_another_with_its_own_opening_does_not_give_the_digest() -> None:
    record = plan_record(trace(completed()))
    line, opened = hidden_line(record.seals[0], KEY)
    forged_value, _ = hidden_line(record.seals[0].model_copy(
        update={"content": {**(record.seals[0].content or {}), "goal": "harmless"}}
    ), KEY)  # fmt: skip
    openings = Openings()
    for one in opened:
        openings.add(one)
    message, _ = checked(record.model_copy(update={"seals": (forged_value,)}), openings)
    assert message is not None
    assert "content: its digest is" in message
    assert checked(record.model_copy(update={"seals": (line,)}), openings)[0] is None


@pytest.mark.parametrize(
    "name", ["approvers", "requested_by", "approvals_required", "signature_required", "goal", "order", "steps", "undo"]
)
def test_what_an_export_never_hides_cannot_be_hidden_to_switch_its_check_off(name: str) -> None:
    record = plan_record(trace(resealed()))
    assert checked(hidden(record))[0] is None
    assert checked(hidden(record, **{name: {HIDDEN: "0" * 64}}))[0] == "content: hides a value that an export never hides"
    assert misplaced({"steps": [{"id": "a", "args": {HIDDEN: "0" * 64}, "tool": {HIDDEN: "0" * 64}}]})
    assert not misplaced({"steps": [{"id": "a", "args": {"x": {HIDDEN: "0" * 64}}}], "undo": None})


def test_the_visible_content_of_a_seal_with_hidden_values_is_compared_with_the_histories() -> None:
    record = plan_record(trace(resealed()))
    assert first_difference(hidden(record), record) == ""
    changed = hidden(record, goal="harmless")
    assert checked(changed)[0] is None  # without openings its digest cannot be computed, and the chain leaves it out
    assert "differs from what the histories tell" in first_difference(changed, record)


@pytest.mark.parametrize(
    ("shown", "true", "same"),
    [
        ({"a": {HIDDEN: "0"}}, {"a": 1}, True), ({"a": {HIDDEN: "0", "b": 1}}, {"a": 1}, False),
        ({"a": [1, {HIDDEN: "0"}]}, {"a": [1, 2]}, True), ({"a": [1]}, {"a": [1, 2]}, False),
        ({"a": 1}, {"a": True}, False), ({"a": 1}, {"a": 1, "b": 2}, False), ({"a": []}, {"a": {}}, False),
        ({"a": "\u00e9"}, {"a": "e\u0301"}, False),
    ],
)  # fmt: skip
def test_what_is_shown_is_compared_and_what_is_hidden_is_not(shown: Any, true: Any, same: bool) -> None:
    assert shows_the_same(shown, true) is same
