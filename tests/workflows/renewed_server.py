"""The dev server of these tests, and another one in its place once it has many namespaces.

Each namespace takes a server 5 MiB and some of its time for as long as it runs, used or not. With 150 of them in each, four
servers took most of the time of two processors, and the tests waited for them.
"""

from collections import Counter
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path
from typing import Final

from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment

from airlock.client import Airlock
from tests import running

MOST: Final = 20
"""The number of namespaces with which a server is not handed to another file of tests."""
NAMESPACES = Counter[str]()
"""The namespaces that these tests have made, by the address of the server."""


class RenewedServer:
    """A server, and an Airlock with workers on it. Both stay for as long as a file of tests uses them.

    Args:
        folder: Makes a folder for a server's log.
        working: Runs the workers of an Airlock.
    """

    def __init__(
        self, folder: Callable[[], Path], working: Callable[[Client], AbstractAsyncContextManager[Airlock]]
    ) -> None:
        self._folder, self._working = folder, working
        self._opened = AsyncExitStack()
        self._env: WorkflowEnvironment | None = None
        self._airlock: Airlock | None = None

    async def env(self) -> WorkflowEnvironment:
        """Return the server for a file of tests."""
        if self._env is not None and NAMESPACES[self._env.client.service_client.config.target_host] > MOST:
            await self.close()
        if self._env is None:
            self._env = await self._opened.enter_async_context(running.dev_server(self._folder()))
        return self._env

    async def airlock(self) -> Airlock:
        """Return the Airlock of the server that `env` has returned."""
        if self._airlock is None:
            assert self._env is not None
            self._airlock = await self._opened.enter_async_context(self._working(self._env.client))
        return self._airlock

    async def close(self) -> None:
        """Stop the workers, then the server."""
        self._env = self._airlock = None
        await self._opened.aclose()
