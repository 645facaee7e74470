"""`starter.py` and `worker.py` as processes of their own, forked off one that has imported them.

Their imports take a second of CPU, and the tests start hundreds. A fork begins where `main` begins: with its own arguments,
environment, folder, streams and session, and it ends and is killed as any other process. Programs that start with all their
imports are tested in tests/docs and tests/packaging.
"""

import atexit
import contextlib
import gc
import importlib
import io
import itertools
import json
import os
import pkgutil
import select
import selectors
import signal
import socket
import subprocess
import sys
import threading
import traceback
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import IO, Any, NoReturn

ROOT = Path(__file__).resolve().parents[1]
STARTER, WORKER = str(ROOT / "starter.py"), str(ROOT / "worker.py")
_MAINS = {STARTER: "airlock.__main__", WORKER: "airlock.worker.__main__"}
_NURSERIES = 2
"""Worker processes take turns: what one leaves, another one goes on with, under another seed of hashes."""
_TURNS = itertools.count()
_MESSAGE = 1 << 20


class Forked:
    """A running program, with the part of `subprocess.Popen` that tests use.

    Args:
        command: `STARTER` or `WORKER`, and the arguments.
        environment: All its variables.
        cwd: Its folder.
        streams: Its stdin, stdout and stderr.
    """

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str], cwd: Path, streams: Sequence[IO[Any] | int]
    ) -> None:
        order = json.dumps([list(command), dict(environment), str(cwd)]).encode()
        self._answers, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        fds = [each if isinstance(each, int) else each.fileno() for each in streams]
        with theirs:
            _nursery(next(_TURNS) % _NURSERIES if command[0] == WORKER else 0).ask(order, [*fds, theirs.fileno()])
        self.pid = int(self._answers.recv(_MESSAGE))
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Return its exit code as `subprocess` does, or None while it runs."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end and return its exit code.

        Raises:
            subprocess.TimeoutExpired: If it has not ended in time.
        """
        if self.returncode is None:
            if not select.select([self._answers], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0)
            said = self._answers.recv(_MESSAGE)
            self._answers.close()
            self.returncode = int(said) if said else -signal.SIGKILL  # its nursery died, and it with it
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send it a signal, if it still runs."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def run(
    command: Sequence[str], environment: Mapping[str, str], cwd: Path, stdin: str = "", timeout: float = 240
) -> tuple[int, str, str]:
    """Run a program to its end. Return its exit code, its stdout and its stderr.

    Raises:
        subprocess.TimeoutExpired: If it had to be killed.
    """
    with contextlib.ExitStack() as files:
        said = files.enter_context(_file(stdin))
        out, errors = files.enter_context(_file()), files.enter_context(_file())
        process = Forked(command, environment, cwd, [said, out, errors])
        try:
            code = process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
        return code, _text(out), _text(errors)


def _file(text: str = "") -> IO[bytes]:
    made = open(os.memfd_create("stream"), "w+b")  # noqa: SIM115  the caller closes it
    made.write(text.encode())
    made.seek(0)
    return made


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode().replace("\r\n", "\n")


class _Nursery:
    """The process that has imported the programs, and forks."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._orders, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.forks", str(theirs.fileno()), str(os.getpid())],
                cwd=ROOT, stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()], start_new_session=True,
            )  # fmt: skip
        atexit.register(self._close)

    def ask(self, order: bytes, fds: list[int]) -> None:
        with self._lock:
            socket.send_fds(self._orders, [order], fds)

    def _close(self) -> None:
        self._orders.close()
        self._process.wait(60)


@cache
def _nursery(number: int) -> _Nursery:
    return _Nursery()


def _main(orders: socket.socket) -> None:
    """Import the programs, then fork one for each order until no more can come."""
    gc.set_threshold(50_000)
    for package in ("airlock.cli", "airlock.worker"):
        for module in pkgutil.iter_modules(importlib.import_module(package).__path__, f"{package}."):
            if not module.ispkg and not module.name.endswith("__main__"):
                importlib.import_module(module.name)
    gc.collect()
    gc.freeze()
    assert len(os.listdir("/proc/self/task")) == 1, "threads do not live on in a fork"
    awake, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    children: dict[int, socket.socket] = {}
    with selectors.DefaultSelector() as ready:
        ready.register(orders, selectors.EVENT_READ)
        ready.register(awake, selectors.EVENT_READ)
        while True:
            for key, _ in ready.select():
                if key.fileobj is orders:
                    said, fds, _, _ = socket.recv_fds(orders, _MESSAGE, 4)
                    if not said:
                        return
                    _fork(said, fds, children)
                else:
                    os.read(awake, _MESSAGE)
            _reap(children)


def _fork(order: bytes, fds: list[int], children: dict[int, socket.socket]) -> None:
    *streams, answers = fds
    parent = os.getpid()
    pid = os.fork()
    if not pid:
        _become(*json.loads(order), streams, parent)
    for each in streams:
        os.close(each)
    children[pid] = socket.socket(fileno=answers)
    children[pid].send(str(pid).encode())


def _reap(children: dict[int, socket.socket]) -> None:
    while children:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            return
        with children.pop(pid) as answers, contextlib.suppress(OSError):
            answers.send(str(os.waitstatus_to_exitcode(status)).encode())


def _become(command: list[str], environment: dict[str, str], cwd: str, streams: list[int], parent: int) -> NoReturn:
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.setsid()
        _leash(parent)
        for number, each in enumerate(streams):
            os.dup2(each, number)
        os.closerange(3, 1_024)
        os.chdir(cwd)
        os.environ.clear()
        os.environ.update(environment)
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
        sys.stdout, sys.stderr = _writer(1, "strict"), _writer(2, "backslashreplace")
        sys.argv = command
        importlib.import_module(_MAINS[command[0]]).main()
        code = 0
    except SystemExit as leaving:
        code = leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    except BaseException:  # noqa: BLE001  as an interpreter ends
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        os._exit(code)


def _writer(fd: int, errors: str) -> io.TextIOWrapper:
    at_once = bool(os.environ.get("PYTHONUNBUFFERED"))
    raw: Any = open(fd, "wb", 0 if at_once else -1, closefd=False)  # noqa: SIM115
    lines = fd == 2 or os.isatty(fd)
    encoding, _, named = os.environ.get("PYTHONIOENCODING", "").partition(":")  # as the interpreter reads it at its start
    return io.TextIOWrapper(raw, encoding or "utf-8", named or errors, line_buffering=lines, write_through=at_once)


def _leash(parent: int) -> None:
    """Be killed when the parent is, however it ends; Linux only, elsewhere the clean-up of the fixtures has to do."""
    import ctypes

    with contextlib.suppress(AttributeError):
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)


if __name__ == "__main__":
    _leash(int(sys.argv[2]))
    with socket.socket(fileno=int(sys.argv[1])) as given:
        _main(given)
    os._exit(0)
