"""A Temporal server, and the sandbox's HTTP services, for plans whose tools an OpenAPI document describes."""

from collections.abc import AsyncIterator, Iterator

import pytest
from temporalio.testing import WorkflowEnvironment

from sandbox.processes import SandboxProcess, start
from tests import running


@pytest.fixture(scope="session")
async def temporal(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[WorkflowEnvironment]:
    async with running.dev_server(tmp_path_factory.mktemp("temporal")) as env:
        yield env


@pytest.fixture(scope="session")
def sandbox() -> Iterator[SandboxProcess]:
    with start("crm") as process:
        yield process
