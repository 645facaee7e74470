"""Workflow tasks that leave nothing in the history: what a worker without its cache makes of them, a replay makes too."""

import itertools
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.client import WorkflowHandle
from temporalio.worker import Replayer, Worker

from airlock.worker.roles import patient, runner
from tests.running import running
from tests.workflows.conftest import namespace, until
from tests.workflows.late_lamp import LOOK, QUEUE, LateLamp, look

_NUMBERS = itertools.count(1)


def answered(handle: WorkflowHandle[Any, Any], number: int) -> Callable[[], Awaitable[bool]]:
    """Return the question whether so many workflow tasks were answered."""

    async def enough() -> bool:
        events = (await handle.fetch_history()).events
        return sum(event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED for event in events) >= number

    return enough


def begun(handle: WorkflowHandle[Any, Any]) -> Callable[[], Awaitable[bool]]:
    """Return the question whether a worker has begun the activity."""

    async def begins() -> bool:
        pending = (await handle.describe()).raw_description.pending_activities
        return any(each.HasField("last_started_time") for each in pending)

    return begins


@pytest.mark.parametrize("noises", [0, 1, 2, 3])
async def test_an_update_after_silent_tasks_is_replayed_as_it_was_handled(dev_server, noises):
    client = await namespace(dev_server.client, f"silent{next(_NUMBERS)}")
    with ThreadPoolExecutor(1) as threads:
        worker = Worker(
            client, task_queue=QUEUE, workflows=[LateLamp], activities=[look], workflow_runner=runner(),
            max_cached_workflows=0, activity_executor=threads,
        )  # fmt: skip
        async with running([patient(worker)]):
            handle = await client.start_workflow(LateLamp.run, id="lamp", task_queue=QUEUE)
            await until(begun(handle))
            for number in range(noises):
                await handle.signal(LateLamp.noise)
                await until(answered(handle, 2 + number))
            await client.get_async_activity_handle(workflow_id="lamp", run_id=None, activity_id=LOOK).complete()
            await until(answered(handle, 2 + noises))
            await handle.execute_update(LateLamp.want)
            assert await handle.result() == "wanted after the answer"
    history = await handle.fetch_history()
    await Replayer(workflows=[LateLamp], workflow_runner=runner()).replay_workflow(history)
    silences = [event for event in history.events if event.HasField("workflow_properties_modified_event_attributes")]
    assert len(silences) == 1 + (noises + 1) // 2, "one is the workflow's own"
    assert set(await (await handle.describe()).memo()) == {"wanted"}
