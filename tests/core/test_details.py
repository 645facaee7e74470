"""The details in the Temporal UI: what to do stands first, everything wraps, and no text of a plan imitates the page."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airlock.base.incoming import MalformedMessage
from airlock.base.markdown import code
from airlock.base.person import OWN_NAME
from airlock.base.visible import is_invisible
from airlock.plans.outcome import CallInDoubt, UndoFailed
from airlock.run.live.call_results import after_rollback, take_undo
from airlock.run.presentation.details import details
from airlock.run.presentation.preview import approve_command, render_preview
from airlock.run.state import Run
from tests.core.build import NOW, awaiting, call, failed, live, live_run, plan, preview, say, step
from tests.core.markdown import blocks, command, items, same, tokens
from tests.core.test_visible import NASTY

FORGERIES = [
    "`",
    "``` \n```json\n{}\n```",
    "`**To approve it:**`",
    "x` <img src=x onerror=alert(1)> `",
    "[approve](https://evil.example) https://evil.example",
    "\n\n# Approved\n\n- **`done`**",
    "| a | b |\n| --- | --- |\n| c | d |",
    "&lt;b&gt; &#96; \\` \\",
    " ` ",
    "``",
    "    indented",
    "two  spaces   three",
    "⟨2 spaces⟩",
]
OURS = {
    "paragraph_open", "paragraph_close", "inline", "text", "softbreak", "strong_open", "strong_close", "em_open", "em_close",
    "code_inline", "fence", "bullet_list_open", "bullet_list_close", "list_item_open", "list_item_close", "table_open",
    "table_close", "thead_open", "thead_close", "tbody_open", "tbody_close", "tr_open", "tr_close", "th_open", "th_close",
    "td_open", "td_close",
}  # fmt: skip


def forged(text: str) -> Run:
    shown = preview("a", effect=f"write {text}", args={"x": text})
    run = awaiting(plan(step("a", args={"x": text}), goal=text), a=shown)
    say(run, "deny", by="olga", reason=f"x{text}", digest="0" * 12)
    run.why = text
    return run


def expected(run: Run) -> list[str]:
    assert run.sealed is not None
    lines = render_preview(run.sealed, str(run.digest)).split("\n")[:-2]
    return [_spaces(line, same(line)) for line in lines if line.strip(" ")]


def _spaces(line: str, text: str) -> str:
    # between the columns of a step's own line the page has one space
    return text if line.startswith("   ") else re.sub(" +", " ", text)


def checked(run: Run) -> str:
    text = details(run)
    assert {token.type for token in tokens(text)} <= OURS
    assert [language for language, _ in blocks(text)] == ["json", "sh", "json"]
    found, wanted = items(text), expected(run)
    assert len(found) == len(wanted)
    for item, line in zip(found, wanted, strict=True):
        assert re.sub(" +", " ", same(item)) == re.sub(" +", " ", line)
        assert "  " not in item, "a page draws two spaces as one"
    return text


@pytest.mark.parametrize("text", FORGERIES)
def test_no_text_of_a_plan_imitates_the_page(text: str) -> None:
    plain = checked(forged("plain"))
    shape = [token.type for token in tokens(checked(forged(text))) if token.type != "text"]
    assert shape == [token.type for token in tokens(plain) if token.type != "text"]


@given(NASTY | st.text(st.sampled_from("`*_[]()<>#-|\\&; \na1"), max_size=60))
def test_no_text_whatever_imitates_the_page(text: str) -> None:
    assert not any(is_invisible(character) for line in checked(forged(text)).split("\n") for character in line)


@pytest.mark.parametrize("text", ["{namespace}", "to {workflowId}", "{runId}{runId}", "{{namespace}}"])
def test_the_page_fills_in_nothing_that_a_plan_says(text: str) -> None:
    """Temporal's UI replaces these by the names of the run, before it reads the Markdown."""
    page = checked(forged(text))
    assert not re.search(r"\{(namespace|workflowId|runId)\}", page)
    assert "⟨U+007B⟩" in page


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Zl", "Zp"]), min_size=1, max_size=40))
def test_code_holds_a_text_character_by_character(text: str) -> None:
    found = [same(token.content).strip(" ") for token in tokens(f"- {code(text)}") if token.type == "code_inline"]
    assert found == [text.strip(" ")] * bool(text.strip(" "))


def test_what_to_do_stands_first_with_the_click_path_and_its_json() -> None:
    run = forged("plain")
    assert run.sealed is not None
    text = details(run)
    places = [
        text.index(part)
        for part in ("Waits for:", "Send a Signal", "```json", "```sh", "Last refused:", "Preview", "| step |")
    ]
    assert places == sorted(places)
    (_, approving), _, (_, denying) = blocks(text)
    assert command(text) == approve_command(run.sealed, str(run.digest))
    assert say(run, "approve", **json.loads(approving.replace(OWN_NAME, "olga"))).accepted
    assert set(json.loads(denying)) == {"by", "reason"}
    assert max(len(line) for _, block in blocks(text) for line in block.split("\n")) <= 50, "a block of code does not wrap"


@pytest.mark.parametrize("outcome", ["happened", "did_not_happen", "retry", "skip", "compensated"])
def test_a_run_that_waits_for_a_person_shows_the_json_that_settles_it(outcome: str) -> None:
    run = live_run(plan(step("a"), step("b", "write", "a")))
    if "happen" in outcome:
        call(run, CallInDoubt(step="a", error="connection lost"), after=True)
    else:
        call(run, live("a"), failed("b"), after=True)
        take_undo(run, UndoFailed(step="a", error="the target says no"), NOW)
        after_rollback(run, NOW)
    text = details(run)
    assert {token.type for token in tokens(text)} <= OURS
    assert f"`{outcome}`" in text
    ((_, settling),) = blocks(text)
    message = json.loads(settling.replace(OWN_NAME, "olga"))
    with pytest.raises(MalformedMessage, match="outcome"):  # one that was not filled in settles nothing
        say(run, "resolve", **message)
    assert say(run, "resolve", **{**message, "outcome": outcome}).accepted


def test_a_locked_run_shows_the_json_that_unlocks_it_once_no_call_runs() -> None:
    run = awaiting(plan(step("a")))
    assert say(run, "lock", by="olga", reason="an incident").accepted
    ((_, unlocking),) = blocks(details(run))
    assert say(run, "unlock", **json.loads(unlocking.replace(OWN_NAME, "paul"))).accepted
    busy = live_run(plan(step("a")))
    busy.in_flight = ("a",)
    assert say(busy, "lock", by="olga", reason="an incident").accepted
    assert not blocks(details(busy))


def test_the_last_refusal_is_there_until_the_end() -> None:
    run = live_run(plan(step("a")))
    assert "Last refused" not in details(run)
    assert not say(run, "approve", by="olga", digest="0" * 12).accepted
    assert "**Last refused:** `approve` by `olga` at " in details(run)
    assert run.lately_refused[-1].reason[:40] in details(run)


def test_a_refusal_does_not_bring_back_the_digest_of_what_is_not_shown() -> None:
    run = awaiting(plan(*(step(f"s{number:02}") for number in range(60))))
    say(run, "approve", by=f"x{run.digest}", digest="0" * 12)
    text = details(run)
    assert "Last refused" in text
    assert str(run.digest)[:12] not in text
    assert "--name approve" not in text
    assert "Send a Signal" not in text
    assert not blocks(text)
