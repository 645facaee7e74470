"""Workflow tasks that leave nothing in the history: what a worker made of them without its cache is what a replay makes."""

import itertools
from collections.abc import Callable

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.client import WorkflowHandle
from temporalio.worker import Worker
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner

from airlock.worker.roles import patient, runner
from tests.running import running
from tests.workflows.conftest import namespace, until
from tests.workflows.late_lamp import QUEUE, LateLamp, look
from tests.replay.replay import replayer

_NUMBERS = itertools.count(1)


async def tasks(handle) -> int:
    """Return the number of workflow tasks that were answered."""
    events = (await handle.fetch_history()).events
    return sum(event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED for event in events)


async def test_an_update_after_silent_tasks_replays(dev_server):
    client = await namespace(dev_server.client, f"silent{next(_NUMBERS)}")
    import os
    r = SandboxedWorkflowRunner() if os.environ.get("PLAIN") else runner()
    worker = Worker(client, task_queue=QUEUE, workflows=[LateLamp], activities=[look], workflow_runner=r, max_cached_workflows=0, activity_executor=__import__("concurrent.futures").futures.ThreadPoolExecutor(2))
    async with running([patient(worker)]):
        handle = await client.start_workflow(LateLamp.run, id="lamp", task_queue=QUEUE)
        async def number(n):
            async def reached(): return await tasks(handle) >= n
            await until(reached)
        await number(1)
        await handle.signal(LateLamp.noise)
        await number(2)
        async def begun():
            d = await handle.describe()
            return any(p.last_started_time.seconds for p in d.raw_description.pending_activities)
        await until(begun)
        await client.get_async_activity_handle(workflow_id="lamp", run_id=None, activity_id="look").complete()
        await number(3)
        await handle.execute_update(LateLamp.want)
        result = await handle.result()
        history = await handle.fetch_history()
    for e in history.events: print(e.event_id, EventType.Name(e.event_type))
    print(result)
    from temporalio.worker import Replayer
    rr = await Replayer(workflows=[LateLamp], workflow_runner=r).replay_workflow(history, raise_on_replay_failure=False)
    print(rr.replay_failure)
    assert rr.replay_failure is None
