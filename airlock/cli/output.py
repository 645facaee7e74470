"""The output of every command: results on stdout, errors on stderr, or with `--json` one JSON document on stdout.

Exit codes: 0 success, 1 refusal, 2 bad usage, 130 interrupted by Ctrl-C. What runs until it is told to stop
(`dev` once it is up, a worker) exits 0 then: it has done all that was asked.
"""

import asyncio
import functools
import inspect
import json
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Annotated, Any, ParamSpec

import typer
from pydantic import BaseModel
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text
from temporalio.service import RPCError

from airlock.base.errors import AirlockError, ConfigError, PlanError, Problem
from airlock.base.text import count
from airlock.base.visible import is_invisible, printable, visible
from airlock.program import as_started

OK = 0
REFUSED = 1
INTERRUPTED = 130

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout and nothing else.")]

_WIDTH_WITHOUT_TERMINAL = 160
_P = ParamSpec("_P")


class Refusal(AirlockError):
    """A refusal of a command. `problems` name the place and the fix, and `more` goes into the JSON."""

    def __init__(self, message: str, problems: Sequence[Problem] = (), **more: Any) -> None:
        self.problems = tuple(problems)
        self.more = more
        super().__init__(message)


class _Screen(Console):
    """A console on which no text can move the cursor, colour or erase anything: only the console itself does.

    A worker without keys can answer a query. What it says beside a preview must not be drawn over the preview.
    """

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=_printable(segment.text))


def console(*, stderr: bool = False) -> Console:
    """Return a console for people: colours only on a terminal, and never with NO_COLOR; markup is printed as it is."""
    probe = _Screen(stderr=stderr, highlight=False, markup=False, emoji=False)
    if probe.is_terminal:
        return probe
    return _Screen(stderr=stderr, highlight=False, markup=False, emoji=False, width=_WIDTH_WITHOUT_TERMINAL)


def say(text: str = "", style: str = "") -> None:
    """Print one text as it is, without markup and wrapping, so that commands can be pasted."""
    console().print(Text(_printable(text), style=style), soft_wrap=True)


def say_styled(text: Text) -> None:
    """Print a text of ours with its styles, without markup and wrapping."""
    console().print(text, soft_wrap=True)


def print_plain(text: str) -> None:
    """Print a text of many lines as it is; for thousands of lines, which take `say` seconds."""
    print(_printable(text))


def warn(text: str) -> None:
    """Print one text on stderr."""
    console(stderr=True).print(Text(_printable(text), style="yellow"), soft_wrap=True)


def _printable(text: str) -> str:
    """Return a text in lines of ours, without what may be left in it of a foreign text that a worker did not mark."""
    return "\n".join(printable(line) for line in text.split("\n"))


def safe(text: str) -> str:
    """Return a foreign text as one line in which everything can be seen: it must not fake lines or hide others."""
    return visible(text.replace("\r\n", " ").replace("\n", " "))


def emit(document: Any) -> None:
    """Print one JSON document on stdout."""
    print(_json(document, indent=2))


def emit_line(document: Any) -> None:
    """Print one JSON document on one line of stdout, immediately."""
    print(_json(document), flush=True)


def _json(document: Any, indent: int | None = None) -> str:
    """Return a document as JSON; what cannot be seen in a text of it is escaped as JSON does, and so means the same."""
    text = json.dumps(plain(document), indent=indent, ensure_ascii=False)
    if text.isascii():
        return text
    if not (getattr(sys.stdout, "encoding", None) or "utf-8").lower().startswith("utf"):
        return json.dumps(plain(document), indent=indent)  # its stdout writes what it lacks as Python does, not as JSON
    return "".join(
        json.dumps(each)[1:-1] if each != "\n" and (is_invisible(each) or not each.isprintable()) else each for each in text
    )


def plain(document: Any) -> Any:
    """Return a document with its models as plain JSON values."""
    if isinstance(document, BaseModel):
        return document.model_dump(mode="json")
    if isinstance(document, dict):
        return {key: plain(value) for key, value in document.items()}
    if isinstance(document, list | tuple):
        return [plain(value) for value in document]
    return document


def command(function: Callable[_P, Any]) -> Callable[_P, None]:
    """Make a typer command of a function or coroutine that returns its exit code (None is 0).

    Errors Airlock raises on purpose are printed without a traceback and exit 1; Ctrl-C exits 130.
    """

    @functools.wraps(function)
    def run(*args: _P.args, **kwargs: _P.kwargs) -> None:
        raise typer.Exit(_guarded(lambda: _result(function(*args, **kwargs)), bool(kwargs.get("as_json"))))

    return run


def _result(value: Any) -> int:
    if inspect.iscoroutine(value):
        value = asyncio.run(value)
    return int(value or OK)


def _guarded(call: Callable[[], int], as_json: bool) -> int:
    try:
        return call()
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output has left; an error message would reach no one
        return REFUSED
    except RPCError as error:
        from airlock.temporal.connection import refusal_of  # only now: it costs commands that never connect their start

        report(Refusal(refusal_of(error)), as_json)
    except AirlockError as error:
        report(error, as_json)
    except OSError as error:
        if error.filename is None:  # no file of the user's: a defect, with its traceback
            raise
        report(AirlockError(f"{os.fsdecode(error.filename)}: {error.strerror}"), as_json)
    return REFUSED


def report(error: AirlockError, as_json: bool) -> None:
    """Print an error: for a program as one JSON document on stdout, for a person on stderr."""
    problems: Sequence[Problem] = getattr(error, "problems", ())
    if as_json:
        more = error.more if isinstance(error, Refusal) else {}
        if isinstance(error, ConfigError) and error.file:
            more = {"config": error.file}
        emit({"error": _headline(error), "problems": [_as_started(problem) for problem in problems], **more})
        return
    screen = console(stderr=True)
    screen.print(Text.assemble(("error: ", "bold red"), _lines(_headline(error))), soft_wrap=True)
    for problem in problems:
        print_problem("  ", problem, screen)


def _as_started(problem: Problem) -> Problem:
    # `where` names a place, never a command
    return problem.model_copy(update={"message": as_started(problem.message), "fix": as_started(problem.fix)})


def print_problem(lead: str, problem: Problem, screen: Console, style: str = "") -> None:
    """Print one problem in two lines: its place and message, then `fix:` and the fix."""
    screen.print(
        Text.assemble((lead, style), f"{safe(problem.where)}: {safe(as_started(problem.message))}"),
        soft_wrap=True,
    )
    screen.print(Text(f"  fix: {safe(as_started(problem.fix))}", style="dim"), soft_wrap=True)


def _headline(error: AirlockError) -> str:
    if isinstance(error, PlanError):
        return f"the plan cannot be accepted: {count(len(error.problems), 'problem')}"
    if isinstance(error, ConfigError):
        file = f"{error.file}: " if error.file else ""
        return f"{file}the configuration cannot be used: {count(len(error.problems), 'problem')}"
    return as_started(str(error))


def _lines(text: str) -> str:
    return "\n".join(visible(line) for line in text.split("\n"))
