"""A word of a worker that Temporal refuses: a client keeps the run in tasks that tried to close it, which take no signal."""

import asyncio
import itertools
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import pytest
from temporalio.api.command.v1 import Command
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import WorkflowTaskFailedCause
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.workflowservice.v1 import (
    ResetStickyTaskQueueRequest,
    RespondWorkflowTaskCompletedRequest,
    RespondWorkflowTaskFailedRequest,
)
from temporalio.service import RPCError

from airlock.activities.calls.sent_back import SentBackCalls
from airlock.base import names
from airlock.client.errors import NoAnswer
from airlock.plans.state import State
from airlock.run.live.sent_back import QUIET
from tests.workflows.attacker import IDENTITY
from tests.workflows.attacker_builds import OPTIONS, Build, build, override, pinned
from tests.workflows.attacker_starts import finished_tasks, set_back
from tests.workflows.conftest import approved, step, until
from tests.workflows.protected import Place, keyring, place
from tests.workflows.test_proof_calls import running, times
from tests.workflows.test_proof_onward import over
from tests.workflows.test_proof_timers import WORD_WITHIN, shown
from tests.workflows.test_proof_unbegun import sent_back
from tests.workflows.world import WORLD

_NUMBERS = itertools.count(1)
HELD = 0.25
"""Seconds for which each task is held."""
TRIES = 5
"""Tries of a client to be in time."""
LOST = WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_WORKFLOW_WORKER_UNHANDLED_FAILURE
UNHANDLED = WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_UNHANDLED_COMMAND


async def respond(where: Place, task: Any, commands: Sequence[Command]) -> None:
    client = where.attacker.client
    await client.workflow_service.respond_workflow_task_completed(
        RespondWorkflowTaskCompletedRequest(
            namespace=client.namespace, task_token=task.task_token, identity=IDENTITY, commands=commands,
            deployment_options=OPTIONS,
        )
    )  # fmt: skip


async def closing(where: Place, workflow_id: str, made: Build, task: Any, *, hidden: bool) -> Any:
    """Try to close the run by a task, which fails as something has arrived; return the next task.

    With `hidden` a failed task goes before: the second attempt leaves no event in the history.
    """
    if hidden:
        await where.attacker.client.workflow_service.respond_workflow_task_failed(
            RespondWorkflowTaskFailedRequest(
                namespace=where.attacker.client.namespace, task_token=task.task_token, identity=IDENTITY,
                cause=LOST, deployment_options=OPTIONS,
            )
        )  # fmt: skip
        task = await asyncio.wait_for(made.workflow_tasks.get(), 60)
    run = where.attacker.client.get_workflow_handle(workflow_id)
    assert not await where.attacker.heartbeat_by_id(workflow_id, "none", None)  # so that the run takes a signal again
    await run.signal("junk", 1)
    with pytest.raises(RPCError, match="UnhandledCommand"):
        await respond(where, task, [over("", None)])
    return await asyncio.wait_for(made.workflow_tasks.get(), 60)


async def refusing(where: Place, workflow_id: str, *, hidden: bool) -> None:
    """Let a run that waits for the word of a worker take no signal for as long as it waits, but for moments."""
    client = where.attacker.client
    run, loop = client.get_workflow_handle(workflow_id), asyncio.get_running_loop()
    async with build(client, names.WORKFLOW_QUEUE) as made:
        await until(lambda: waits(where, workflow_id))
        ends = loop.time() + QUIET + 0.3
        await override(client, workflow_id, pinned())
        await until(lambda: idle(where, workflow_id))
        await client.workflow_service.reset_sticky_task_queue(
            ResetStickyTaskQueueRequest(namespace=client.namespace, execution=WorkflowExecution(workflow_id=workflow_id))
        )
        await run.signal("junk", 1)
        task = await asyncio.wait_for(made.workflow_tasks.get(), 60)
        while loop.time() < ends:
            task = await closing(where, workflow_id, made, task, hidden=hidden)
            await asyncio.sleep(HELD)
        await respond(where, task, [])
        await override(client, workflow_id, None)
    await run.signal("junk", 2)


