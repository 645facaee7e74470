"""Former values in a preview: sealed and shown beside the new ones, and never what makes a plan too large."""

from typing import Any

from airlock.plans.contract import Mode
from airlock.plans.outcome import StepPreview
from airlock.run import rehearsal
from airlock.run.presentation.changes import BlockKind, step_change
from airlock.run.presentation.preview_lines import step_lines
from airlock.run.sealing.sealed import SealedStep
from tests.core.build import new_run, plan, step

OLD, NEW = "one\ntwo\nthree\nfour\nfive\nsix", "one\ntwo\n3\nfour\nfive\nsix"


def sealed_step(args: dict[str, Any], former: dict[str, Any], **more: Any) -> SealedStep:
    return SealedStep(
        id="s", agent="ops", tool="write", args=args, after=(), confidence=0.9, risk="MEDIUM", reversibility="reversible",
        contract_hash="0" * 64, ceiling=Mode.LIVE, reasons=(), undo="Restore it.",
        preview=StepPreview(step="s", looked=True, effect="Would write.", args=args, former=former, **more),
    )  # fmt: skip


def test_a_preview_without_former_values_has_the_form_that_it_had():
    made = StepPreview(step="s", looked=True, effect="Would write.", args={})
    assert "former" not in made.model_dump()


def test_a_text_is_shown_with_its_changed_lines_on_a_page_and_in_the_preview():
    step = sealed_step({"content": NEW, "path": "a.txt"}, {"content": OLD})
    content, path = step_change(step).blocks
    assert [(line.sign, line.text) for line in content.lines if line.sign] == [("-", "three"), ("+", "3")]
    assert content.size.endswith("1 new and 1 gone")
    assert path.before is None
    said = "\n".join(step_lines(step))
    assert "        content: changes of the text:" in said
    assert "          -│three\n          +│3\n" in said
    assert "│six" not in said.partition("changes of the text:")[2], "of what stays, only the lines around it"


def test_a_text_that_stays_and_one_that_hides_are_told():
    same = sealed_step({"content": OLD}, {"content": OLD})
    assert "content: the text stays as it is" in "\n".join(step_lines(same))
    hides = sealed_step({"content": "pay\nme"}, {"content": "pay\n\u202eme"})
    assert "-│⟨U+202E⟩me" in "\n".join(step_lines(hides))
    assert step_change(hides).hidden == (), "it hides in what goes, not in what comes"


def test_a_row_is_compared_column_by_column():
    step = sealed_step({"row": {"note": NEW, "n": 2, "x": None}}, {"row": {"note": OLD, "n": 1}}, derived={"row.n": "a.n"})
    blocks = {each.name: each for each in step_change(step).blocks}
    assert set(blocks) == {"row.n", "row.note", "row.x"}
    assert (blocks["row.n"].before, blocks["row.n"].value, blocks["row.n"].derived) == ("1", "2", "a.n (derived)")
    assert (blocks["row.note"].kind, blocks["row.x"].before) == (BlockKind.TEXT, None)
    assert "row.note: changes of the text:" in "\n".join(step_lines(step))


def test_a_row_or_a_file_that_goes_is_shown_as_it_is_now():
    step = sealed_step({"row": {}, "path": "a"}, {"row": {"id": 7, "note": OLD}, "content": OLD})
    blocks = {each.name: each for each in step_change(step).blocks}
    assert (blocks["row.id"].before, blocks["row.id"].value) == ("7", "")
    assert {line.sign for line in blocks["content"].lines} == {"-"}
    assert {line.sign for line in blocks["row.note"].lines} == {"-"}


def test_a_column_that_hides_itself_is_marked():
    step = sealed_step({"row": {"a\u200b": 1}}, {"row": {"a\u200b": 2}})
    change = step_change(step)
    assert change.hidden == ("U+200B",)
    assert change.blocks[0].name == 'row."a⟨U+200B⟩"'


def test_a_value_that_comes_whole_from_another_step_is_not_taken_apart():
    step = sealed_step({"row": {"n": 2}}, {"row": {"n": 1}}, derived={"row": "a.row"})
    (block,) = step_change(step).blocks
    assert (block.name, block.derived) == ("row", "a.row (derived)")


def test_former_values_that_are_too_much_together_are_left_out_and_nothing_else(monkeypatch):
    monkeypatch.setattr(rehearsal, "MAX_FORMER_BYTES", 100)
    made = new_run(plan(step("a", args={"key": 1}), step("b", args={"key": 2})))
    former = {"content": "x" * 60}
    rehearsal.take_previews(made, [
        StepPreview(step=name, looked=True, effect="Would write.", args={}, former=former) for name in ("a", "b")
    ])  # fmt: skip
    assert made.previews["a"].former == former
    assert made.previews["b"].former == {}
    assert made.previews["b"].effect == "Would write. Its former values are too large to be shown."
