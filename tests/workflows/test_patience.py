"""A workflow task that takes long is not taken for one that hangs, until it really does."""

from collections import Counter
from types import SimpleNamespace
from typing import Any, cast

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.worker import Worker

from airlock.activities.toolbox import Toolbox
from airlock.base.errors import AirlockError
from airlock.worker.roles import DEADLOCK_AFTER, build_workers, patient, runner
from tests.running import running
from tests.workflows.conftest import POLICY, catalogue, namespace
from tests.workflows.sleeper import Sleeper


async def test_a_task_longer_than_the_detector_of_the_sdk_is_done_once(dev_server: Any) -> None:
    client, queue = dev_server.client, "sleepers"
    async with running([patient(Worker(client, task_queue=queue, workflows=[Sleeper], workflow_runner=runner()))]):
        handle = await client.start_workflow(Sleeper.run, 3.0, id="sleeper", task_queue=queue)
        assert await handle.result() == 3.0
    events = Counter([EventType.Name(event.event_type) async for event in handle.fetch_history_events()])
    assert events["EVENT_TYPE_WORKFLOW_TASK_STARTED"] == 1
    assert not events["EVENT_TYPE_WORKFLOW_TASK_FAILED"]


async def test_the_worker_of_plans_is_patient(dev_server: Any) -> None:
    client = await namespace(dev_server.client, "patience")
    tasks = [worker._workflow_worker for worker in build_workers(client, Toolbox(catalogue(), POLICY))]
    assert [found._deadlock_timeout_seconds for found in tasks if found is not None] == [DEADLOCK_AFTER]


def test_another_sdk_is_refused_and_not_silently_impatient() -> None:
    with pytest.raises(AirlockError, match="another deadlock detector"):
        patient(cast(Worker, SimpleNamespace(_workflow_worker=object())))
