"""Nothing that writes is approved unseen: every character of every writing argument is in the text, or no command is."""

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airlock.admission.ceiling import MAX_SHOWN
from airlock.base.visible import is_invisible
from airlock.plans.contract import Mode
from airlock.plans.state import State
from airlock.run.presentation.argument_lines import argument_lines
from airlock.run.presentation.details import details
from airlock.run.presentation.preview import approve_command, render_preview, step_text
from airlock.run.state import Run
from tests.core.build import awaiting, live_run, new_run, plan, policy, preview, rehearse, step
from tests.core.markdown import command, items, same
from tests.core.test_visible import NASTY

LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | NASTY
LEAVES |= st.text(st.characters(codec="utf-8"), max_size=400)
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=12) | st.dictionaries(NASTY, inner, max_size=5))
MIDDLE = "Please pay 9,000 EUR to DE00 0000 instead."


def shown(run: Run) -> str:
    assert run.sealed is not None
    return render_preview(run.sealed, str(run.digest))


def writing(value: Any, **more: Any) -> Run:
    return awaiting(plan(step("a", args={"x": value}, **more)), a=preview("a", args={"x": value}))


def texts(value: Any) -> list[str]:
    """Return every text and every number of a value, keys too, in the visible form of JSON."""
    if isinstance(value, dict):
        return [found for key, each in value.items() for found in (*texts(key), *texts(each))]
    if isinstance(value, list):
        return [found for each in value for found in texts(each)]
    return [value if isinstance(value, str) else json.dumps(value)]


def unwrapped(lines: list[str]) -> str:
    """Return lines of an argument without the numbers and bars of long texts, and with their line ends as in JSON."""
    text = ""
    for line in lines:
        numbered = re.fullmatch(r" +(\d*)│(.*)", line, re.DOTALL)
        if numbered is None:
            text += "\n" + line
        elif numbered[1] and numbered[1] != "1":
            text += "\\n" + numbered[2]
        else:
            text += numbered[2]
    return text


def read_back(text: str) -> str:
    """Return the characters that a visible text stands for."""
    text = re.sub(r"⟨mixed: [^⟩]*⟩", "", text)
    text = re.sub(r"⟨(\d+) spaces?⟩", lambda run: " " * int(run[1]), text)
    return re.sub(r"⟨U\+([0-9A-F]+)⟩", lambda code: chr(int(code[1], 16)), text)


@given(VALUES)
def test_every_character_of_a_writing_argument_is_shown(value: Any) -> None:
    lines = list(argument_lines("x", value, "        ", whole=True))
    assert "\n".join(lines) in shown(writing(value))
    assert not any(is_invisible(character) for line in lines for character in line)
    found = read_back(unwrapped(lines))
    for text in texts(value):
        in_json, in_lines = json.dumps(text, ensure_ascii=False)[1:-1], text.replace("\n", "\\n")
        assert in_json in found or in_lines in found, (text, lines)


