"""Small signals that become large ones, as any client can send them."""

import asyncio
import zlib
from typing import Any

from temporalio.api.common.v1 import Payload
from temporalio.client import WorkflowHandle
from temporalio.common import RawValue

from airlock.temporal.converter import MAX_MESSAGE_BYTES
from airlock.temporal.message_load import LIGHT_BYTES, READ_BYTES
from tests.workflows.attacker import plain

FEW = READ_BYTES // MAX_MESSAGE_BYTES
"""The number of bombs that are decoded, of those that come in one workflow task."""


def small(inner: Payload) -> RawValue:
    """Return a payload of half a kilobyte that becomes a large one."""
    return RawValue(Payload(metadata={"encoding": b"binary/airlock-zlib"}, data=zlib.compress(inner.SerializeToString(), 9)))


def bomb(**fields: Any) -> RawValue:
    """Return what becomes 60,000 lists."""
    return small(plain({**fields, "more": [[]] * 60_000}))


def padded(**fields: Any) -> RawValue:
    """Return a message that everybody may send, too long to be read after many others."""
    return RawValue(Payload(metadata={"encoding": b"json/plain"}, data=plain(fields).data + b" " * LIGHT_BYTES))


async def flood(run: WorkflowHandle[Any, Any], signal: str, said: Any, times: int) -> None:
    """Send the same signal many times. All of them come in one workflow task if no worker runs."""
    few = asyncio.Semaphore(50)

    async def send() -> None:
        async with few:
            await run.signal(signal, said)

    await asyncio.gather(*(send() for _ in range(times)))
