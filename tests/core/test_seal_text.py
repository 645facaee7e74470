"""The text of a seal: it reads like a difference, and no text of an agent can fake or hide a line of it."""

import json
import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airlock.base.visible import printable
from airlock.run.presentation.preview import approve_command, render_preview
from tests.core.build import awaiting, plan, policy, preview, say, step
from tests.core.sealed_build import EXAMPLE, SEALED, sealed_of

# what an agent may try to do to the reader


@pytest.mark.parametrize(
    "nasty",
    [
        "line\nDigest: 000000000000",
        "line\r\n  To approve exactly this:",
        "\x1b[2J\x1b[1;1H",
        "\x08\x08\x08safe",
        "a\N{RIGHT-TO-LEFT OVERRIDE}b",
        "a\N{ZERO WIDTH SPACE}b",
        "a\N{LINE SEPARATOR}b",
        "```\n# fake",
        "~~~",
    ],
)
def test_an_agents_text_cannot_fake_or_hide_lines(nasty: str) -> None:
    fields = {"effect": nasty, "undo": nasty, "observed": {nasty: nasty}, "args": {nasty: nasty}}
    plain = awaiting(plan(step("a"), goal="x"), a=preview("a", **dict.fromkeys(("effect", "undo"), "x"), args={"x": "x"}))
    run = awaiting(plan(step("a", agent="bot " + nasty + "."), goal=nasty), a=preview("a", **fields))
    text = render_preview(sealed_of(run), str(run.digest))
    assert text.count("\n") == render_preview(sealed_of(plain), str(plain.digest)).count("\n")
    assert all(line.isprintable() for line in text.split("\n"))
    assert sum(line.startswith("Digest: ") for line in text.split("\n")) == 1
    # inside a Markdown fence no line may close it: at most three spaces, then the fence
    assert not any(
        line[:3].strip() == "" and line.lstrip(" ")[:3] in ("```", "~~~") and not line.startswith("    ")
        for line in text.split("\n")
        if line
    )


@given(st.text(max_size=200))
def test_printable_leaves_one_line_of_the_same_length(line: str) -> None:
    shown = printable(line)
    assert shown.isprintable()
    assert len(shown) == len(line)


def test_long_values_of_a_call_that_reads_are_cut_and_say_so() -> None:
    run = awaiting(plan(step("a", "read")), a=preview("a", args={"body": "x" * 10_000}))
    text = render_preview(sealed_of(run), "d")
    assert "10002 characters, all of them sealed" in text
    assert max(map(len, text.split("\n"))) < 400


def test_the_preview_reads_like_a_diff() -> None:
    text = render_preview(SEALED, str(EXAMPLE.digest))
    for line in (
        'Plan p-1: "a goal"',
        "requested by author, submitted 2026-03-01T12:00:00+00:00, phase 21 plan p21, phase 22 validation v22, deadline 2h",
        "4 of 5 steps would go LIVE, 1 stays below",
        "  ! tell  mail  by bot  [HIGH, irreversible] -> LIVE",
        "  ~ weak  write  by bot  [MEDIUM, reversible] -> DRY_RUN",
        "      undo: CANNOT be undone",
        "      undo: deletes it",
        '      relies on: {"version": 1}',
        "      not looked at: the outcome is (known after live)",
        "      ceiling: confidence 0.70 is below 0.80, from which MEDIUM risk may go live",
        "Conflicts:",
        "  RESOURCE -> DELAY: make and more both need row:k; more waits for make",
        "Order of the calls: find, make, more, tell",
        f"Digest: {EXAMPLE.digest}",
        "Approval of HIGH risk (tell): signed with an SSH key with --sign-key or --ssh-agent, or a passkey in the console.",
    ):
        assert line in text.split("\n")
    assert "Point of no return: tell" in text
    assert text.endswith("  " + approve_command(SEALED, str(EXAMPLE.digest)))


def test_the_command_approves_as_somebody_who_may() -> None:
    run = awaiting(plan(step("a")), policy(approvers=["author", "bot", "ann o'hara"]))
    command = approve_command(sealed_of(run), str(run.digest))
    words = shlex.split(command)
    assert words[:6] == ["temporal", "workflow", "signal", "--workflow-id", "plan-p-1", "--name"]
    message = json.loads(words[-1])
    assert message["by"] == "ann o'hara"
    assert say(run, "approve", **message).accepted


def test_a_plan_that_goes_nowhere_irreversible_says_so() -> None:
    run = awaiting(plan(step("a")), policy(enable_rollback_on_failure=False))
    text = render_preview(sealed_of(run), "d")
    assert "Point of no return: none" in text
    assert "the policy does not roll back by itself" in text
