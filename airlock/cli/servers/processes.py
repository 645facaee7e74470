"""Child processes that never outlive this one: logs in files, an error with the log when one dies, an orderly stop."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

from airlock.base.errors import AirlockError

_TAIL_BYTES = 4_000
_POLL = 0.05


class ChildFailed(AirlockError):
    """A child process ended, or did not become ready; the message holds the end of its log."""


class Child:
    """One running command. It is killed when this process ends, in any way."""

    def __init__(
        self, name: str, command: Sequence[str], log: Path, environment: Mapping[str, str], cwd: Path | None = None
    ) -> None:
        self.name = name
        self.log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        self._start = log.stat().st_size if log.exists() else 0
        self._file: IO[bytes] = log.open("ab")
        self._process = subprocess.Popen(
            [sys.executable, "-S", "-E", str(Path(__file__).with_name("leash.py")), *command],
            env=dict(environment),
            cwd=cwd,
            stdin=subprocess.PIPE,  # our end closes when we die: the leash
            stdout=self._file,
            stderr=self._file,
            start_new_session=True,  # Ctrl-C in a terminal reaches us, and we stop it in order
        )

    @property
    def pid(self) -> int:
        """The operating system's id of the command."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """True until the command has ended."""
        return self._process.poll() is None

    def said(self) -> str:
        """Return the last part of the log that the command wrote since it was started."""
        with self.log.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(self._start, size - _TAIL_BYTES))
            return file.read().decode(errors="replace")

    async def wait_until(self, ready: Callable[[], bool], within: float) -> None:
        """Return once `ready` answers True.

        Raises:
            ChildFailed: If the command ends first, or `within` seconds pass.
        """
        deadline = time.monotonic() + within
        while not ready():
            if not self.running:
                raise self.failure(f"ended with exit code {self._process.returncode}")
            if time.monotonic() > deadline:
                raise self.failure(f"was not ready after {within:g} s")
            await asyncio.sleep(_POLL)

    def failure(self, what: str) -> ChildFailed:
        """Return an error about this command, with the end of its log."""
        tail = "\n".join(f"  {line}" for line in self.said().splitlines()[-15:])
        return ChildFailed(f"{self.name} {what}. The end of {self.log}:\n{tail or '  (it wrote nothing)'}")

    async def stop(self, within: float = 20.0) -> int:
        """Send SIGTERM, and SIGKILL after `within` seconds; return the exit code. Safe to repeat."""
        if self.running:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                await asyncio.to_thread(self._process.wait, within)
        return self.kill()

    def kill(self) -> int:
        """Send SIGKILL, as a crash would end it; return the exit code. Safe to repeat."""
        if self.running:
            self._process.send_signal(signal.SIGKILL)
        code = self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._file.close()
        return code
