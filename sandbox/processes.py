"""Starts services of the sandbox as real processes, for the demo and the tests. Standard library only."""

import contextlib
import json
import os
import select
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import IO, Literal, Self

ROOT = Path(__file__).resolve().parents[1]
Service = Literal["crm", "smtp", "corpus"]


class NotReady(RuntimeError):
    """The service ended or stayed silent; the message holds the end of its stderr."""


class SandboxProcess:
    """One running service. It also ends when this process does, however this process ends."""

    def __init__(self, service: Service, process: "subprocess.Popen[bytes]", errors: IO[bytes]) -> None:
        self.service = service
        self.port = 0
        self._process = process
        self._errors = errors

    @property
    def url(self) -> str:
        """The address, without a slash at the end: `http://...`, or `smtp://...` for the mail server."""
        return f"{'smtp' if self.service == 'smtp' else 'http'}://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """The operating system's id of the process."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """True until the process has ended."""
        return self._process.poll() is None

    def stop(self, within: float = 20.0) -> int:
        """SIGTERM, and SIGKILL after `within` seconds; returns the exit code; safe to repeat."""
        if self.running:
            self._process.terminate()
            try:
                self._process.wait(within)
            except subprocess.TimeoutExpired:
                self._process.kill()
        return self._finish()

    def kill(self) -> int:
        """SIGKILL, as a crash would end it; returns the exit code; safe to repeat."""
        self._process.kill()
        return self._finish()

    def wait_ready(self, within: float) -> None:
        """Return once it accepts connections and `port` is known.

        Raises:
            NotReady: it ended, or `within` seconds were not enough; it no longer runs then.
        """
        line = _first_line(self._process, within)
        try:
            self.port = int(json.loads(line)["port"])
        except (ValueError, KeyError, TypeError):
            self._process.kill()
            self._process.wait()
            self._errors.seek(0)
            said = self._errors.read()[-4000:].decode(errors="replace").strip()
            self._finish()
            raise NotReady(f"sandbox {self.service} is not ready after {within} s: {said}") from None

    def _finish(self) -> int:
        code = self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout, self._errors):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        return code

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()


def start(
    service: Service,
    *,
    port: int = 0,
    state: Path | str | None = None,
    mailbox: Path | str | None = None,
    token: str | None = None,
    slow_seconds: float | None = None,
    ready_within: float = 60.0,
) -> SandboxProcess:
    """Start one service and return it once it accepts connections.

    Args:
        service: `crm`, `smtp` or `corpus`.
        port: on 127.0.0.1; 0 is a free one.
        state: crm only: the SQLite file that keeps its data.
        mailbox: smtp only, and required there: the folder for accepted mail.
        token: crm only: the only bearer token that opens the contacts.
        slow_seconds: smtp only: how long mail to `slow.test` waits for its answer.
        ready_within: seconds.

    Raises:
        NotReady: it did not come up.
    """
    command = [sys.executable, "-m", "sandbox", service, "--port", str(port), "--watch-stdin"]
    if state is not None:
        command += ["--state", str(Path(state).resolve())]
    if mailbox is not None:
        command += ["--mailbox", str(Path(mailbox).resolve())]
    if token is not None:
        command += ["--token", token]
    if slow_seconds is not None:
        command += ["--slow-seconds", str(slow_seconds)]
    sandbox = _spawn(service, command)
    sandbox.wait_ready(ready_within)
    return sandbox


def _spawn(service: Service, command: list[str]) -> SandboxProcess:
    errors = tempfile.TemporaryFile()  # noqa: SIM115  closed when the process has ended
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=errors,
        start_new_session=True,  # Ctrl-C in a terminal reaches us, and we stop it
    )
    return SandboxProcess(service, process, errors)


def _first_line(process: "subprocess.Popen[bytes]", within: float) -> bytes:
    """Return the first line of its stdout; what there is of it when it ends or time is up."""
    assert process.stdout is not None
    descriptor = process.stdout.fileno()
    deadline = time.monotonic() + within
    line = b""
    while b"\n" not in line and (left := deadline - time.monotonic()) > 0:
        if select.select([descriptor], [], [], left)[0]:
            piece = os.read(descriptor, 4096)
            if not piece:
                break
            line += piece
    return line