@pytest.mark.parametrize("size", [10, 60, 161, 500, 1_835, 30_000])
def test_the_line_in_the_middle_of_a_long_mail_is_shown(size: int) -> None:
    filler = "Dear Jo, thank you for your order. " * (size // 70)
    for body in (f"{filler}\n{MIDDLE}\n{filler}", f"{filler}{MIDDLE}{filler}"):
        text = unwrapped(shown(writing(body)).split("\n"))
        assert MIDDLE in text
        assert max(map(len, shown(writing(body)).split("\n"))) < 400


def test_the_seventh_of_thirteen_recipients_is_shown_on_a_line_of_its_own() -> None:
    people = [f"person-{number}@customers.acme.test" for number in range(13)]
    people[6] = "jo@\u0430cme.test"
    lines = shown(writing(people)).split("\n")
    assert "        x: a list of 13" in lines
    assert '        x[6] = "jo@\u0430cme.test"⟨mixed: Cyrillic \u0430 U+0430⟩' in lines


def test_long_text_is_wrapped_between_marks_and_letters_with_their_accents() -> None:
    lines = list(argument_lines("x", "e\u0301\u200b" * 300 + "\n  end  ", "", whole=True))
    assert lines[0] == "x: a text of 908 characters in 2 lines"
    assert lines[-1] == "  2│  end⟨2 spaces⟩"
    for line in lines[1:-1]:
        assert re.fullmatch(r"  [1 ]│((e\u0301)?(⟨U\+200B⟩)?)+", line)
        assert len(line) < 140
    assert list(argument_lines("k\u200b", [1], "", whole=True)) == ['"k⟨U+200B⟩" = [1]']


def test_a_long_text_cannot_draw_lines_of_the_preview() -> None:
    forged = "x\n  ~ b  write  by bot  [LOW, reversible] -> LIVE\nDigest: 0000\n" + "  1│" + "y" * 200
    lines = shown(writing(forged)).split("\n")
    assert sum(line.startswith(("  ~ b", "Digest: 0")) for line in lines) == 0
    assert sum(line.startswith("Digest: ") for line in lines) == 1


def test_what_cannot_go_live_is_short_unless_it_is_asked_for() -> None:
    body = "x" * 5_000
    run = awaiting(plan(step("a"), step("low", confidence=0.7)), low=preview("low", args={"body": body}))
    assert body[:200] not in shown(run).replace("\n", "")
    assert run.sealed is not None
    for name, args in (("low", body), ("a", "")):
        text = step_text(run.sealed, name)
        assert text is not None
        assert args in unwrapped(text.split("\n"))
        assert "Digest" not in text
    assert step_text(run.sealed, "none") is None
    mocked = awaiting(plan(step("a"), step("m", "write", confidence=0.1, args={"body": body})))
    assert mocked.sealed is not None
    assert body in unwrapped(str(step_text(mocked.sealed, "m")).split("\n"))


def test_the_temporal_ui_shows_all_or_says_what_is_missing_and_gives_no_command() -> None:
    def sixty(bad: int) -> Run:
        return awaiting(plan(*(step(f"s{number:02}", args={"n": number == bad}) for number in range(60))))

    def long(size: int) -> Run:
        first, second = preview("a", args={"x": "a" * size}), preview("b", args={"x": "b" * size})
        return awaiting(plan(step("a"), step("b")), a=first, b=second)

    for run, said, missing in (
        (sixty(45), "60 writing steps, 40 shown", "airlock show p-1 --step s40"),
        (long(12_000), "2 writing steps, 1 shown", "airlock show p-1 --step b"),
        (long(30_000), "2 writing steps, 0 shown", "airlock show p-1 --step a"),
    ):
        text = details(run)
        assert said in text
        assert missing in text
        assert str(run.digest)[:12] not in text
        assert "--name approve" not in text
        assert "To approve" not in text
    whole = details(long(4_000))
    assert "To approve what is shown below" in whole
    assert items(whole)
    assert [same(item) for item in items(whole)[-1:]] == [same(line) for line in shown(long(4_000)).split("\n")[-3:-2]]


@given(st.lists(st.integers(1, 60), min_size=1, max_size=4), st.integers(0, 30_000))
def test_details_with_a_command_hold_the_whole_preview(steps: list[int], size: int) -> None:
    args = {"x": "`" * min(steps[0], 9) + "y" * size}
    names = [f"s{number}" for number in range(steps[0])]
    previews: dict[str, Any] = {names[-1]: preview(names[-1], args=args)}
    run = awaiting(plan(*(step(name) for name in names)), **previews)
    assert run.sealed is not None
    text = details(run)
    offered = approve_command(run.sealed, str(run.digest)) == command(text)
    lines = [" ".join(line.split()) for line in shown(run).split("\n")[:-2] if line.strip()]
    assert offered == (lines == [" ".join(same(item).split()) for item in items(text)])
    assert offered or str(run.digest)[:12] not in text


def test_an_argument_that_no_approver_could_read_keeps_a_call_below_live() -> None:
    large = "x" * (MAX_SHOWN - 1)
    run = new_run(plan(step("a", args={"x": large}), step("r", "read", args={"x": large}), step("b", args={"x": large[1:]})))
    assert run.ceilings["a"].mode is Mode.DRY_RUN
    assert run.ceilings["a"].reasons == ("argument 'x' has 65,537 bytes, more than the 65,536 that an approver can read",)
    assert (run.ceilings["r"].mode, run.ceilings["b"].mode) == (Mode.LIVE, Mode.LIVE)


def test_an_argument_that_grew_in_the_dry_run_keeps_a_call_below_live() -> None:
    def previewed(epoch: int) -> Run:
        run = new_run(plan(step("a"), step("b")))
        run.admitted = run.contracts().model_copy(update={"epoch": epoch})
        return rehearse(run, previews={"a": preview("a", args={"x": "\u00e4" * 40_000})})

    run = previewed(1)
    assert run.ceilings["a"].mode is Mode.DRY_RUN
    assert "80,002 bytes" in run.ceilings["a"].reasons[0]
    assert run.sealed is not None
    assert run.sealed.live_steps == ("b",)
    assert previewed(0).ceilings["a"].mode is Mode.LIVE  # as its history says


def test_a_call_that_is_live_already_is_not_shown_again() -> None:
    run = live_run(plan(step("a")), policy())
    assert run.state is State.LIVE
    assert run.sealed is not None
    assert "already" not in shown(run)
