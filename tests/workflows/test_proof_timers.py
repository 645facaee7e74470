"""A timer that a client starts in the place of a run, for a shorter time: no silence and no pause is cut short by it."""

import asyncio
import itertools
from datetime import timedelta
from typing import Any

from google.protobuf.duration_pb2 import Duration
from temporalio import workflow
from temporalio.api.command.v1 import Command, StartTimerCommandAttributes
from temporalio.api.enums.v1 import CommandType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import RespondWorkflowTaskCompletedRequest
from temporalio.worker import Worker

from airlock.activities.calls.sent_back import SentBackCalls
from airlock.base import names
from airlock.plans.state import State
from airlock.workflows.timers import wait_until
from tests.workflows.attacker import IDENTITY
from tests.workflows.attacker_builds import OPTIONS, build, override, pinned
from tests.workflows.conftest import step, until
from tests.workflows.protected import Place, keyring, place
from tests.workflows.test_proof_calls import running, times
from tests.workflows.test_proof_unbegun import sent_back
from tests.workflows.world import WORLD

_NUMBERS = itertools.count(1)
WORD_WITHIN = 3.0
"""Seconds after which a worker says that it had begun: half of those that a run waits for it."""


async def started_timer(where: Place, task: Any, within: timedelta) -> None:
    """Answer a workflow task with the next timer of its run, for a time of the attacker's choice."""
    timers = [
        each.timer_started_event_attributes for each in await where.attacker.events(task.workflow_execution.workflow_id)
    ]
    number = max((int(each.timer_id) for each in timers if each.timer_id), default=0) + 1
    duration = Duration()
    duration.FromTimedelta(within)
    command = Command(
        command_type=CommandType.COMMAND_TYPE_START_TIMER,
        start_timer_command_attributes=StartTimerCommandAttributes(timer_id=str(number), start_to_fire_timeout=duration),
    )
    client = where.attacker.client
    await client.workflow_service.respond_workflow_task_completed(
        RespondWorkflowTaskCompletedRequest(
            namespace=client.namespace, task_token=task.task_token, identity=IDENTITY, commands=[command],
            deployment_options=OPTIONS,
        )
    )  # fmt: skip


async def shown(where: Place, workflow_id: str) -> bool:
    """Return True once the run has told that it is live, so that its next task is about the end of the call."""
    events = await where.attacker.events(workflow_id)
    said = [each.event_id for each in events if each.workflow_execution_signaled_event_attributes.signal_name == names.LASTS]
    return bool(said) and any(
        each.event_id > said[0] and each.HasField("workflow_task_completed_event_attributes") for each in events
    )


async def test_silence_that_was_cut_short_proves_nothing(dev_server, plan, monkeypatch):
    told = SentBackCalls._tell

    async def in_time(self: SentBackCalls, number: int) -> None:
        await asyncio.sleep(WORD_WITHIN)
        await told(self, number)

    monkeypatch.setattr(SentBackCalls, "_tell", in_time)
    where = await place(dev_server.client, f"timers{next(_NUMBERS)}", keyring("k"))
    document = plan(step("mail", "send", to="x"))
    workflow_id, client = names.plan_workflow_id(document["plan_id"]), where.attacker.client
    async with where.working():
        handle, hold = await running(where, document, "mail")
        await until(lambda: shown(where, workflow_id))
        async with build(client, names.WORKFLOW_QUEUE) as made:
            await override(client, workflow_id, pinned())
            await sent_back(
                where, workflow_id, "mail:live", 1, schedule_to_start_timeout=Duration(seconds=1),
                task_queue=TaskQueue(name="nobody"),
            )  # fmt: skip
            task = await asyncio.wait_for(made.workflow_tasks.get(), 60)
            await started_timer(where, task, timedelta(milliseconds=300))
            await override(client, workflow_id, None)
        hold.set()
        status = await handle.wait_for(State.LOCKED, State.COMPLETED)
        await until(lambda: not WORLD.running)
        assert (status.state, status.parked) == (State.LOCKED, ("mail",)), status
    assert times(document, "mail") == 1


@workflow.defn(name="Waiting", sandboxed=False)
class Waiting:
    """Waits as the runs of Airlock do before a lost call is repeated or looked into, and before an undo is looked at."""

    def __init__(self) -> None:
        self._said = False

    @workflow.run
    async def run(self, seconds: float) -> float:
        since = workflow.now()
        await wait_until(since + timedelta(seconds=seconds), "test", lambda: self._said)
        return (workflow.now() - since).total_seconds()

    @workflow.signal
    def say(self) -> None:
        self._said = True


async def test_a_pause_lasts_as_long_as_it_should(dev_server):
    where = await place(dev_server.client, f"timers{next(_NUMBERS)}", keyring("k"))
    client, name = where.attacker.client, f"waiting-{next(_NUMBERS)}"
    run = await client.start_workflow("Waiting", 4.0, id=name, task_queue=name)
    timer = StartTimerCommandAttributes(timer_id="1", start_to_fire_timeout=Duration(nanos=1_000_000))
    kind = CommandType.COMMAND_TYPE_START_TIMER
    await where.attacker.complete_task(name, name, [Command(command_type=kind, start_timer_command_attributes=timer)])
    async with Worker(client, task_queue=name, workflows=[Waiting]):
        assert await run.result() >= 3.0
        stopped = await client.start_workflow("Waiting", 600.0, id=f"{name}-stopped", task_queue=name)
        await stopped.signal("say")
        assert await asyncio.wait_for(stopped.result(), 60) < 600
