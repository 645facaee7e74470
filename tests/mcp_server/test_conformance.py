"""The official conformance suite and inspector of MCP against the server. `make mcp-peers` installs them."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from devtools import mcp_peers
from tests.mcp_server.place import AGENT, Place, write_plan
from tests.processes.harness import ROOT, Process

SUITE = mcp_peers.command("@modelcontextprotocol/conformance")
INSPECTOR = mcp_peers.command("@modelcontextprotocol/inspector")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(SUITE is None or INSPECTOR is None, reason="make mcp-peers: the conformance suite is not installed"),
]
SCENARIOS = (
    "tasks-lifecycle", "tasks-capability-negotiation", "tasks-wire-fields", "tasks-request-state-removal",
    "tasks-request-headers", "tasks-dispatch-and-envelope", "tasks-status-notifications", "tasks-required-task-error",
)  # fmt: skip
NOT_OURS = {
    "tasks-mrtr-input": {
        "sep-2663-tasks-get-status-input-required", "tasks-mrtr-tasks-update-resumes", "tasks-mrtr-partial-fulfillment",
    },
    "tasks-mrtr-composition": {"sep-2663-mrtr-synchronous-before-task-creation"},
}  # fmt: skip
"""The checks that cannot pass: their tools ask the client for input, before a task or during it. A plan never asks its agent
for any: that would be an approval by its agent."""
OWN = {
    "tasks-extension-advertised", "sep-2663-tasks-methods-non-declaring", "sep-2663-tasks-result-removed-method-not-found",
    "tasks-removed-tasks-list", "sep-2663-tasks-get-invalid-task-id-32602", "wire-schema-valid",
}  # fmt: skip
"""The checks that call no fixture tool, and therefore are put to `airlock mcp` itself."""


async def run(command: list[str], folder: Path, place: Place, code: int | None = 0) -> str:
    environment = {**place.environment, "HOME": str(folder), "NO_PROXY": "127.0.0.1"}
    done = await asyncio.to_thread(
        subprocess.run, command, cwd=folder, env=environment, capture_output=True, text=True, timeout=240, check=False
    )
    assert code is None or done.returncode == code, done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout


async def checks(url: str, scenario: str, folder: Path, place: Place) -> dict[str, dict[str, Any]]:
    """Run a scenario and return its checks by id."""
    assert SUITE is not None
    said = await run(
        [*SUITE, "server", "--url", url, "--scenario", scenario, "-o", str(folder / "results")], folder, place, None
    )
    found = list((folder / "results").rglob("checks.json"))
    assert len(found) == 1, said[-3000:]
    return {check["id"]: check for check in json.loads(found[0].read_text(encoding="utf-8"))}


def failed(found: dict[str, dict[str, Any]]) -> dict[str, str]:
    bad = {name: check for name, check in found.items() if check["status"] not in ("SUCCESS", "INFO", "SKIPPED")}
    return {name: f"{check['status']}: {check.get('errorMessage')} {check.get('details')}" for name, check in bad.items()}


@pytest.fixture(scope="module")
async def door(place: Place) -> str:
    process = Process(
        [sys.executable, "-m", "tests.mcp_server.conformance_door"], place.folder / "door.log", place.environment, ROOT
    )
    place.doors.append(process)
    await process.says('"url"')
    return str(json.loads(process.said().splitlines()[-1])["url"])


@pytest.mark.parametrize("scenario", SCENARIOS)
async def test_plans_as_tasks_pass_the_conformance_suite(place: Place, door: str, scenario: str, tmp_path: Path) -> None:
    found = await checks(door, scenario, tmp_path, place)
    assert found
    assert failed(found) == {}


@pytest.mark.parametrize("scenario", NOT_OURS)
async def test_nothing_fails_but_what_would_let_an_agent_answer_for_people(
    place: Place, door: str, scenario: str, tmp_path: Path
) -> None:
    assert failed(await checks(door, scenario, tmp_path, place)).keys() == NOT_OURS[scenario]


async def test_the_server_itself_passes_what_needs_no_fixture_tool(place: Place, tmp_path: Path) -> None:
    url = await place.listen("--agent", AGENT)
    seen: set[str] = set()
    for scenario in ("tasks-capability-negotiation", "tasks-dispatch-and-envelope"):
        folder = tmp_path / scenario
        folder.mkdir()
        found = {name: check for name, check in (await checks(url, scenario, folder, place)).items() if name in OWN}
        assert failed(found) == {}
        seen |= found.keys()
    assert seen == OWN


async def test_the_inspector_lists_and_calls_it(place: Place, tmp_path: Path) -> None:
    assert INSPECTOR is not None
    url = await place.listen("--agent", AGENT)
    inspect = [*INSPECTOR, "--cli", url, "--transport", "http"]
    listed = json.loads(await run([*inspect, "--method", "tools/list"], tmp_path, place))
    assert "propose_plan" in [tool["name"] for tool in listed["tools"]]
    plan = f"plan={json.dumps(write_plan('inspector/one.md'))}"
    call = [*inspect, "--method", "tools/call", "--tool-name", "check_plan", "--tool-arg", plan]
    called = json.loads(await run(call, tmp_path, place))
    assert called["structuredContent"]["ok"], called
