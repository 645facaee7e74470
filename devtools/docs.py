"""`python -m devtools.docs [--check]`: the parts of docs/ that are made from the code."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from airlock.cli.app import app
from airlock.plans.state import TRANSITIONS, Event, State, possible
from airlock.run.call_record import CALL_TRANSITIONS, CallEvent, CallStatus, possible_events
from devtools.environment import ROOT
from devtools.generated import application

FOLDER = ROOT / "docs"
_MADE = "<!-- Made by `make docs` from the code. Do not edit. -->"
_MEANINGS = {
    State.MOCK: "admission by the operator's worker, then every step is mocked: nothing outside is touched",
    State.DRY_RUN: "the steps that may go further look at the real systems and say what they would do",
    State.AWAITING_APPROVAL: "the preview is sealed; somebody who is allowed to must approve exactly that seal",
    State.LIVE: "the approved calls are made, as parallel as the graph allows",
    State.ROLLBACK: "what is live is being undone, in reverse order",
    State.LOCKED: "nothing starts until a human speaks: somebody locked the plan, or a step must be settled",
    State.ABORTED: "the end of a plan that was stopped, refused or rolled back",
    State.COMPLETED: "the end of a plan that did what it may",
}


def states() -> str:
    """`docs/states.md`."""
    return "\n".join(_states()) + "\n"


def _states() -> Iterator[str]:
    yield from ("# The states of a plan", "", _MADE, "")
    yield "Modes (MOCK, DRY_RUN, LIVE) belong to calls, states to plans. Every pair of state and event that is not in the"
    yield "table below is refused, and the refusal is recorded."
    yield from ("", "| state | meaning | what can happen |", "| --- | --- | --- |")
    for state in State:
        may = ", ".join(f"`{event.value}`" for event in possible(state)) or "nothing: it has ended"
        yield f"| {state.value} | {_MEANINGS[state]} | {may} |"
    yield from ("", "## The table", "", "| from | event | to | meaning |", "| --- | --- | --- | --- |")
    for (state, event), target in TRANSITIONS.items():
        yield f"| {state.value} | `{event.value}` | {target.value} | {event.meaning} |"
    yield from ("", "A plan that is denied or expires goes back to MOCK and its run ends there, with that outcome.", "")
    yield from ("## The diagram", "", "```mermaid", "stateDiagram-v2", "    [*] --> MOCK")
    for (state, target), events in _arrows().items():
        yield f"    {state.value} --> {target.value}: {', '.join(event.value for event in events)}"
    for state in State:
        if state.closed:
            yield f"    {state.value} --> [*]"
    yield "```"


def _arrows() -> dict[tuple[State, State], list[Event]]:
    arrows: dict[tuple[State, State], list[Event]] = {}
    for (state, event), target in TRANSITIONS.items():
        arrows.setdefault((state, target), []).append(event)
    return arrows


def calls() -> str:
    """Return the text of `docs/calls.md`."""
    return "\n".join(_calls()) + "\n"


def _calls() -> Iterator[str]:
    yield from ("# The life of a live call", "", _MADE, "")
    yield "Every step that goes live has one record of its call. Its status changes by the table below only. An event that"
    yield "the table does not have for a status is refused, and the refusal is recorded: a probe that answers after a human"
    yield "has settled the call changes nothing. A stale call was not made, so it leaves no record and is no event here."
    yield from ("", "| status | meaning | possible events |", "| --- | --- | --- |")
    yield f"| (no call) | the step has no live call | {_events(None)} |"
    for status in CallStatus:
        yield f"| `{status.value}` | {status.meaning} | {_events(status)} |"
    yield from ("", "## The table", "", "| from | event | to | meaning |", "| --- | --- | --- | --- |")
    for (before, event), target in CALL_TRANSITIONS.items():
        yield f"| {_status(before)} | `{event.value}` | {_status(target)} | {event.meaning} |"
    yield ""
    yield "Once it is previewed and approved again, a step may be called again after `undone` or `failed_before`, and after"
    yield "`kept` if its call had failed. The undo of a plan after its end reads the plan's history, which may add an answer"
    yield "to a call that is `failed` or `duplicate`."
    yield from ("", "## The diagram", "", "```mermaid", "stateDiagram-v2")
    arrows: dict[tuple[str, str], list[CallEvent]] = {}
    for (before, event), target in CALL_TRANSITIONS.items():
        arrows.setdefault((_node(before), _node(target)), []).append(event)
    for (start, end), events in arrows.items():
        yield f"    {start} --> {end}: {', '.join(event.value for event in events)}"
    yield "```"


def _events(status: CallStatus | None) -> str:
    return ", ".join(f"`{event.value}`" for event in possible_events(status))


def _status(status: CallStatus | None) -> str:
    return f"`{status.value}`" if status else "(no call)"


def _node(status: CallStatus | None) -> str:
    return status.value if status else "[*]"


def reference() -> str:
    """`docs/starter.md`."""
    return "\n".join(_reference()) + "\n"


def _reference() -> Iterator[str]:
    group: Any = typer.main.get_command(app)
    yield from ("# The command line", "", _MADE, "", _paragraph(group.help), "", _paragraph(group.epilog), "")
    yield "Results go to stdout, errors to stderr. With `--json` stdout holds one JSON document and nothing else;"
    yield 'an error is `{"error": ..., "problems": [{"where", "message", "fix"}]}`. Ctrl-C exits 130.'
    for name, found in group.commands.items():
        yield from _command(name, found)


def _command(name: str, found: Any) -> Iterator[str]:
    context = found.make_context(name, [], resilient_parsing=True)
    arguments = [param for param in found.params if param.param_type_name == "argument"]
    options = [param for param in found.params if param.param_type_name == "option"]
    shown = " ".join(str(param.metavar or param.name).strip("{}") for param in arguments)
    yield from ("", f"## {name}", "", "```", f"starter.py {name} {shown}".rstrip() + " [OPTIONS]", "```", "")
    for part in (found.help or "").split("\n\n"):
        yield from (_paragraph(part), "")
    yield from ("| name | kind | meaning |", "| --- | --- | --- |")
    for param in arguments:
        yield f"| `{str(param.metavar or param.name).strip('{}')}` | argument | {_cell(param.help)} |"
    for param in options:
        yield f"| `{', '.join(param.opts)}` | {_kind(param, context)} | {_cell(param.help)} |"


def _kind(param: Any, context: Any) -> str:
    kind = "flag" if param.is_flag else str(param.metavar or param.display_type(context).strip("<>"))
    return f"{kind}, required".replace("|", " or ") if param.required else kind.replace("|", " or ")


def _paragraph(text: str | None) -> str:
    return " ".join((text or "").split())


def _cell(text: str | None) -> str:
    return _paragraph(text).replace("|", "\\|")


def _files() -> dict[Path, str]:
    return {FOLDER / "states.md": states(), FOLDER / "calls.md": calls(), FOLDER / "starter.md": reference()}


if __name__ == "__main__":
    application(_files, "make docs")()
