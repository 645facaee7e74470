"""Calls that an attacker lets look as if no worker had ever begun them: what was made is read from the world."""

import itertools
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from temporalio.api.activity.v1 import ActivityOptions
from temporalio.api.common.v1 import RetryPolicy, WorkflowExecution
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import PauseActivityRequest, UpdateActivityOptionsRequest
from temporalio.service import RPCError

from airlock.activities.calls.sent_back import SentBackCalls
from airlock.base import names
from airlock.client.errors import NoAnswer
from airlock.client.undo import undo as airlock_undo
from airlock.plans.state import State
from airlock.run.live.sent_back import DEAF_FROM
from airlock.temporal import past_calls
from airlock.workflows.calls import unbegun
from tests.conftest import HUNT
from tests.running import dev_server as dev_server_of
from tests.workflows.attacker import IDENTITY
from tests.workflows.attacker_starts import finished_tasks, set_back
from tests.workflows.conftest import approved, step, until
from tests.workflows.protected import Place, keyring, place
from tests.workflows.test_proof_calls import running, times
from tests.workflows.test_proof_floods import flood
from tests.workflows.world import WORLD

_NUMBERS = itertools.count(1)


async def sent_back(where: Place, workflow_id: str, activity_id: str, pause: int = 300, **more: Any) -> None:
    """Let the attempt that runs end as a failure after which Temporal waits: the activity is as if it had never begun."""
    retry = RetryPolicy(maximum_attempts=9, initial_interval=Duration(seconds=pause), backoff_coefficient=1.0)
    paths = ["retry_policy", *("task_queue.name" if name == "task_queue" else name for name in more)]
    await where.attacker.client.workflow_service.update_activity_options(
        UpdateActivityOptionsRequest(
            namespace=where.attacker.client.namespace, execution=WorkflowExecution(workflow_id=workflow_id), id=activity_id,
            identity=IDENTITY, activity_options=ActivityOptions(retry_policy=retry, **more),
            update_mask=FieldMask(paths=paths),
        )
    )  # fmt: skip
    await where.attacker.fail_by_id(workflow_id, activity_id)


async def standing(handle: Any) -> Any:
    status = await handle.status()
    return status if status.state is State.LOCKED and not status.in_flight else None


@pytest.mark.parametrize("opens", [True, False], ids=["opens the stay", "after the entry"])
@pytest.mark.parametrize("paused", [True, False], ids=["paused", "not paused"])
async def test_a_call_that_was_sent_back_and_then_cancelled_is_in_doubt(dev_server, plan, opens, paused):
    """An activity that waits for its next attempt is cancelled as one is that no worker has begun."""
    where = await place(dev_server.client, f"unbegun{next(_NUMBERS)}", keyring("k"))
    document = plan(step("mail", "send", to="x"), *([] if opens else [step("b", "put", key="b", value=1)]))
    workflow_id = names.plan_workflow_id(document["plan_id"])
    async with where.working():
        handle, hold = await running(where, document, "mail")
        if paused:  # the worker is told one reason to stop, and no second one
            await pause(where, workflow_id, "mail:live")
        await sent_back(where, workflow_id, "mail:live")
        await where.attacker.client.get_workflow_handle(workflow_id).signal("lock", {"by": "mallory", "reason": "mine"})
        status = await until(lambda: standing(handle))
        assert status.parked == ("mail",)
        assert "told to forget" in next(each.error for each in status.steps if each.id == "mail")
        assert not (await handle.decide("unlock", by="mallory", reason="go on")).accepted
        hold.set()
        await until(lambda: not WORLD.running)
    assert times(document, "mail") == 1


async def pause(where: Place, workflow_id: str, activity_id: str) -> None:
    client = where.attacker.client
    await client.workflow_service.pause_activity(
        PauseActivityRequest(
            namespace=client.namespace, execution=WorkflowExecution(workflow_id=workflow_id), id=activity_id,
            identity=IDENTITY,
        )
    )  # fmt: skip


