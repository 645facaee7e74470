"""A Temporal server and Airlock's workers in this process, for the benchmarks that need their own tools and policy."""

import shutil
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment

from airlock.activities.toolbox import Toolbox
from airlock.admission.policy import AgentPolicy, Policy
from airlock.client import Airlock
from airlock.plans.catalogue import Catalogue
from airlock.plans.tool import Tool
from airlock.temporal.connection import DATA_CONVERTER, ensure_search_attributes, learn_of_server
from airlock.worker.roles import Limits, build_workers


@asynccontextmanager
async def serving(
    tools: Sequence[Tool], client_of: Callable[[Client], Client] = lambda client: client, **policy: Any
) -> AsyncIterator[Airlock]:
    """An Airlock that offers these tools; plans of MEDIUM risk need no human, unless the policy says otherwise.

    Args:
        tools: What it offers.
        client_of: Makes the client of its workers from that of the server.
        policy: Settings of the policy.
    """
    temporal = shutil.which("temporal") or str(Path(sys.executable).with_name("temporal"))
    settings = {"agents": {"*": AgentPolicy(permissions=("*",))}, "approval_waived_for": ("MEDIUM",), **policy}
    toolbox = Toolbox(Catalogue(list(tools)), Policy.model_validate(settings))
    async with AsyncExitStack() as stack:
        env = await stack.enter_async_context(
            await WorkflowEnvironment.start_local(
                dev_server_existing_path=temporal, ip="127.0.0.1", data_converter=DATA_CONVERTER,
                dev_server_log_level="error",
            )
        )  # fmt: skip
        await ensure_search_attributes(env.client)
        await learn_of_server(env.client)
        for worker in build_workers(client_of(env.client), toolbox, limits=Limits(calls=100)):
            await stack.enter_async_context(worker)
        yield Airlock(env.client)
