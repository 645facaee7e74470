"""A workflow task that a client completes as older code would have: the marker of a patch is not what decides."""

import itertools
from collections.abc import Iterator

from temporalio.api.command.v1 import (
    Command,
    ScheduleActivityTaskCommandAttributes,
    UpsertWorkflowSearchAttributesCommandAttributes,
)
from temporalio.api.enums.v1 import CommandType
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.taskqueue.v1 import TaskQueue

from airlock.base import names
from airlock.workflows import plan_stages
from tests.workflows.attacker_starts import finished_tasks, history, latest_run, set_back
from tests.workflows.conftest import approved, step, until
from tests.workflows.protected import keyring, place
from tests.workflows.test_proof_origin import SHORT
from tests.workflows.world import WORLD

_NUMBERS = itertools.count(1)
_NOWHERE = "mallory"


async def test_a_live_run_is_not_carried_on_after_a_reset_that_its_history_hides(dev_server, plan, monkeypatch):
    """The call was rolled back: it may be made again, and only with an approval of its own."""
    monkeypatch.setattr(plan_stages, "HISTORY", SHORT)
    where = await place(dev_server.client, f"markers{next(_NUMBERS)}", keyring("k"))
    # two calls that may begin at the same time: the run asks the gates alone
    document = plan(step("a", "put", key="a", value=1), step("c", "put", key="c", value=1))
    other = plan(step("b", "put", key="b", value=1))
    plan_id, workflow_id, client = document["plan_id"], names.plan_workflow_id(document["plan_id"]), where.attacker.client
    hold = WORLD.hold(plan_id, "a")
    async with where.working():
        handle = await where.airlock.submit(document)
        await approved(handle)
        await until(lambda: (plan_id, "a") in WORLD.running)
        run, events = await latest_run(client, workflow_id), await history(client, workflow_id)
        assert events[0].workflow_execution_started_event_attributes.continued_execution_run_id
        assert (await handle.decide("rollback", by="olga", reason="wrong customer")).accepted
        hold.set()
        assert set((await handle.result()).undone) == {"a", "c"}
    first = finished_tasks(events)[0]
    same = list(commands_of(events, first))
    assert [command.schedule_activity_task_command_attributes.activity_type.name for command in same] == ["", "acquire"]
    await set_back(client, workflow_id, first, run, forget=True)
    await where.attacker.complete_task(names.WORKFLOW_QUEUE, workflow_id, same)
    await where.attacker.complete(await where.attacker.take(_NOWHERE, "acquire"), None)
    async with where.working():
        # a plan of its own shows that the workers had the time to go on with the first one
        beside = await where.airlock.submit(other)
        await approved(beside)
        assert (await beside.result()).outcome == "completed"
        assert [what for what, of, name in WORLD.log if (of, name) == (plan_id, "a") and what != "dry"] == ["live", "undo"]
        await client.get_workflow_handle(workflow_id).terminate("its history fits no worker")


def commands_of(events: list[HistoryEvent], task: int) -> Iterator[Command]:
    """The commands with which a workflow task was completed, up to the first event that is none."""
    for event in events[task:]:
        if event.HasField("upsert_workflow_search_attributes_event_attributes"):
            said = event.upsert_workflow_search_attributes_event_attributes
            yield Command(
                command_type=CommandType.COMMAND_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES,
                upsert_workflow_search_attributes_command_attributes=UpsertWorkflowSearchAttributesCommandAttributes(
                    search_attributes=said.search_attributes
                ),
            )
        elif event.HasField("activity_task_scheduled_event_attributes"):
            asked = event.activity_task_scheduled_event_attributes
            yield Command(
                command_type=CommandType.COMMAND_TYPE_SCHEDULE_ACTIVITY_TASK,
                schedule_activity_task_command_attributes=ScheduleActivityTaskCommandAttributes(
                    activity_id=asked.activity_id, activity_type=asked.activity_type, input=asked.input,
                    task_queue=TaskQueue(name=_NOWHERE), start_to_close_timeout=asked.start_to_close_timeout,
                    schedule_to_close_timeout=asked.schedule_to_close_timeout, retry_policy=asked.retry_policy,
                ),
            )  # fmt: skip
        else:
            return
