"""The command line as a person runs it: `starter.py` as a process (forked), against one real environment for all tests."""

import asyncio
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from typer.testing import CliRunner

from airlock.cli.app import app
from airlock.client import Airlock
from airlock.plans.state import State
from devtools.environment import ROOT, Environment, environment
from tests import forks
from tests.cli.browser import Browser, browser
from tests.cli.export_folders import PLANS, export
from tests.core.export_build import records

CTRL_C = "\x03"
NO_SERVER = {"TEMPORAL_ADDRESS": "127.0.0.1:1"}
EXAMPLES = ROOT / "examples"
CONFIG = str(ROOT / "airlock.toml")


@dataclass(frozen=True)
class Said:
    """The exit code and the output of one command."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def run_starter(*arguments: str, environment: dict[str, str], stdin: str = "") -> Said:
    code, out, errors = forks.run([forks.STARTER, *arguments], environment, ROOT, stdin)
    assert "Traceback" not in errors
    return Said(code, out, errors)


def starter_on_terminal(*arguments: str, environment: dict[str, str], typed: str, after: str = "?") -> Said:
    """Run a command on a terminal and type something, or press Ctrl-C, once it has said `after`."""
    ours, theirs = os.openpty()
    with subprocess.Popen(
        [sys.executable, str(ROOT / "starter.py"), *arguments],
        cwd=ROOT,
        env={**environment, "TERM": "xterm", "COLUMNS": "200"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    ) as process:
        os.close(theirs)
        said = ""
        deadline = time.monotonic() + 240
        while time.monotonic() < deadline:
            if not select.select([ours], [], [], 1.0)[0]:
                continue
            try:
                piece = os.read(ours, 65_536)
            except OSError:  # the terminal is closed: the command has ended
                break
            said += piece.decode(errors="replace")
            if typed and after in said:
                if typed == CTRL_C:
                    process.send_signal(signal.SIGINT)
                else:
                    os.write(ours, f"{typed}\n".encode())
                typed = ""
        os.close(ours)
        return Said(process.wait(60), said, "")


def new_key() -> tuple[bytes, str]:
    """Return an Ed25519 key as ssh-keygen makes it, and its public line without a name."""
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    return private, key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


@pytest.fixture(scope="session")
async def env(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Environment]:
    async with environment(tmp_path_factory.mktemp("cli") / "env") as running:
        yield running


@dataclass(frozen=True)
class Starter:
    """Runs commands against the environment, without blocking the loop the environment lives on."""

    env: Environment

    async def __call__(self, *arguments: str, stdin: str = "") -> Said:
        return await asyncio.to_thread(run_starter, *arguments, environment=self.env.worker_environment, stdin=stdin)


@pytest.fixture
def starter(env: Environment) -> Starter:
    return Starter(env)


def note_plan(plan_id: str, **changes: Any) -> dict[str, Any]:
    """Return a small plan: two notes, the second behind the first."""
    return {
        "plan_id": plan_id,
        "goal": "Write two notes",
        "requested_by": "sales-lead",
        "steps": [
            {"id": "one", "agent": "ops", "tool": "file_write", "args": {"path": f"{plan_id}/one.md", "content": "1"},
             "confidence": 0.95},
            {"id": "two", "agent": "ops", "tool": "file_write", "args": {"path": f"{plan_id}/two.md", "content": "2"},
             "confidence": 0.95, "after": ["one"]},
        ],
        **changes,
    }  # fmt: skip


@pytest.fixture
def plan_file(tmp_path: Path) -> Callable[..., str]:
    def write(document: Any, name: str = "plan.json") -> str:
        path = tmp_path / name
        path.write_text(document if isinstance(document, str) else json.dumps(document), encoding="utf-8")
        return str(path)

    return write


def eventually(holds: Callable[[], bool], within: float = 120.0) -> None:
    deadline = time.monotonic() + within
    while not holds():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.02)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Yield a real browser for the pages of a module."""
    with browser(tmp_path_factory.mktemp("chromium") / "profile") as opened:
        yield opened


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an export of 16 plans in which nothing is wrong."""
    folder = tmp_path_factory.mktemp("export") / "files"
    export(folder, records(PLANS))
    return folder


def invoke(*arguments: str) -> Any:
    """Run a command in this process."""
    return CliRunner().invoke(app, list(arguments))


@pytest.fixture
def airlock(env: Environment) -> Airlock:
    """Return a client of the environment."""
    return Airlock(env.client)


async def waiting(airlock: Airlock, plan: dict[str, Any]) -> str:
    """Return the digest of a submitted plan that waits for approval."""
    handle = await airlock.submit(plan)
    status = await handle.wait_for(State.AWAITING_APPROVAL)
    assert status.digest is not None, status.why
    return status.digest