async def test_a_call_that_ended_before_it_was_cancelled_is_in_doubt(dev_server, plan):
    """No heartbeat tells the worker that its answer comes too late: only Temporal's refusal of the answer does."""
    where = await place(dev_server.client, f"unbegun{next(_NUMBERS)}", keyring("k"))
    document = plan(step("mail", "send", to="x"))
    workflow_id = names.plan_workflow_id(document["plan_id"])
    async with where.working():
        handle, hold = await running(where, document, "mail")
        await sent_back(where, workflow_id, "mail:live")
        hold.set()
        await until(lambda: not WORLD.running)
        await where.attacker.client.get_workflow_handle(workflow_id).signal("lock", {"by": "mallory", "reason": "mine"})
        status = await until(lambda: standing(handle))
        assert status.parked == ("mail",)
    assert times(document, "mail") == 1


@pytest.mark.parametrize("how", ["abort", "terminate"])
async def test_a_call_that_was_sent_back_is_not_hidden_by_the_end_of_its_plan(dev_server, plan, how):
    where = await place(dev_server.client, f"unbegun{next(_NUMBERS)}", keyring("k"))
    document = plan(step("a", "once", key="a", value=1))
    workflow_id = names.plan_workflow_id(document["plan_id"])
    run = where.attacker.client.get_workflow_handle(workflow_id)
    async with where.working():
        handle, hold = await running(where, document, "a")
        await sent_back(where, workflow_id, "a:live")
        await run.signal("lock", {"by": "mallory", "reason": "mine"})
        if how == "abort":
            await run.signal("abort", {"by": "mallory", "reason": "mine"})
            status = await until(lambda: standing(handle))
            assert status.parked == ("a",)
            hold.set()
            return
        await until(lambda: cancelled(where, workflow_id))
        await run.terminate("mine")
        hold.set()
        await until(lambda: not WORLD.running)
        undo = await airlock_undo(where.airlock.client, document["plan_id"], by="rita", reason="what was it?")
        status = await undo.wait_for(State.AWAITING_APPROVAL, State.LOCKED, State.ABORTED)
        assert status.state is not State.ABORTED, status.why
        await undo.workflow.terminate()
    assert times(document, "a") == 1


async def cancelled(where: Place, workflow_id: str) -> bool:
    events = await where.attacker.events(workflow_id)
    return any(event.HasField("activity_task_canceled_event_attributes") for event in events)


async def test_a_call_that_was_sent_back_to_a_queue_without_workers_is_not_made_again(dev_server, plan):
    where = await place(dev_server.client, f"unbegun{next(_NUMBERS)}", keyring("k"))
    document = plan(step("mail", "send", to="x"))
    workflow_id = names.plan_workflow_id(document["plan_id"])
    async with where.working():
        handle, hold = await running(where, document, "mail")
        # a second is the least that Temporal waits between two attempts
        await sent_back(
            where,
            workflow_id,
            "mail:live",
            1,
            schedule_to_start_timeout=Duration(seconds=1),
            task_queue=TaskQueue(name="nobody"),
        )
        hold.set()
        status = await handle.wait_for(State.LOCKED, State.COMPLETED)
        await until(lambda: not WORLD.running)
        assert (status.state, status.parked) == (State.LOCKED, ("mail",))
    assert times(document, "mail") == 1


