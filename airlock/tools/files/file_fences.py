"""Fences of files: no attempt of a frozen worker changes a file that a later attempt, or another plan, has changed since."""

import fcntl
import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from airlock.base.errors import ToolFailed
from airlock.plans.tool_call import ToolCall
from airlock.tools.common import require_mine_sync
from airlock.tools.files.folder import PRIVATE

FOLDER = "fences"
"""The part of the private folder that holds the greatest fencing token of each path."""
_DIGITS = 20
_PATIENCE = 5.0
_LOOK = 0.05


@contextmanager
def fenced(root: Path, path: str, call: ToolCall) -> Iterator[None]:
    """Change one file inside this block: it holds the lock of its path, and this call's token is the greatest so far.

    Raises:
        ToolFailed: If a later attempt came before, or another process keeps the lock; nothing was changed.
    """
    if not call.fence:  # a call without a workflow, as in tests of tools
        yield
        return
    folder = root / PRIVATE / FOLDER
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    file = os.open(folder / hashlib.sha256(path.encode()).hexdigest()[:32], os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        _lock(file, path)
        if int(os.pread(file, _DIGITS, 0) or b"0") > call.fence:
            raise ToolFailed(f"{path!r} was changed by a later call: this attempt is too old, and changed nothing")
        # the question comes first: between the token and the change there is no wait
        require_mine_sync(call)
        os.pwrite(file, f"{call.fence:0{_DIGITS}}".encode(), 0)
        yield
    finally:
        os.close(file)


def _lock(file: int, path: str) -> None:
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise ToolFailed(f"another call is changing {path!r}, and does not end", retry=True) from None
            time.sleep(_LOOK)
        else:
            return
