"""A Temporal server for plans whose tools are MCP servers."""

from collections.abc import AsyncIterator

import pytest
from temporalio.testing import WorkflowEnvironment

from tests import running


@pytest.fixture(scope="session")
async def temporal(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[WorkflowEnvironment]:
    async with running.dev_server(tmp_path_factory.mktemp("temporal")) as env:
        yield env
