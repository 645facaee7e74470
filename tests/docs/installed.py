"""The command `airlock` for tests that run commands of the documents: the installed one, or this checkout's by that name."""

import atexit
import shlex
import shutil
import sys
import tempfile
from functools import cache
from pathlib import Path

from tests.docs.fences import ROOT


@cache
def command_folders() -> tuple[str, ...]:
    """Return the folders to put in front of PATH, so that `airlock` and the environment's `python` are found."""
    scripts = Path(sys.executable).parent
    if shutil.which("airlock", path=str(scripts)):
        return (str(scripts),)
    folder = Path(tempfile.mkdtemp(prefix="airlock-command-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    script = folder / "airlock"
    script.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {shlex.quote(str(ROOT / "starter.py"))} "$@"\n')
    script.chmod(0o755)
    return (str(folder), str(scripts))
