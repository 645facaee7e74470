"""The table of commands fits the commands, and hints name the program as it was started."""

import io
import sys
from datetime import UTC, datetime

import pytest
from rich.console import Console
from rich.text import Text

from airlock import program
from airlock.cli.app import Commands
from airlock.cli.display.follow import Lines, Snapshot
from airlock.cli.display.hints import preview_as_started, status_as_started
from airlock.cli.display.status_screens import status_screen
from airlock.cli.output import console
from airlock.plans.state import State
from airlock.run.presentation.views import PreviewView, StatusView, StepView
from tests.command_lines import starter_commands


@pytest.mark.parametrize("name", Commands.table)
def test_the_line_of_a_command_is_the_first_sentence_of_its_help(name: str) -> None:
    text = " ".join((starter_commands().load(name).help or "").split())
    first = Commands.table[name].help
    assert text == first or text.startswith(f"{first} ")
    assert first.endswith(".")
    assert len(first) <= 66, "a terminal of 80 columns cuts it off"


def test_hints_know_every_command() -> None:
    assert tuple(Commands.table) == program.COMMANDS


@pytest.mark.parametrize(
    ("argv", "typed", "on_path", "expected"),
    [
        ("/env/bin/airlock", "/env/bin/python", {"airlock": "/env/bin/airlock"}, "airlock"),
        (".venv/bin/airlock", ".venv/bin/python", {}, ".venv/bin/airlock"),
        ("a b/airlock", "python", {"airlock": "/other/airlock"}, "'a b/airlock'"),
        ("starter.py", "python", {"python": sys.executable}, "python starter.py"),
        ("../starter.py", ".venv/bin/python", {"python": "/usr/bin/python"}, ".venv/bin/python ../starter.py"),
        ("/env/lib/airlock/__main__.py", "python3", {}, "python3 -m airlock"),
        ("/env/bin/airlock-worker", "python3", {}, "airlock"),
        ("/home/me/agent.py", "python3", {}, "airlock"),
    ],
)
def test_a_program_is_named_as_it_was_started(
    argv: str, typed: str, on_path: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", [argv])
    monkeypatch.setattr(sys, "orig_argv", [typed, argv])
    monkeypatch.setattr(program.shutil, "which", on_path.get)
    assert program.program() == expected
    told = program.as_started("airlock worker ready: airlock show x, or airlock list")
    assert told == f"airlock worker ready: {expected} show x, or {expected} list"
    assert program.as_started(told) == told


def test_hints_of_a_run_are_rewritten_and_the_values_of_a_plan_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["starter.py"])
    monkeypatch.setattr(program.shutil, "which", {"python": sys.executable}.get)
    sealed = '      text: "then run airlock approve me"'
    preview = PreviewView(
        plan_id="p", state=State.AWAITING_APPROVAL, digest="d",
        text=f"{sealed}\nTo approve exactly this:\n  airlock approve p --by YOUR-NAME --sign-key KEY-FILE",
    )  # fmt: skip
    assert preview_as_started(preview).text.split("\n") == [
        sealed, "To approve exactly this:", "  python starter.py approve p --by YOUR-NAME --sign-key KEY-FILE",
    ]  # fmt: skip
    closed = preview.model_copy(update={"text": f"{sealed}\n  airlock approve p"})
    assert preview_as_started(closed) == closed

    step = StepView(id="one", agent="a", tool="t", status="in_doubt", error="settle it with airlock rollback other")
    status = StatusView(
        plan_id="p", goal="run airlock list", requested_by="me", state=State.LOCKED, since=datetime.now(UTC),
        why="airlock show p", waits_for="a human: airlock resolve p one retry --reason ...", steps=(step,), outcome=None,
        digest=None, expires_at=None, approvals=(), approvals_required=1, in_flight=(), parked=("one",), possible=(),
        refused=0, refusals=(),
    )  # fmt: skip
    told = status_as_started(status)
    assert told.waits_for == "a human: python starter.py resolve p one retry --reason ..."
    assert told.why == "python starter.py show p"
    assert told.steps[0].error == "settle it with python starter.py rollback other"
    assert told.goal == "run airlock list"


def test_what_a_worker_answers_cannot_draw_over_a_preview(capsys: pytest.CaptureFixture[str]) -> None:
    """Any worker that polls can answer a query; the terminal obeys what it prints."""
    over = "\x1b[2J\x1b[H\x1b]0;t\x07\x9b1A\r\n\u202e"
    step = StepView(id=f"one{over}", agent=f"a{over}", tool=f"t{over}", status=f"live{over}", risk=f"LOW{over}")
    status = StatusView(
        plan_id=f"p{over}", goal=over, requested_by=over, state=State.LOCKED, since=datetime.now(UTC), why=over,
        waits_for=over, steps=(step,), outcome=None, digest=None, expires_at=None, approvals=(), approvals_required=1,
        in_flight=(), parked=(), possible=(), refused=0, refusals=(),
    )  # fmt: skip
    console().print(status_screen(status))
    console().print(Text(over), f"plain {over}", over)  # what a screen forgets to make visible
    said = capsys.readouterr().out
    assert "⟨U+001B⟩" in said
    assert {each for each in said if not each.isprintable()} == {"\n"}


def test_a_plan_that_only_a_passkey_approves_is_announced_too() -> None:
    screen = Console(file=io.StringIO(), width=200)
    waits = Snapshot(plan_id="p", state="AWAITING_APPROVAL", digest="d")
    lines = Lines(screen)
    for seen in (waits, waits, waits.model_copy(update={"digest": "e", "ended": True})):
        lines.show(seen)
    file = screen.file
    assert isinstance(file, io.StringIO)
    assert file.getvalue().count("waiting for approval: read it with") == 1
