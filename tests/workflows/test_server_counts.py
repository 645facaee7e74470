"""Costs of plans by the counters of the server itself: actions, heartbeats, which no history shows, events and bytes."""

import re
from contextlib import asynccontextmanager
from itertools import pairwise

import httpx
import pytest
from temporalio.api.workflowservice.v1 import ListSchedulesRequest

from airlock.activities import heartbeat
from airlock.activities.calls import lasting
from airlock.activities.monitor import start_monitors
from airlock.admission.policy import Policy
from tests.processes.harness import free_port
from tests.running import dev_server
from tests.workflows.conftest import approved, step, until, working
from tests.workflows.test_cost import BILLED, carry_out, history
from tests.workflows.world import WORLD


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


async def carried_out(airlock, counters, document):
    """Carry a plan out, with one look at its status, and wait until the server has counted it."""
    handle = await airlock.submit(document)
    status = await handle.wait_for("AWAITING_APPROVAL")
    await handle.workflow.signal("approve", {"by": "alice", "digest": status.digest})
    assert (await handle.result()).outcome == "completed"
    await counters.settle()
    return handle


async def actions(counters):
    """Return the actions so far, heartbeats among them, without the queries, which are those of the test."""
    asked = await counters.read("action", 'action_type="grpc_QueryWorkflow",namespace="default"')
    return await counters.read("action", 'namespace="default"') - asked


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


@pytest.mark.parametrize(("shape", "own", "heartbeats", "in_all"), [("in a row", 14, 13, 31), ("in parallel", 28, 0, 32)])
async def test_a_plan_of_20_steps_costs_what_is_published(counted, plan, monkeypatch, shape, own, heartbeats, in_all):
    monkeypatch.setattr(heartbeat, "HEARTBEAT_INTERVAL", 3_600.0)
    monkeypatch.setattr(lasting, "TOLD_AFTER", 3_600.0)  # a busy machine would be told of, for two more actions
    airlock, counters = counted

    def document(count):
        ids = [f"s{n:02}" for n in range(count)]
        after = {later: (earlier,) for earlier, later in pairwise(ids)} if shape == "in a row" else {}
        return plan(*(step(name, "put", after.get(name, ()), key=name, value=1) for name in ids))

    await carried_out(airlock, counters, document(1))  # and what there is once for ever: the live gate and the monitor
    before = await actions(counters)
    handle = await carried_out(airlock, counters, document(20))
    events = await history(handle.workflow)
    assert sum(events[name] for name in BILLED) <= own, events
    assert await counters.read("activity_heartbeat_count") == heartbeats
    # besides: the heartbeats, an update and a signal at the live gate with its timer, a signal to the monitor; gate and
    # monitor start a timer at most once in ten seconds, of which a busy machine needs more
    assert await actions(counters) - before <= in_all + 3


async def test_a_plan_of_one_step_costs_seven_actions_of_its_own_and_ten_in_all(counted, plan):
    airlock, counters = counted

    # and what there is once for ever: the live gate and the monitor
    await carried_out(airlock, counters, plan(step("a", "put", key="k", value=1)))
    before = await actions(counters)
    handle = await carried_out(airlock, counters, plan(step("a", "put", key="k", value=1)))
    events = await history(handle.workflow)
    assert sum(events[name] for name in BILLED) == 7, events
    # an update and a signal at the live gate, a signal to the monitor; its timer, at most once in ten seconds
    assert await actions(counters) - before in (10, 11)


# bounds of what it is, 32, 98 and 69 events of 14, 84 and 72 kB, with room for a busy machine's workflow tasks
@pytest.mark.parametrize(
    ("steps", "shape", "events", "kilobytes"), [(1, "one", 40, 15), (20, "parallel", 120, 90), (20, "in a row", 85, 77)]
)
async def test_the_server_counts_no_more_events_and_bytes_of_a_run_than_it_did(
    counted, plan, steps, shape, events, kilobytes
):
    airlock, _counters = counted
    await start_monitors(airlock.client, Policy())  # as every worker does at its start
    before = [(f"s{n - 1:02d}",) if n and shape == "in a row" else () for n in range(steps)]
    document = plan(*(step(f"s{n:02d}", "put", before[n], key=f"k{n}", value=n) for n in range(steps)))
    gates = [WORLD.hold(document["plan_id"], f"s{n:02d}") for n in range(steps)] if shape == "parallel" else []
    handle = await carry_out(airlock, document, gates)
    info = (await handle.workflow.describe()).raw_description.workflow_execution_info
    assert info.history_length == (await history(handle.workflow)).total(), "it is one run"
    counted_events, counted_bytes = info.history_length, info.history_size_bytes
    assert counted_events <= events
    assert counted_bytes <= kilobytes * 1_000


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
