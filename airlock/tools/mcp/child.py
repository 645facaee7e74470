"""The process of a server that speaks on its standard input and output: its end, and what it writes as errors."""

import errno
import os
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from airlock.admission.configuration.mcp_config import McpServer
from airlock.base.visible import printable

_LINE = 4_096
"""Characters of a line of errors; the rest is shown as another line."""
_TETHERED = """
import ctypes, os, sys
parent, command = int(sys.argv[1]), sys.argv[2:]
ctypes.CDLL(None).prctl(1, 9)
if os.getppid() != parent:
    os._exit(1)
try:
    os.execvp(command[0], command)
except OSError as error:
    sys.exit(f"{command[0]}: {error.strerror}")
"""
"""Asks Linux to kill the process when its parent dies (PR_SET_PDEATHSIG, SIGKILL), and becomes the server.

A worker that is killed closes no session, and a server that is busy reads no end of its input: it would go on with a call
that is in doubt by then, and act after a probe has said that nothing happened.
"""


def tethered(server: McpServer) -> tuple[str, list[str]]:
    """Return the command and the arguments of a server, which ends with this process where the system can do that.

    Raises:
        FileNotFoundError: If there is no such program.
    """
    assert server.command is not None
    path = server.env.get("PATH")
    found = shutil.which(server.command, path=path if isinstance(path, str) else None)
    if not found and not Path(server.cwd or ".", server.command).exists():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), server.command)
    if not sys.platform.startswith("linux"):
        return server.command, list(server.args)
    return sys.executable, ["-I", "-S", "-c", _TETHERED, str(os.getpid()), server.command, *server.args]


@contextmanager
def error_log(name: str, hide: Callable[[str], str]) -> Iterator[TextIO]:
    """Open a file for the errors of a server: its lines go to those of this process, without secrets and escapes.

    Args:
        name: The name of the server, which stands before each line.
        hide: Replaces secrets.
    """
    reading, writing = os.pipe()

    def copy() -> None:
        with os.fdopen(reading, encoding="utf-8", errors="replace") as lines:
            while line := lines.readline(_LINE):
                sys.stderr.write(f"[mcp.{name}] {printable(hide(line.rstrip()))}\n")
                sys.stderr.flush()

    threading.Thread(target=copy, name=f"airlock-mcp-{name}", daemon=True).start()
    with os.fdopen(writing, "w", encoding="utf-8") as log:
        yield log
