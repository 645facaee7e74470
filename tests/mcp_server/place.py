"""One place for the tests of a module: a Temporal server, a worker, and MCP servers, all of them real processes."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mcp import Client, StdioServerParameters
from mcp_types import CallToolResult

from airlock.client import Airlock
from airlock.temporal.connection import connect_to
from tests.processes.harness import READY, ROOT, Process, Server, until

AGENT = "claude"
OTHER = "gpt"
CONFIG = """
[catalogue]
modules = ["tests.mcp_server.agent_tools"]
[policy]
approvers = ["alice", "bob"]
[policy.agents.claude]
permissions = ["files:write", "notes:send"]
secrets = ["VAULT"]
[policy.agents.gpt]
permissions = ["files:write"]
[policy.agents.powerful]
permissions = ["*"]
secrets = ["*"]
"""


class Place:
    """The processes, and what a person and an agent can do with them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files = folder / "files"
        self.files.mkdir(parents=True)
        self.pages = folder / "pages"
        self.pages.mkdir()
        self.config = folder / "airlock.toml"
        self.config.write_text(CONFIG, encoding="utf-8")
        self.server = Server(folder / "server")
        self.workers: list[Process] = []
        self.doors: list[Process] = []

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("AIRLOCK_", "TEMPORAL_"))}
        return {
            **kept,
            "PYTHONPATH": str(ROOT),
            "TEMPORAL_ADDRESS": self.server.address,
            "AIRLOCK_SETTINGS__FILES__ROOT": str(self.files),
            "AGENT_TOOLS_PAGES": str(self.pages),
            "AIRLOCK_SECRET_VAULT": "the-password-itself",
            "AIRLOCK_CONFIG": str(self.config),
        }

    async def start(self) -> None:
        await self.server.start()
        await self.work()

    async def work(self) -> Process:
        log = self.folder / f"worker-{len(self.workers) + 1}.log"
        worker = Process([sys.executable, str(ROOT / "worker.py")], log, self.environment)
        self.workers.append(worker)
        await worker.says(READY)
        return worker

    async def listen(self, *options: str) -> str:
        """Start `airlock mcp --http` and return its URL."""
        log = self.folder / f"door-{len(self.doors) + 1}.log"
        command = [sys.executable, str(ROOT / "starter.py"), "mcp", "--http", "--port", "0", "--json", *options]
        door = Process(command, log, self.environment)
        self.doors.append(door)
        await door.says('"url"')
        return str(json.loads(door.said().splitlines()[-1])["url"])

    def stdio(self, agent: str = AGENT) -> StdioServerParameters:
        command = [str(ROOT / "starter.py"), "mcp", "--agent", agent]
        return StdioServerParameters(command=sys.executable, args=command, env=self.environment, cwd=str(ROOT))

    async def person(self, *command: str, code: int = 0) -> str:
        """Type a command of `airlock`, as a person would."""
        done = await asyncio.to_thread(
            subprocess.run, [sys.executable, str(ROOT / "starter.py"), *command],
            cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=240, check=False,
        )  # fmt: skip
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout if code == 0 else done.stdout + done.stderr

    async def approve(self, plan_id: str) -> None:
        """Read the preview and approve exactly it, as a person would."""
        digest = json.loads(await self.person("show", plan_id, "--json"))["status"]["digest"]
        await self.person("approve", plan_id, "--by", "alice", "--digest", digest)

    async def airlock(self) -> Airlock:
        return Airlock(await connect_to(self.server.address))

    def close(self) -> None:
        for process in (*self.doors, *self.workers):
            process.kill()
        self.server.close()


async def asked(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    """Call a tool and return its structured answer, which says the same as its text."""
    found = await client.call_tool(tool, arguments)
    assert isinstance(found, CallToolResult)
    assert found.structured_content is not None, found.content
    told = json.loads(found.content[0].text)  # type: ignore[union-attr]
    assert _within(told, found.structured_content)
    assert bool(found.is_error) is not found.structured_content["ok"]
    return dict(found.structured_content)


def _within(told: Any, content: Any) -> bool:
    """Return True if a text leaves out fields at their defaults, and says nothing else."""
    if isinstance(told, dict):
        return all(key in content and _within(value, content[key]) for key, value in told.items())
    if isinstance(told, list):
        return len(told) == len(content) and all(map(_within, told, content))
    return bool(told == content)


async def reaches(client: Client, plan_id: str, phase: str) -> dict[str, Any]:
    """Poll until a plan is in a phase, and return its status."""

    async def there() -> Any:
        status = await asked(client, "plan_status", plan_id=plan_id)
        return status if status["phase"] == phase and (phase != "ended" or status["outcome"]) else None

    found: dict[str, Any] = await until(there, f"{plan_id} does not come to {phase}")
    return found


async def over(client: Client, plan_id: str) -> dict[str, Any]:
    """Wait for the end of a plan, as often as it takes, and return its status."""

    async def ended() -> Any:
        status = await asked(client, "wait_for_plan", plan_id=plan_id)
        return status if status["outcome"] else None

    found: dict[str, Any] = await until(ended, f"{plan_id} does not end")
    return found


def write_plan(path: str, content: str = "hello", **changes: Any) -> dict[str, Any]:
    """Return a plan of one step that writes a file."""
    step: Mapping[str, Any] = {
        "id": "w",
        "tool": "file_write",
        "args": {"path": path, "content": content},
        "confidence": 0.95,
    }
    return {"goal": f"write {path}", "steps": [dict(step)], **changes}
