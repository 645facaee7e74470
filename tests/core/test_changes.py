"""The steps of a seal as data: nothing of a call that writes is left out, and nothing in it can hide or imitate."""

from typing import Any

import pytest

from airlock.plans.contract import Mode
from airlock.plans.outcome import StepPreview
from airlock.run.presentation.changes import BlockKind, block, changes, step_change
from airlock.run.presentation.preview import render_preview
from airlock.run.sealing.sealed import Sealed, SealedStep
from airlock.run.undo import Prospect, UndoContent, UndoStep

LONG = "a word and another one, " * 40


def sealed_step(args: dict[str, Any], reversibility: str = "reversible", **preview: Any) -> SealedStep:
    return SealedStep(
        id="s", agent="ops", tool="write", args=args, after=(), confidence=0.9, risk="MEDIUM", reversibility=reversibility,
        contract_hash="0" * 64, ceiling=Mode.LIVE, reasons=(), undo="Restore it.",
        preview=StepPreview(step="s", looked=True, effect="Would write.", args=args, **preview),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (7, BlockKind.VALUE),
        ("short", BlockKind.VALUE),
        ("two\nlines", BlockKind.TEXT),
        (LONG, BlockKind.TEXT),
        ([{"id": 1, "name": "Jo"}, {"id": 2}], BlockKind.ROWS),
        ([{"id": 1, "in": {"a": LONG}}], BlockKind.JSON),
        ({"a": [1, LONG]}, BlockKind.JSON),
        ([], BlockKind.VALUE),
    ],
)
def test_a_value_has_the_form_that_fits_it(value: Any, kind: BlockKind):
    assert block("x", value, whole=True).kind is kind


def test_a_text_keeps_every_line_with_its_number_and_shows_what_ends_it():
    found = block("x", "one\n\nthree  ", whole=True)
    assert [(line.number, line.text) for line in found.lines] == [(1, "one"), (2, ""), (3, "three⟨2 spaces⟩")]


def test_a_text_is_compared_with_the_one_that_it_replaces():
    found = block("x", "a\nb\nd", whole=True, before="a\nc\nd")
    assert [(line.sign, line.text) for line in found.lines] == [("", "a"), ("-", "c"), ("+", "b"), ("", "d")]
    assert block("x", 2, whole=True, before=None).before == "null"
    assert block("x", 2, whole=True).before is None


def test_rows_show_which_cell_is_missing():
    found = block("rows", [{"id": 1, "name": ""}, {"id": 2}], whole=True)
    assert (found.columns, found.rows) == (("id", "name"), (("1", '""'), ("2", "")))


def test_a_call_that_writes_is_whole_and_a_read_is_cut():
    writing = step_change(sealed_step({"content": LONG}))
    assert "".join(line.text for line in writing.blocks[0].lines).count("another") == 40
    assert (writing.writes, writing.blocks[0].cut) == (True, False)
    reading = step_change(sealed_step({"content": LONG}, "read_only"))
    assert (reading.writes, reading.blocks[0].cut) == (False, True)
    assert not step_change(sealed_step({"content": LONG}, "read_only"), whole=True).blocks[0].cut


def test_what_hides_is_visible_and_listed():
    change = step_change(sealed_step({"to": "jo\u200b@acme.test", "text": "p\u0430ypal\nok"}))
    assert change.hidden == ("mixed: Cyrillic \u0430 U+0430", "U+200B")
    assert change.blocks[1].value == '"jo⟨U+200B⟩@acme.test"'


def test_control_characters_are_listed_though_json_writes_them_out():
    change = step_change(sealed_step({"text": "fine\x1b[2J", "row": {"note": ["\x07"]}}))
    assert change.hidden == ("U+0007", "U+001B")


def test_the_former_values_of_a_seal_stand_beside_the_new_ones():
    change = step_change(sealed_step({"name": "Jo", "id": "7"}, observed={"before": {"name": "Joe"}, "content": "x"}))
    assert [(each.name, each.before, each.value) for each in change.blocks] == [
        ("id", None, '"7"'),
        ("name", '"Joe"', '"Jo"'),
    ]


def test_derived_values_say_where_they_come_from():
    step = sealed_step({"amount": 7}, derived={"amount": "find.total"})
    assert step_change(step).blocks[0].derived == "find.total (derived)"


def test_a_step_of_an_undo_is_a_change_too():
    undo = UndoContent(
        by="olga",
        reason="wrong",
        steps=(
            UndoStep(id="a", agent="ops", tool="write", risk="LOW", reversibility="reversible", call="p/a",
                     prospect=Prospect.WOULD_FAIL, says="it was changed\u202e"),
        ),
    )  # fmt: skip
    sealed = Sealed(
        plan_id="p", submitted_at="2026", goal="g", requested_by="olga", steps=(), order=("a",), policy_hash="0",
        approvals_required=1, undo=undo,
    )  # fmt: skip
    (change,) = changes(sealed)
    assert (change.sign, change.effect, change.hidden) == ("x", "it was changed⟨U+202E⟩", ("U+202E",))
    assert change.goes_to in render_preview(sealed, "0" * 64)
