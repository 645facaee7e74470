"""Costs of plans by the counters of the server itself: billed actions, and heartbeats, which no history shows."""

import re
from contextlib import asynccontextmanager

import httpx
import pytest
from temporalio.api.workflowservice.v1 import ListSchedulesRequest

from airlock.activities import heartbeat
from tests.processes.harness import free_port
from tests.running import dev_server
from tests.workflows.conftest import approved, step, until, working
from tests.workflows.test_cost import BILLED, history


class ServerCounters:
    """The counters of one server, which tells them a moment late."""

    def __init__(self, client, port):
        self._client = client
        self._port = port
        self._settled = 0

    async def read(self, name, labels=""):
        async with httpx.AsyncClient(trust_env=False) as client:
            text = (await client.get(f"http://127.0.0.1:{self._port}/metrics", timeout=60)).text
        found = re.findall(rf"^{name}\{{[^}}]*{labels}[^}}]*\}} (\d+)", text, re.MULTILINE)
        return sum(int(each) for each in found)

    async def settle(self):
        """Wait until the server has told all that it counted before; nothing else lists schedules."""
        for _ in range(2):  # the first may be told in the middle of a report
            self._settled += 1
            await self._client.workflow_service.list_schedules(ListSchedulesRequest(namespace=self._client.namespace))

            async def told():
                return await self.read("service_requests", 'operation="ListSchedules"') >= self._settled

            await until(told)


@asynccontextmanager
async def counting(folder, **policy):
    port = free_port()
    async with dev_server(folder, metrics_port=port) as env, working(env.client, **policy) as airlock:
        yield airlock, ServerCounters(env.client, port)


@pytest.fixture
async def counted(tmp_path):
    async with counting(tmp_path) as found:
        yield found


async def test_a_chain_records_each_call_once_and_nothing_else_beats(counted, plan, monkeypatch):
    monkeypatch.setattr(heartbeat, "HEARTBEAT_INTERVAL", 3_600.0)  # long activities send one in every two seconds
    airlock, counters = counted
    document = plan(*(step(f"s{n}", "put", (f"s{n - 1}",) if n else (), key=f"k{n}", value=n) for n in range(3)))
    handle = await airlock.submit(document)
    await approved(handle)
    assert (await handle.result()).outcome == "completed"
    await counters.settle()
    # between the three calls of one activity; the mocks, the dry runs and the visits at gates are short
    assert await counters.read("activity_heartbeat_count") == 2


async def test_a_plan_of_one_step_costs_eight_actions_of_its_own_and_eleven_in_all(counted, plan):
    airlock, counters = counted

    async def carry_out():
        handle = await airlock.submit(plan(step("a", "put", key="k", value=1)))
        status = await handle.wait_for("AWAITING_APPROVAL")
        await handle.workflow.signal("approve", {"by": "alice", "digest": status.digest})
        assert (await handle.result()).outcome == "completed"
        await counters.settle()
        asked = await counters.read("action", 'action_type="grpc_QueryWorkflow",namespace="default"')
        return handle, await counters.read("action", 'namespace="default"') - asked  # the queries are those of this test

    _, once = await carry_out()  # and what there is once for ever: the live gate and the monitor
    handle, twice = await carry_out()
    events = await history(handle.workflow)
    assert sum(events[name] for name in BILLED) == 8, events
    # an update and a signal at the live gate, a signal to the monitor; its timer, at most once in ten seconds
    assert twice - once in (11, 12)


async def test_a_plan_of_one_read_that_needs_no_person_costs_five_actions_in_all(tmp_path, plan):
    async with counting(tmp_path, read_lane=True) as (airlock, counters):

        async def carry_out():
            handle = await airlock.submit(plan(step("see", "look", key="k")))
            assert (await handle.result()).outcome == "completed"
            await counters.settle()
            return handle, await counters.read("action", 'namespace="default"')

        _, once = await carry_out()  # and what there is once for ever: the live gate and the monitor
        handle, twice = await carry_out()
        events = await history(handle.workflow)
        # its start and two activities; the signal to the monitor counts where it arrives
        assert sum(events[name] for name in BILLED) == 3, events
        assert events["SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED"] == 1
        # an update at the live gate, and that signal; the timer of the monitor, at most once in ten seconds
        assert twice - once in (5, 6)
        assert await counters.read("activity_heartbeat_count") == 0
