"""A workflow task that a client completes in the name of another build: the policy of today counts all the same."""

import itertools
from collections.abc import Iterator
from dataclasses import replace

from temporalio.api.command.v1 import CancelTimerCommandAttributes, Command
from temporalio.api.enums.v1 import CommandType
from temporalio.api.history.v1 import HistoryEvent

from airlock.admission.policy import Policy
from airlock.base import names
from airlock.base.errors import AirlockError
from airlock.client import PlanHandle
from airlock.client.undo import undo
from airlock.plans.state import State
from tests.workflows.attacker_starts import finished_tasks, history
from tests.workflows.conftest import approved, awaiting, step, until
from tests.workflows.protected import Place, keyring, place
from tests.workflows.test_proof_markers import commands_of
from tests.workflows.world import WORLD

_NUMBERS = itertools.count(1)
_NOWHERE = "mallory"
_FAILED = "workflow_task_failed_event_attributes"


async def asked(where: Place, plan_id: str) -> tuple[PlanHandle, str]:
    """Start the undo of a plan, and return it with its digest once it waits for its approval."""
    handle = await undo(where.airlock.client, plan_id, by="olga", reason="wrong customer")
    return handle, (await awaiting(handle)).digest


def after_an_approval(events: list[HistoryEvent]) -> Iterator[Command]:
    """Yield the commands after an approval as if the policy of today had not been asked for."""
    task = next(number for number in finished_tasks(events) if number > told_the_policy(events))
    cancelled = next(event for event in events if event.HasField("timer_canceled_event_attributes"))
    timer = cancelled.timer_canceled_event_attributes.timer_id
    yield Command(
        command_type=CommandType.COMMAND_TYPE_CANCEL_TIMER,
        cancel_timer_command_attributes=CancelTimerCommandAttributes(timer_id=timer),
    )
    yield from commands_of(events, task)


def told_the_policy(events: list[HistoryEvent]) -> int:
    """Return the event of the last answer with the policy of today."""
    asked = {
        event.event_id for event in events
        if event.activity_task_scheduled_event_attributes.activity_type.name == "policy_now"
    }  # fmt: skip
    return max(
        event.event_id for event in events
        if event.activity_task_completed_event_attributes.scheduled_event_id in asked
    )  # fmt: skip


async def test_an_undo_is_not_approved_by_a_policy_that_was_tightened_since(dev_server, plan):
    where = await place(dev_server.client, f"builds{next(_NUMBERS)}", keyring("k"))
    twin, document = (plan(step("a", "put", key="a", value=number)) for number in (1, 2))
    async with where.working():
        for each in (twin, document):
            handle = await where.airlock.submit(each)
            await approved(handle)
            assert (await handle.result()).outcome == "completed"
        honest, digest = await asked(where, twin["plan_id"])
        handle, sealed = await asked(where, document["plan_id"])
    await honest.workflow.signal("approve", {"by": "alice", "digest": digest})
    async with where.working():
        assert (await honest.result()).undone == ("a",)
    same = list(after_an_approval(await history(where.attacker.client, honest.workflow.id)))
    assert same[-1].schedule_activity_task_command_attributes.activity_type.name == "compensate"
    tightened = replace(where, policy=Policy.model_validate(where.policy.model_dump() | {"approvers": ("bob",)}))
    async with tightened.working():
        refused = await handle.decide("approve", by="alice", digest=sealed)
        assert "today's policy" in refused.reason
    await handle.workflow.signal("approve", {"by": "alice", "digest": sealed})
    await where.attacker.complete_task(
        names.WORKFLOW_QUEUE, handle.workflow.id, same, build_id=names.build_id(where.policy.digest(), "0")
    )
    await where.attacker.complete(await where.attacker.take(_NOWHERE, "compensate"), None)
    async with tightened.working():
        decided = await until(lambda: decision(where, handle))
        # what the client commanded is not what a run commands that asks for the policy of today
        assert decided == "failed"
        await handle.workflow.terminate("its history fits no worker")
    assert ("undo", document["plan_id"], "a") not in WORLD.log


async def decision(where: Place, handle: PlanHandle) -> str:
    """Return how a worker takes the task that a client completed: it fails at it, or believes the approval, and parks."""
    if any(event.HasField(_FAILED) for event in await where.attacker.events(handle.workflow.id)):
        return "failed"
    return "approved" if (await handle.facts(last=1)).summary.state == State.LOCKED else ""


async def test_a_plan_is_not_unlocked_by_a_person_whom_the_policy_of_today_refuses(dev_server, plan):
    where = await place(dev_server.client, f"builds{next(_NUMBERS)}", keyring("k"))
    lock, unlock = ({"by": "eve", "reason": why} for why in ("an incident", "it is over"))
    async with where.working():
        honest, handle = [await where.airlock.submit(plan(step("a", "put", key="a", value=number))) for number in (1, 2)]
        for each in (honest, handle):
            await awaiting(each)
            assert (await each.decide("lock", **lock)).accepted
        await honest.workflow.signal("unlock", unlock)
        assert await until(lambda: status_is(honest, State.AWAITING_APPROVAL))
    same = list(after_the_last_signal(await history(where.attacker.client, honest.workflow.id)))
    assert any(command.HasField("schedule_activity_task_command_attributes") for command in same)
    rules = {"roles": {"operator": ("olga",)}, "decisions": {"unlock": {"roles": ("operator",)}}}
    tightened = replace(where, policy=Policy.model_validate(where.policy.model_dump() | rules))
    await handle.workflow.signal("unlock", unlock)
    await where.attacker.complete_task(
        names.WORKFLOW_QUEUE, handle.workflow.id, same, build_id=names.build_id(where.policy.digest(), "0")
    )
    await handle.workflow.signal("look", "at what the client commanded")  # the next task replays it
    async with tightened.working():
        assert await until(lambda: unlocked(where, handle)) == "failed"
        await handle.workflow.terminate("its history fits no worker")


def after_the_last_signal(events: list[HistoryEvent]) -> Iterator[Command]:
    """Return the first commands after the last decision as if the policy of today had not been asked for."""
    kinds = ("upsert_workflow_search_attributes_event_attributes", "activity_task_scheduled_event_attributes")
    found = [event for event in events[told_the_policy(events) :] if any(map(event.HasField, kinds))]
    first = next(number for number, event in enumerate(found) if event.HasField(kinds[1]))
    return commands_of(found[: first + 1], 0)


async def status_is(handle: PlanHandle, state: State) -> bool:
    return (await handle.status()).state is state


async def unlocked(where: Place, handle: PlanHandle) -> str:
    """Return how a worker takes the task that a client completed: it fails at it, or believes the unlock."""
    if any(event.HasField(_FAILED) for event in await where.attacker.events(handle.workflow.id)):
        return "failed"
    try:
        audit = (await handle.audit()).entries
    except AirlockError:  # the task has not failed yet, and no query of this history is answered
        return ""
    return "unlocked" if any(entry.what == "unlock" and entry.kind == "decision" for entry in audit) else ""
