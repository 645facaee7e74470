"""Plans whose tools are MCP servers, from their submission to their end."""

import itertools
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment

from airlock.activities.functions.secrets import Secrets
from airlock.activities.opened import opened
from airlock.activities.toolbox import Toolbox
from airlock.admission.configuration.config import parse_config
from airlock.client import Airlock, PlanHandle
from airlock.plans.catalogue import Catalogue
from airlock.plans.state import State
from airlock.run.presentation.views import PlanResult
from airlock.tools.loader import load_catalogue
from airlock.worker.roles import build_workers
from tests import running
from tests.workflows.conftest import namespace

_NUMBERS = itertools.count(1)


class Desk:
    """The place where plans are proposed, and where one person approves all of them."""

    def __init__(self, client: Client, catalogue: Catalogue) -> None:
        self.airlock, self.catalogue = Airlock(client), catalogue

    async def proposed(self, steps: list[dict[str, Any]]) -> PlanHandle:
        """Submit a plan whose steps run in their order, and return it once it waits for an approval or has ended."""
        afters: list[list[str]] = [[], *([each["id"]] for each in steps[:-1])]
        in_a_row = [{**each, "after": after} for each, after in zip(steps, afters, strict=True)]
        document = {"plan_id": f"m{next(_NUMBERS)}", "goal": "test", "requested_by": "rita", "steps": in_a_row}
        handle = await self.airlock.submit(document)
        await handle.wait_for(State.AWAITING_APPROVAL)
        return handle

    async def done(self, steps: list[dict[str, Any]]) -> PlanResult:
        """Submit a plan, approve it, and return its result."""
        handle = await self.proposed(steps)
        status = await handle.status()
        if status.state is State.AWAITING_APPROVAL:
            verdict = await handle.decide("approve", by="alice", digest=status.digest)
            assert verdict.accepted, verdict
        last = await handle.wait_for(State.LOCKED)
        assert last.state is not State.LOCKED, last
        return await handle.result()


def step(name: str, tool: str, /, **args: Any) -> dict[str, Any]:
    """Return one step of a plan."""
    return {"id": name, "agent": "ops", "tool": tool, "args": args, "confidence": 0.95}


@asynccontextmanager
async def desk(
    temporal: WorkflowEnvironment,
    toml: str,
    environment: Mapping[str, str] | None = None,
    *,
    client: Client | None = None,
) -> AsyncIterator[Desk]:
    """A worker of all roles with the tools that a file names, in a namespace of its own, or that of a client."""
    config = parse_config(toml, {})
    catalogue = load_catalogue(config)
    client = client or await namespace(temporal.client, f"mcp{next(_NUMBERS)}")
    given = Toolbox(catalogue, config.policy, live=True)
    parts = ("orchestrate", "rehearse", "live")
    async with (
        opened(given, parts, lambda: Secrets(dict(environment or {}))) as (toolbox, _),
        running.running(build_workers(client, toolbox)),
    ):
        yield Desk(client, catalogue)
