"""A webhook as it is configured, and looks at the messages that a notifier sent and gave up."""

import asyncio
import base64
import os

from airlock.notify.dead_letters import dead_letters
from tests.workflows.conftest import until

KEY = "whsec_" + base64.b64encode(b"0123456789abcdef0123456789abcdef").decode()
HOOK = """
[notify.hook]
kind = "webhook"
url = "{url}"
secret = {{ "$secret" = "HOOK" }}
pause = "0.1s"
timeout = 60
"""


async def looking(notifier, condition):
    """Look at what stands until a condition holds, at the pace of a process: a namespace bounds its questions."""

    async def holds():
        if condition():
            return True
        await notifier.look()
        await asyncio.sleep(0.3)
        return False

    await until(holds)


async def told(notifier, receiver, number):
    """Look until a receiver has taken so many messages."""
    await looking(notifier, lambda: len(receiver.taken) >= number)
    return receiver.taken


def types(receiver):
    return [each.json["type"] for each in receiver.taken]


async def given_up(airlock, number):
    """Wait until so many dead letters are listed, and return them."""

    async def listed():
        found = await dead_letters(airlock.client)
        if len(found) == number:
            return (found,)
        await asyncio.sleep(0.2)
        return ()

    return (await until(listed))[0]


def environment(airlock):
    return {
        **os.environ,
        "TEMPORAL_ADDRESS": airlock.client.service_client.config.target_host,
        "TEMPORAL_NAMESPACE": airlock.client.namespace,
        "AIRLOCK_SECRET_HOOK": KEY,
    }