async def test_a_call_that_was_sent_back_is_not_made_again_by_a_reset(dev_server, plan):
    """The run ends by the reset, right after its call ended unbegun: the worker could not tell it any more."""
    where = await place(dev_server.client, f"unbegun{next(_NUMBERS)}", keyring("k"))
    document = plan(step("mail", "send", to="x"))
    workflow_id = names.plan_workflow_id(document["plan_id"])
    client = where.attacker.client
    async with where.working():
        handle, hold = await running(where, document, "mail")
        asked = finished_tasks(await where.attacker.events(workflow_id))[-1]
        await sent_back(where, workflow_id, "mail:live")
        await client.get_workflow_handle(workflow_id).signal("lock", {"by": "mallory", "reason": "mine"})
        await until(lambda: cancelled(where, workflow_id))
        await set_back(client, workflow_id, asked, forget=True)
        status = await handle.wait_for(State.LOCKED, State.AWAITING_APPROVAL, State.COMPLETED)
        if status.state is State.AWAITING_APPROVAL:
            await approved(handle)
            status = await handle.wait_for(State.LOCKED, State.COMPLETED)
        assert (status.state, status.parked) == (State.LOCKED, ("mail",)), status.why
        hold.set()
        await until(lambda: not WORLD.running)
    assert times(document, "mail") == 1


SIGNALS = 10_000
"""Signals that Temporal takes in one run, if its operator has not configured it otherwise."""
FEW = 300
"""The limit of a server on which it is reached soon."""


def test_silence_is_believed_only_where_signals_are_still_taken():
    assert DEAF_FROM <= SIGNALS / 2


async def test_no_silence_in_an_earlier_run_is_believed_after_a_flood_of_signals(dev_server, plan, monkeypatch):
    """Here the worker keeps silent, as it must where Temporal takes no signal any more, and few events count as many."""

    async def silent(self: SentBackCalls, number: int) -> None:
        return None

    monkeypatch.setattr(SentBackCalls, "_tell", silent)
    monkeypatch.setattr(past_calls, "DEAF_FROM", 20)
    where = await place(dev_server.client, f"unbegun{next(_NUMBERS)}", keyring("k"))
    document = plan(step("a", "once", key="a", value=1))
    workflow_id = names.plan_workflow_id(document["plan_id"])
    client = where.attacker.client
    async with where.working():
        handle, hold = await running(where, document, "a")
        asked = finished_tasks(await where.attacker.events(workflow_id))[-1]
        await sent_back(where, workflow_id, "a:live")
        await client.get_workflow_handle(workflow_id).signal("lock", {"by": "mallory", "reason": "mine"})
        await until(lambda: standing(handle))
        await set_back(client, workflow_id, asked, forget=True)
        await approved(handle)
        status = await handle.wait_for(State.LOCKED, State.COMPLETED)
        assert (status.state, status.parked) == (State.LOCKED, ("a",)), status.why
        hold.set()
        await until(lambda: not WORLD.running)
    assert times(document, "a") == 1


@pytest.mark.slow
async def test_a_call_that_was_sent_back_is_in_doubt_although_temporal_takes_no_signal_any_more(plan, tmp_path, monkeypatch):
    """After a flood of signals the worker cannot tell that it had begun. A hunt floods as many as Temporal takes."""
    limits = {} if HUNT else {"history.maximumSignalsPerExecution": FEW}
    if limits:
        monkeypatch.setattr(unbegun, "DEAF_FROM", DEAF_FROM * FEW // SIGNALS)
    document = plan(step("mail", "linger", key="mail", value=1))
    workflow_id = names.plan_workflow_id(document["plan_id"])
    async with dev_server_of(tmp_path / "server", limits=limits) as server:
        where = await place(server.client, f"unbegun{next(_NUMBERS)}", keyring("k"))
        run = where.attacker.client.get_workflow_handle(workflow_id)
        async with where.working():
            handle, hold = await running(where, document, "mail")
            with pytest.raises(RPCError, match="limit for signal"):
                await flood(where, workflow_id, "noise", {}, (FEW if limits else SIGNALS) + 1)
            await sent_back(where, workflow_id, "mail:live")
            await run.cancel()
            status = await until(lambda: settled(handle))
            assert status.parked == ("mail",), status
            hold.set()
            await until(lambda: not WORLD.running)
    assert times(document, "mail") == 1


async def settled(handle: Any) -> Any:
    try:
        status = await handle.status()
    except NoAnswer:  # Temporal has more to do than to answer, after a flood of signals
        return None
    return status if not status.in_flight and (status.parked or status.state.closed) else None
