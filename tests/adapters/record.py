"""Records the history of an agent that is a workflow, for its replay test. Never over one that there is.

python -m tests.adapters.record
"""

import asyncio
import json
import tempfile
from pathlib import Path

from temporalio.client import Client

from airlock.temporal.connection import DATA_CONVERTER
from tests import running
from tests.adapters.conftest import office
from tests.adapters.test_temporal import HISTORY, begin, clerks, told


async def main() -> None:
    assert not HISTORY.exists(), f"{HISTORY} is there: a run that looks like it may be open"
    with tempfile.TemporaryDirectory() as folder:
        async with running.dev_server(Path(folder)) as env:
            address = env.client.service_client.config.target_host
            async with office(env, Path(folder), address) as desk:
                client = await Client.connect(address, data_converter=DATA_CONVERTER, identity="recorded")
                async with clerks(desk, client):
                    handle = await begin(desk, "recorded", client)
                    await desk.decide("recorded", "approve")
                    await told(handle)
                history = json.loads((await handle.fetch_history()).to_json())
    HISTORY.write_text(json.dumps(history, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    asyncio.run(main())
