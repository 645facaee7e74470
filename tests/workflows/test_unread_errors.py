"""Questions to gates that fail or are cancelled leave no error behind that asyncio logs as never retrieved."""

import asyncio
import gc
from contextlib import suppress

import pytest
from temporalio.client import Client

from airlock.activities.gate_client import updated
from airlock.base import names
from airlock.gates.answers import SlotGranted
from airlock.gates.messages import GateStart


@pytest.fixture
def client(dev_server):
    return dev_server.client


@pytest.fixture
async def unread():
    """Return what asyncio would log about errors that nothing has read."""
    loop, found = asyncio.get_running_loop(), []
    loop.set_exception_handler(lambda _, context: found.append(context["message"]))
    yield found
    loop.set_exception_handler(None)


def asked(client, gate):
    return asyncio.ensure_future(updated(client, gate, "nothing", GateStart(), "acquire", {}, SlotGranted))


async def gone(work):
    with suppress(BaseException):
        await work
    for _ in range(3):
        await asyncio.sleep(0)
        gc.collect()


async def test_an_answer_of_the_server(client, unread):
    other = Client(client.service_client, namespace="no-such-namespace", data_converter=client.data_converter)
    await gone(asked(other, names.resource_gate_id("a")))
    assert unread == []


@pytest.mark.parametrize("cancelled", [1, 2, 3])
@pytest.mark.parametrize("turns", [0, 1, 2, 5])
async def test_a_cancellation_however_often_and_early(client, unread, cancelled, turns):
    work = asked(client, names.resource_gate_id(f"b{cancelled}{turns}"))  # no worker answers there
    for _ in range(turns):
        await asyncio.sleep(0)
    for _ in range(cancelled):
        work.cancel()
        await asyncio.sleep(0)
    await gone(work)
    del work
    gc.collect()
    assert unread == []
