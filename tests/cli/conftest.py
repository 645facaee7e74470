"""The command line as a person runs it: `starter.py` as a process, against one real environment for all tests."""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cli.environment import Environment, environment
from cli.processes import ROOT

NO_SERVER = {"TEMPORAL_ADDRESS": "127.0.0.1:1"}


@dataclass(frozen=True)
class Said:
    """How one command ended and what it said."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def run_starter(*arguments: str, environment: dict[str, str], stdin: str = "") -> Said:
    done = subprocess.run(
        [sys.executable, str(ROOT / "starter.py"), *arguments],
        cwd=ROOT,
        env=environment,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "Traceback" not in done.stderr
    return Said(done.returncode, done.stdout, done.stderr)


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
    """A small plan: two notes, the second behind the first."""
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


def eventually(holds: Callable[[], bool], within: float = 15.0) -> None:
    deadline = time.monotonic() + within
    while not holds():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.02)
