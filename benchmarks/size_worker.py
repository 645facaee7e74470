"""A worker in a process of its own that writes down each of its workflow tasks, for `benchmarks.size`."""

import asyncio
import json
import signal
import sys
from contextlib import AsyncExitStack
from dataclasses import asdict
from pathlib import Path

from airlock.activities.toolbox import Toolbox
from airlock.admission.policy import AgentPolicy, Policy
from airlock.plans.catalogue import Catalogue
from airlock.temporal.connection import connect_to, ensure_search_attributes, learn_of_server
from airlock.worker.roles import Limits, build_workers
from airlock.worker.service import calm_collector
from benchmarks.large import Task, timed_client
from benchmarks.tools import nothing

READY = "ready"


class Written(list[Task]):
    """A list of workflow tasks that writes each into a file, one JSON object a line."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._file = path.open("a", encoding="utf-8", buffering=1)

    def append(self, task: Task) -> None:
        """Write a task; it is not kept in memory."""
        self._file.write(json.dumps(asdict(task)) + "\n")


async def work(address: str, tasks: Path) -> None:
    """Work until SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    client = await connect_to(address)
    await ensure_search_attributes(client)
    await learn_of_server(client)
    toolbox = Toolbox(Catalogue([nothing]), Policy(agents={"*": AgentPolicy(permissions=("*",))}))
    calm_collector()
    async with AsyncExitStack() as stack:
        for worker in build_workers(timed_client(client, Written(tasks)), toolbox, limits=Limits(calls=100)):
            await stack.enter_async_context(worker)
        print(READY, flush=True)
        await stop.wait()


if __name__ == "__main__":
    asyncio.run(work(sys.argv[1], Path(sys.argv[2])))
