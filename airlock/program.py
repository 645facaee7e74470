"""The program as it was started: its name for hints that can be pasted, its version, and its end."""

import contextlib
import errno
import io
import logging
import os
import re
import shlex
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

DISTRIBUTION = "airlock-temporal"
COMMANDS = (
    "init", "dev", "start", "list", "show", "watch", "inbox", "approve", "deny", "amend", "rollback", "abort", "resolve",
    "lock", "unlock", "gate", "health", "signals", "tools", "check", "policy", "mcp", "console", "notify", "keys", "export",
    "verify",
)  # fmt: skip
"""The names of all commands, in the order of the help."""
_COMMAND = re.compile(rf"(?<![/\w-])(?<!-m )airlock (?=(?:{'|'.join(COMMANDS)})\b)")
"""A command as the core writes it; one that `as_started` has written is left alone."""

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


def program() -> str:
    """Return the program to type before a command, as this process was started.

    It is `python starter.py`, `python -m airlock`, or else `airlock`, the installed command; a worker and a user's own
    program get the latter too.
    """
    started = Path(sys.argv[0])
    if started.name == "starter.py":
        return f"{_interpreter()} {shlex.quote(sys.argv[0])}"
    if started.name == "__main__.py" and started.parent.name == "airlock":
        return f"{_interpreter()} -m airlock"
    if started.name == "airlock" and not _on_path("airlock", started):
        return shlex.quote(sys.argv[0])
    return "airlock"


def as_started(text: str) -> str:
    """Return a text of the core with its commands written for the program that this process was started as.

    The core writes `airlock COMMAND`: it does not know which program shows the text.
    """
    return _COMMAND.sub(lambda _: f"{program()} ", text)


def usage_name(installed: str, script: str, package: str) -> str:
    """Return the name of a program in its own usage line.

    Args:
        installed: The installed command, such as `airlock`.
        script: The script of a checkout that does the same, such as `starter.py`.
        package: The package that `python -m` runs.
    """
    started = Path(sys.argv[0])
    if started.name == script:
        return f"python {script}"
    return f"python -m {package}" if started.name == "__main__.py" else installed


def installed_as(command: str) -> bool:
    """Return True if this process was started by the installed command of that name."""
    return Path(sys.argv[0]).name == command


def version() -> str:
    """Return the version of the checkout that runs, or else of the installed distribution."""
    project = Path(__file__).resolve().parents[1] / "pyproject.toml"
    if project.is_file():  # an editable installation keeps the version of the day on which it was made
        found = re.search(r'^version = "(.+)"$', project.read_text(encoding="utf-8"), re.MULTILINE)
        if found:
            return found[1]
    from importlib.metadata import version as installed_version

    return installed_version(DISTRIBUTION)


def run_and_leave(application: Callable[[], Any]) -> NoReturn:
    """Run a command line and end the process with its exit code, at once.

    The interpreter's own way out can abort (exit code 134) while a thread of the Temporal SDK still reports something, and
    it waits for threads of tools that never return. Nothing is lost: programs stop what they started before they return.
    Output that a full disk does not take ends with exit code 1; letters that a terminal lacks are written as escapes.
    """
    code: object = 0
    _escape_what_it_lacks(sys.stdout)
    try:
        application()
    except SystemExit as leaving:
        code = leaving.code
    except OSError as error:
        code = _not_written(error)
    # only a process that has connected has traces; importing their module here would cost every `--help` the SDK
    tracing = sys.modules.get("airlock.temporal.tracing")
    if tracing is not None:
        tracing.send_last_traces()
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        if stream is None:  # it was closed before the program started
            continue
        try:
            stream.flush()
        except ValueError:
            continue
        except OSError as error:
            if error.errno in _FULL:  # otherwise its reader has left
                code = code or _not_written(error)
    os._exit(code if isinstance(code, int) else 0 if code is None else 1)


def _escape_what_it_lacks(stream: object) -> None:
    if isinstance(stream, io.TextIOWrapper) and not stream.encoding.lower().startswith("utf"):
        stream.reconfigure(errors="backslashreplace")


def _not_written(error: OSError) -> int:
    """Report that the disk is full, or its like, and return the exit code; any other error is a defect of ours."""
    if error.errno not in _FULL or error.filename is not None:
        raise error
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.write(f"error: not all output was written: {error.strerror}\n")
    return 1


def _interpreter() -> str:
    """Return the interpreter as it was typed; `python` where that is the one on PATH."""
    if _on_path("python", Path(sys.executable)):
        return "python"
    return shlex.quote(sys.orig_argv[0] if sys.orig_argv else sys.executable)


def _on_path(name: str, file: Path) -> bool:
    # links are not followed: the `python` of every virtual environment is a link to the same file
    found = shutil.which(name)
    return found is not None and Path(found).absolute() == file.absolute()
