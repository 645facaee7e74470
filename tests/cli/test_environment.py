"""Processes that never outlive the one that started them; locks; ports; and `dev` as a person uses it."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import pytest

from airlock.cli.servers.file_lock import AlreadyRunning, held
from airlock.cli.servers.ports import free_ports, usual_or_free
from airlock.cli.servers.processes import Child, ChildFailed
from airlock.cli.servers.stopping import until_stopped
from devtools.environment import ROOT, environment
from tests.cli.conftest import eventually

SLEEP = [sys.executable, "-S", "-c", "import time; print('up', flush=True); time.sleep(60)"]


def alive(pid: int) -> bool:
    """Return True unless the process is gone or waits for its parent to collect it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


def family(text: str) -> list[int]:
    """Return the processes whose command line holds a text, this one left out."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except (OSError, NotADirectoryError):
            continue
        if entry.name.isdigit() and text in command and int(entry.name) != os.getpid() and alive(int(entry.name)):
            found.append(int(entry.name))
    return found


async def test_a_child_stops_when_told(tmp_path: Path) -> None:
    child = Child("a child", SLEEP, tmp_path / "log", os.environ)
    await child.wait_until(lambda: "up" in child.said(), 120)
    assert child.running
    assert await child.stop() == -signal.SIGTERM
    assert (child.running, child.kill()) == (False, -signal.SIGTERM)


async def test_a_child_that_dies_is_reported_with_its_words(tmp_path: Path) -> None:
    child = Child(
        "a child", [sys.executable, "-c", "print('cannot do it'); raise SystemExit(3)"], tmp_path / "log", os.environ
    )
    with pytest.raises(ChildFailed, match=r"(?s)a child ended with exit code 3\. The end of .*log:\n  cannot do it"):
        await child.wait_until(lambda: False, 120)
    child.kill()
    missing = Child("a child", ["no-such-command"], tmp_path / "log", os.environ)
    with pytest.raises(ChildFailed, match="cannot run no-such-command"):
        await missing.wait_until(lambda: False, 120)
    missing.kill()


async def test_a_child_that_stays_silent_is_reported(tmp_path: Path) -> None:
    child = Child("a child", SLEEP, tmp_path / "log", os.environ)
    with pytest.raises(ChildFailed, match="was not ready after"):
        await child.wait_until(lambda: False, 0.2)
    await child.stop()


def test_a_child_dies_with_whoever_started_it(tmp_path: Path) -> None:
    command, log = [*SLEEP, str(tmp_path)], str(tmp_path / "log")
    code = (
        "import os, pathlib; from airlock.cli.servers.processes import Child;"
        f"c = Child('c', {command!r}, pathlib.Path({log!r}), os.environ); print(c.pid, flush=True); input()"
    )
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        eventually(lambda: "up" in (tmp_path / "log").read_text())
        parent.kill()
    eventually(lambda: not alive(pid))
    eventually(lambda: not family(str(tmp_path)))


def test_a_lock_is_held_by_one_and_freed_by_a_crash(tmp_path: Path) -> None:
    path = tmp_path / "state.lock"
    with held(path) as note:
        note("TEMPORAL_ADDRESS=here")
        with (
            pytest.raises(AlreadyRunning, match=rf"already uses .*state \(pid {os.getpid()}, TEMPORAL_ADDRESS=here\)"),
            held(path),
        ):
            pass
    with held(path):
        pass


def test_ports_that_are_taken_are_replaced() -> None:
    assert len({free_ports().temporal, free_ports().ui}) == 2
    with closing(socket.socket()) as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as a server does right after another one
        with suppress(OSError):  # another process has it: just as well
            taken.bind(("127.0.0.1", 7233))
        taken.listen()
        assert usual_or_free().temporal != 7233
        assert not usual_or_free().usual


@pytest.mark.slow
async def test_a_worker_that_cannot_start_is_reported_and_everything_stops(tmp_path: Path) -> None:
    config = tmp_path / "wrong.toml"
    config.write_text('[catalogue]\nmodules = ["no_such_module"]\n')
    with pytest.raises(ChildFailed, match=r"(?s)the worker ended with exit code 1.*there is no module 'no_such_module'"):
        async with environment(tmp_path / "env", config=config):
            pass
    eventually(lambda: not family(str(tmp_path)))


def start_dev(folder: Path) -> tuple["subprocess.Popen[str]", dict[str, str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "devtools.dev", "--json", "--folder", str(folder)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    return process, json.loads(process.stdout.readline())


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_dev_comes_up_twice_in_a_row_and_leaves_nothing(tmp_path: Path) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        process, up = start_dev(tmp_path / "dev")
        with process:
            assert (tmp_path / "dev" / "temporal.db").is_file()
            assert family(up["work_folder"].removesuffix("/work"))
            second = subprocess.run(
                [sys.executable, "-m", "devtools.dev", "--json", "--folder", str(tmp_path / "dev")],
                cwd=ROOT, capture_output=True, text=True, check=False,
            )  # fmt: skip
            assert second.returncode == 1
            assert up["temporal_address"] in json.loads(second.stdout)["error"]
            process.send_signal(number)
            assert process.wait(120) == 0
            assert process.stderr is not None
            assert process.stderr.read() == ""
        eventually(lambda: not family(str(tmp_path)))  # a watcher of a child ends a moment after it


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
@pytest.mark.parametrize(
    ("up", "code", "out", "err"),
    [(True, 0, "stopping ...\neverything has stopped\n", ""),
     (False, 130, "stopping ...\n", "stopped before everything was up; what had been started has ended\n")],
    ids=["up", "not up"],
)  # fmt: skip
async def test_a_stop_before_all_is_up_is_told_from_the_usual_end(
    up: bool, code: int, out: str, err: str, number: int, capsys: pytest.CaptureFixture[str]
) -> None:
    cleaned_up = []

    async def run(is_up: Callable[[], None]) -> None:
        try:
            if up:
                is_up()
            os.kill(os.getpid(), number)
            await asyncio.Event().wait()
        finally:
            cleaned_up.append(number)

    async with asyncio.timeout(60):
        assert await until_stopped(run, as_json=False) == code
        assert capsys.readouterr() == (out, err)
        assert await until_stopped(run, as_json=True) == code
    said = capsys.readouterr()
    assert (bool(said.out), said.err) == (not up, "")
    assert up or set(json.loads(said.out)) == {"error", "problems"}
    assert cleaned_up == [number, number]


@pytest.mark.slow
def test_a_dev_that_is_stopped_while_it_starts_leaves_nothing(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, str(ROOT / "starter.py"), "dev", "--folder", str(tmp_path / "dev")],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        # the server writes this file long before the worker is ready
        eventually(lambda: (tmp_path / "dev" / "temporal.db").is_file() or process.poll() is not None)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=120)
    assert (process.returncode, "Traceback" in err) == (130, False), (out, err)
    assert err == "stopped before everything was up; what had been started has ended\n"
    eventually(lambda: not family(str(tmp_path)))  # a watcher of a child ends a moment after it


_STOPPED_DURING_IMPORTS = """
import os, signal, sys
class Interrupting:
    def find_spec(self, name, *rest):
        if name == "typer":
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Interrupting())
from airlock{}.__main__ import main
main()
"""


@pytest.mark.parametrize("package", ["", ".worker"])
def test_ctrl_c_during_the_imports_of_a_program_shows_no_traceback(package: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _STOPPED_DURING_IMPORTS.format(package)],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", "")


@pytest.mark.slow
def test_nothing_outlives_a_dev_that_is_killed(tmp_path: Path) -> None:
    process, up = start_dev(tmp_path / "dev")
    with process:
        pids = children_of(process.pid)
        assert len(pids) >= 6  # the server, two services and the worker; a watcher of each that cannot watch by itself
        process.kill()
    eventually(lambda: not any(map(alive, pids)))
    assert up["temporal_address"].startswith("127.0.0.1:")


def children_of(pid: int) -> list[int]:
    """Return every process below a process.

    Read from the parents: the kernel's list of children is one for each thread, and may leave out some while others end.
    """
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):  # it ended meanwhile
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                parents.setdefault(parent, []).append(int(entry.name))
    below = [pid]
    for each in below:
        below += parents.get(each, [])
    return below[1:]
