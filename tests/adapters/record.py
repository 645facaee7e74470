"""Records the histories of agents that are workflows, for their replay tests. Never over one that there is.

python -m tests.adapters.record
"""

import asyncio
import json
import tempfile
from pathlib import Path
from typing import Any

from temporalio.client import Client

from airlock.temporal.connection import DATA_CONVERTER
from tests import running
from tests.adapters import test_nexus, test_temporal
from tests.adapters.conftest import Office, office


async def child(desk: Office) -> Any:
    """Record an agent whose plan is a child."""
    client = await Client.connect(desk.address, data_converter=DATA_CONVERTER, identity="recorded")
    async with test_temporal.clerks(desk, client):
        handle = await test_temporal.begin(desk, "recorded", client)
        await desk.decide("recorded", "approve")
        await test_temporal.told(handle)
    return await handle.fetch_history()


async def operation(desk: Office) -> Any:
    """Record an agent of another namespace, whose plan is an operation."""
    async with test_nexus.elsewhere(desk) as (foreign, endpoint):
        client = await Client.connect(desk.address, namespace=foreign.namespace, identity="recorded")
        async with test_nexus.clerks(client):
            handle = await test_nexus.begin(desk, client, endpoint, "recorded")
            await desk.decide("recorded", "approve")
            await test_nexus.told(handle)
        return await handle.fetch_history()


async def main() -> None:
    missing = [each for each in ((test_temporal.HISTORY, child), (test_nexus.HISTORY, operation)) if not each[0].exists()]
    assert missing, "all are there: runs that look like them may be open"
    with tempfile.TemporaryDirectory() as folder:
        async with running.dev_server(Path(folder)) as env:
            address = env.client.service_client.config.target_host
            async with office(env, Path(folder), address) as desk:
                for path, record in missing:
                    history = json.loads((await record(desk)).to_json())
                    path.write_text(json.dumps(history, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    asyncio.run(main())