def failed(events: Sequence[HistoryEvent], cause: WorkflowTaskFailedCause.ValueType) -> bool:
    """Return True if a task failed with this cause while the run waited for the word of a worker."""
    ends = next(each.event_time.seconds for each in events if each.HasField("activity_task_canceled_event_attributes"))
    times = [each.event_time.seconds for each in events if each.workflow_task_failed_event_attributes.cause == cause]
    return any(each < ends + QUIET for each in times)


async def waits(where: Place, workflow_id: str) -> bool:
    events = await where.attacker.events(workflow_id)
    ended = [each.event_id for each in events if each.HasField("activity_task_canceled_event_attributes")]
    timers = [each.event_id for each in events if each.HasField("timer_started_event_attributes")]
    return bool(ended) and any(each > ended[-1] for each in timers)


async def idle(where: Place, workflow_id: str) -> bool:
    """Return True while no worker has a task of the run, which would get the next one too."""
    kinds = [each.WhichOneof("attributes") for each in await where.attacker.events(workflow_id)]
    asked, done = (kinds.count(f"workflow_task_{kind}_event_attributes") for kind in ("scheduled", "completed"))
    return asked == done


async def landed(handle: Any) -> Any:
    with suppress(NoAnswer):
        status = await handle.status()
        return None if status.in_flight else status


async def forgotten(where: Place, plan: Any, *, hidden: bool = False) -> tuple[dict[str, Any], Any, asyncio.Event]:
    """A call that Temporal was told to forget, and whose plan was stopped, while the run can hardly be told anything."""
    document = plan(step("a", "once", key="a", value=1))
    workflow_id = names.plan_workflow_id(document["plan_id"])
    handle, hold = await running(where, document, "a")
    await until(lambda: shown(where, workflow_id))
    await sent_back(where, workflow_id, "a:live")
    await where.attacker.client.get_workflow_handle(workflow_id).signal("lock", {"by": "mallory", "reason": "mine"})
    await refusing(where, workflow_id, hidden=hidden)
    return document, handle, hold


async def test_a_worker_is_heard_although_the_run_takes_hardly_any_signal(dev_server, plan, monkeypatch):
    told = SentBackCalls._tell

    async def in_time(self: SentBackCalls, number: int) -> None:
        await asyncio.sleep(WORD_WITHIN)
        await told(self, number)

    monkeypatch.setattr(SentBackCalls, "_tell", in_time)
    where = await place(dev_server.client, f"refused{next(_NUMBERS)}", keyring("k"))
    async with where.working():
        document, handle, hold = await forgotten(where, plan)
        status = await until(lambda: landed(handle))
        hold.set()
        await until(lambda: not WORLD.running)
        assert (status.state, status.parked) == (State.LOCKED, ("a",)), status
    assert times(document, "a") == 1


@pytest.mark.parametrize("hidden", [False, True], ids=["shown", "hidden"])
async def test_a_reset_run_believes_no_silence_of_a_run_that_took_no_signal(dev_server, plan, monkeypatch, hidden):
    """Here the worker keeps silent, as it must where no try of its falls into a moment in which the run takes a signal."""

    async def silent(self: SentBackCalls, number: int) -> None:
        return None

    monkeypatch.setattr(SentBackCalls, "_tell", silent)
    where = await place(dev_server.client, f"refused{next(_NUMBERS)}", keyring("k"))
    async with where.working():
        for _ in range(TRIES):
            document, handle, hold = await forgotten(where, plan, hidden=hidden)
            await until(lambda handle=handle: landed(handle))
            events = await where.attacker.events(handle.workflow.id)
            assert not (hidden and failed(events, UNHANDLED))
            if failed(events, LOST if hidden else UNHANDLED):
                break  # the client was not too late, as on a busy machine
            hold.set()
            await until(lambda: not WORLD.running)
        else:
            pytest.fail("the client was too late each time")
        called = next(
            each.event_id for each in events if each.activity_task_scheduled_event_attributes.activity_id == "a:live"
        )
        asked = next(task for task in reversed(finished_tasks(events)) if task < called - 3)
        await set_back(where.attacker.client, handle.workflow.id, asked, forget=True)
        await approved(handle)
        status = await handle.wait_for(State.LOCKED, State.COMPLETED)
        hold.set()
        await until(lambda: not WORLD.running)
        assert (status.state, status.parked) == (State.LOCKED, ("a",)), status.why
    assert times(document, "a") == 1
