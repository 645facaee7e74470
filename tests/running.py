"""Workers and servers of the tests. Each of them ends within a bound, or the test is told which one did not."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from airlock.temporal.connection import connect_to, ensure_search_attributes, learn_of_server
from tests.processes.harness import Server

STOPPED_WITHIN = 150.0
"""Seconds; more than the longest call of a test's tools and the margin a worker adds to it."""
MANY_WAIT = {"history.maximumBufferedEventsBatch": 10_000}
"""Answers that may come while one workflow task is answered.

Beyond a hundred, which is the server's own number, it takes the task back and hands it out again. How many come depends on
how busy the machine is.
"""
ONE_PART = {"matching.numTaskqueueReadPartitions": 1, "matching.numTaskqueueWritePartitions": 1}
_SERVERS: list[Server] = []


@asynccontextmanager
async def running(workers: Iterable[Worker]) -> AsyncIterator[None]:
    """Run some workers. In the end all of them are told to stop at once."""
    started = [await worker.__aenter__() for worker in workers]
    try:
        yield
    finally:
        await _stopped(started)


async def _stopped(workers: list[Worker]) -> None:
    stopping = {asyncio.ensure_future(worker.__aexit__(None, None, None)): worker.task_queue for worker in workers}
    _, left = await asyncio.wait(stopping, timeout=STOPPED_WITHIN) if stopping else (None, set())
    for task in left:
        task.cancel()
    if left:
        queues = ", ".join(sorted(stopping[task] for task in left))
        pytest.fail(f"after {STOPPED_WITHIN:g} s these workers have not stopped, and are left behind: {queues}")
    for task in stopping:
        task.result()


@asynccontextmanager
async def dev_server(
    folder: Path, metrics_port: int | None = None, limits: Mapping[str, int] | None = None
) -> AsyncIterator[WorkflowEnvironment]:
    """A dev server of its own process, which is killed in the end and dies with this process, whatever happens.

    It is never started again and serves few tasks: a database in memory and queues of one part take it a sixth less CPU.
    """
    server = Server(folder, metrics_port=metrics_port, limits={**ONE_PART, **MANY_WAIT, **(limits or {})}, lasting=False)
    try:
        await server.start()
        client: Client = await connect_to(server.address)
        await ensure_search_attributes(client)
        await learn_of_server(client)
        _SERVERS.append(server)
        env = WorkflowEnvironment.from_client(client)
        await learn_of_server(env.client)  # another object than the client it was made of
        yield env
    finally:
        if server in _SERVERS:
            _SERVERS.remove(server)
        server.close()


def fail_if_a_server_died() -> None:
    """Fail at once instead of after every wait of a test, with what the server said."""
    for server in _SERVERS:
        if server.process is None or not server.process.running:
            pytest.fail(f"the Temporal server of these tests has died: {server.health()}")
