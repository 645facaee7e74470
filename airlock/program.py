"""The command line as it was started, for hints that can be pasted."""

import re
import shlex
import sys
from pathlib import Path

_COMMAND = re.compile(r"\bairlock (?=[a-z]+\b)")


def program() -> str:
    """Return the program to type before a command, as this process was started.

    It is `python starter.py`, `python -m airlock`, or else `airlock`, the installed command; a worker and a user's own
    program get the latter too.
    """
    started = Path(sys.argv[0])
    if started.name == "starter.py":
        return f"python {shlex.quote(sys.argv[0])}"
    if started.name == "__main__.py" and started.parent.name == "airlock":
        return "python -m airlock"
    return "airlock"


def as_started(text: str) -> str:
    """Return a text of the core with its commands written for the program that this process was started as.

    The core writes `airlock COMMAND`: it does not know which program shows the text.
    """
    return _COMMAND.sub(lambda _: f"{program()} ", text)
