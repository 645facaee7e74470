"""Unusual ways in which a client starts, moves and repeats plans: what goes live is read from the world."""

import asyncio
import itertools
import uuid
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.empty_pb2 import Empty
from google.protobuf.field_mask_pb2 import FieldMask
from temporalio.api.activity.v1 import ActivityOptions
from temporalio.api.batch.v1 import (
    BatchOperationReset,
    BatchOperationResetActivities,
    BatchOperationSignal,
    BatchOperationUnpauseActivities,
    BatchOperationUpdateActivityOptions,
)
from temporalio.api.common.v1 import (
    Callback,
    Payload,
    Payloads,
    Priority,
    ResetOptions,
    RetryPolicy,
    WorkflowExecution,
    WorkflowType,
)
from temporalio.api.enums.v1 import BatchOperationState, WorkflowIdConflictPolicy
from temporalio.api.failure.v1 import Failure
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflow.v1 import OnConflictOptions
from temporalio.api.workflowservice.v1 import (
    DescribeBatchOperationRequest,
    PauseActivityRequest,
    PauseWorkflowExecutionRequest,
    StartBatchOperationRequest,
    StartWorkflowExecutionRequest,
)
from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleSpec,
    WithStartWorkflowOperation,
    WorkflowUpdateFailedError,
)
from temporalio.common import RawValue, WorkflowIDConflictPolicy
from temporalio.service import RPCError

from airlock.base import names
from airlock.plans.state import State
from tests.workflows.attacker import IDENTITY, plain
from tests.workflows.attacker_builds import build, once_served, override, pinned
from tests.workflows.attacker_starts import history
from tests.workflows.conftest import awaiting, step, until
from tests.workflows.protected import Place, keyring, place
from tests.workflows.test_proof_replayed import PUBLIC, made, signed
from tests.workflows.world import WORLD

_NUMBERS = itertools.count(1)


async def signed_place(dev_server) -> Place:
    return await place(
        dev_server.client, f"starters{next(_NUMBERS)}", keyring("k"), signature_required="always", authorized_keys=[PUBLIC]
    )


def request_of(client: Client, workflow_id: str, given: Payload, **more: Any) -> StartWorkflowExecutionRequest:
    return StartWorkflowExecutionRequest(
        namespace=client.namespace, workflow_id=workflow_id, workflow_type=WorkflowType(name=names.PLAN_WORKFLOW),
        task_queue=TaskQueue(name=names.WORKFLOW_QUEUE), input=Payloads(payloads=[given]), identity=IDENTITY,
        request_id=str(uuid.uuid4()), **more,
    )  # fmt: skip


async def with_an_update(client: Client, workflow_id: str, given: Payload, vote: dict[str, Any]) -> None:
    operation: WithStartWorkflowOperation[Any, Any] = WithStartWorkflowOperation(
        names.PLAN_WORKFLOW, RawValue(given), id=workflow_id, task_queue=names.WORKFLOW_QUEUE,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
    )  # fmt: skip
    asked = client.execute_update_with_start_workflow(
        "decide", {"decision": "approve", **vote}, start_workflow_operation=operation
    )
    if b'"run"' not in given.data:
        said = await asked
        assert not said["accepted"], said
        return
    with pytest.raises(WorkflowUpdateFailedError) as refused:
        await asked
    assert "only a continue-as-new may carry a run on" in str(refused.value.cause), refused.value.cause


async def as_the_heir_of_a_failed_run(client: Client, workflow_id: str, given: Payload, vote: dict[str, Any]) -> None:
    more = {"continued_failure": Failure(message="again"), "last_completion_result": Payloads(payloads=[given])}
    await client.workflow_service.start_workflow_execution(request_of(client, workflow_id, given, **more))


async def pinned_to_a_build(client: Client, workflow_id: str, given: Payload, vote: dict[str, Any]) -> None:
    """The first task is the attacker's own, who drops it; then the run is left to the workers of Airlock."""
    async with build(client, names.WORKFLOW_QUEUE) as made:
        request = request_of(client, workflow_id, given, versioning_override=pinned())
        await once_served(lambda: client.workflow_service.start_workflow_execution(request))
        task = await asyncio.wait_for(made.workflow_tasks.get(), 60)
        assert task.workflow_execution.workflow_id == workflow_id
        await override(client, workflow_id, None)


async def eagerly(client: Client, workflow_id: str, given: Payload, vote: dict[str, Any]) -> None:
    await client.workflow_service.start_workflow_execution(
        request_of(client, workflow_id, given, request_eager_execution=True)
    )


async def after_a_delay(client: Client, workflow_id: str, given: Payload, vote: dict[str, Any]) -> None:
    await client.start_workflow(
        names.PLAN_WORKFLOW, RawValue(given), id=workflow_id, task_queue=names.WORKFLOW_QUEUE,
        start_delay=timedelta(milliseconds=200),
    )  # fmt: skip


async def several_times_at_once(client: Client, workflow_id: str, given: Payload, vote: dict[str, Any]) -> None:
    action = ScheduleActionStartWorkflow(
        names.PLAN_WORKFLOW, RawValue(given), id=workflow_id, task_queue=names.WORKFLOW_QUEUE
    )
    schedule = Schedule(action=action, spec=ScheduleSpec(), policy=SchedulePolicy(overlap=ScheduleOverlapPolicy.ALLOW_ALL))
    found = await client.create_schedule(str(uuid.uuid4()), schedule)
    for _ in range(3):
        await found.trigger(overlap=ScheduleOverlapPolicy.ALLOW_ALL)


Way = Callable[[Client, str, Payload, dict[str, Any]], Awaitable[None]]
WAYS: tuple[Way, ...] = (
    with_an_update, as_the_heir_of_a_failed_run, pinned_to_a_build, eagerly, after_a_delay, several_times_at_once,
)  # fmt: skip


@pytest.mark.parametrize("copied", [True, False], ids=["a carried state", "a plan"])
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
async def test_a_plan_that_is_started_in_an_unusual_way_makes_no_call(dev_server, plan, way, copied):
    """The vote is a genuine one, for another plan with the same calls."""
    where = await signed_place(dev_server)
    document = plan(step("a", "once", key="a", value=1))
    other = document | {"plan_id": f"{document['plan_id']}-mallory"}
    workflow_id, client = names.plan_workflow_id(other["plan_id"]), where.attacker.client
    async with where.working():
        handle = await where.airlock.submit(document)
        vote = signed(document["plan_id"], (await awaiting(handle)).digest)
        assert (await handle.decide("approve", **vote)).accepted
        await handle.result()
        at = "2026-01-01T00:00:00Z"
        state = {"run": {"plan": other, "state": "LIVE", "approved": ["a"], "submitted_at": at, "since": at}}
        await way(client, workflow_id, plain(state if copied else {"plan": other}), vote)
        runs = await until(lambda: started(client, workflow_id))
        for run in runs:
            for name in ("approve", "unlock"):
                await signalled(client, run, name, vote if name == "approve" else {"by": "mallory", "reason": "go on"})
        if not copied and way is not eagerly:  # the first task of that one is the attacker's own
            await until(lambda: waiting(where, runs))
        await until(lambda: standing_still(where, runs))
        assert made(document["plan_id"]) == 1
        assert not [each for each in WORLD.log if each[0] == "live" and each[1].startswith(other["plan_id"])]
        for run in runs:
            await ended(client, run)


async def started(client: Client, workflow_id: str) -> list[str]:
    found = client.list_workflows(f"WorkflowId STARTS_WITH '{workflow_id}'")
    return sorted({run.id async for run in found})


async def signalled(client: Client, workflow_id: str, name: str, said: dict[str, Any]) -> None:
    try:
        await client.get_workflow_handle(workflow_id).signal(name, said)
    except RPCError:  # it has failed already
        return


async def ended(client: Client, workflow_id: str) -> None:
    try:
        await client.get_workflow_handle(workflow_id).terminate("test")
    except RPCError:
        return


async def waiting(where: Place, runs: list[str]) -> bool:
    handles = [where.airlock.plan(run.removeprefix("plan-")) for run in runs]
    return all([(await each.status()).state is State.AWAITING_APPROVAL for each in handles])


async def standing_still(where: Place, runs: list[str]) -> bool:
    """True once no history of these runs has grown for a second."""
    before = [len(await history(where.attacker.client, run)) for run in runs]
    await asyncio.sleep(1.0)
    return before == [len(await history(where.attacker.client, run)) for run in runs]


async def moved_to_another_build(client: Client, workflow_id: str) -> None:
    """The plan stands still while it is the attacker's, who answers no task, and goes on once that is taken back."""
    async with build(client, names.WORKFLOW_QUEUE) as made:
        await override(client, workflow_id, pinned())
        await client.get_workflow_handle(workflow_id).signal("junk", 1)
        task = await asyncio.wait_for(made.workflow_tasks.get(), 60)
        assert task.workflow_execution.workflow_id == workflow_id
        await override(client, workflow_id, None)


async def with_a_callback(client: Client, workflow_id: str) -> None:
    """A start of the same plan that joins the run that is open, as a Nexus operation does."""
    joining = {
        "workflow_id_conflict_policy": WorkflowIdConflictPolicy.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
        "on_conflict_options": OnConflictOptions(attach_request_id=True, attach_completion_callbacks=True),
    }
    outside = Callback(nexus=Callback.Nexus(url="http://127.0.0.1:9/callback"))
    with pytest.raises(RPCError, match="does not match any configured callback address"):
        await client.workflow_service.start_workflow_execution(
            request_of(client, workflow_id, plain({}), completion_callbacks=[outside], **joining)
        )
    inside = Callback(nexus=Callback.Nexus(url="temporal://system"))
    await client.workflow_service.start_workflow_execution(
        request_of(client, workflow_id, plain({}), completion_callbacks=[inside], **joining)
    )
    described = await client.get_workflow_handle(workflow_id).describe()
    assert len(described.raw_description.callbacks) == 1, "it joined the run that was open"


async def reset_in_a_batch(client: Client, workflow_id: str) -> None:
    options = ResetOptions(last_workflow_task=Empty())
    await batch(client, workflow_id, reset_operation=BatchOperationReset(options=options, identity=IDENTITY))


async def unlocked_in_a_batch(client: Client, workflow_id: str) -> None:
    said = Payloads(payloads=[plain({"by": "mallory", "reason": "go on"})])
    operation = BatchOperationSignal(signal="unlock", input=said, identity=IDENTITY)
    await batch(client, workflow_id, signal_operation=operation)


async def activities_reset_in_a_batch(client: Client, workflow_id: str) -> None:
    """The call begins again, although it may be tried once."""
    operation = BatchOperationResetActivities(identity=IDENTITY, match_all=True, reset_attempts=True, reset_heartbeat=True)
    await batch(client, workflow_id, reset_activities_operation=operation)


async def activities_hurried_in_a_batch(client: Client, workflow_id: str) -> None:
    """The call has no time left, and four attempts."""
    options = ActivityOptions(
        start_to_close_timeout=Duration(seconds=1), heartbeat_timeout=Duration(seconds=1),
        retry_policy=RetryPolicy(maximum_attempts=4, initial_interval=Duration(seconds=1)),
        priority=Priority(priority_key=1, fairness_key="mallory", fairness_weight=1000.0),
    )  # fmt: skip
    mask = FieldMask(paths=["start_to_close_timeout", "heartbeat_timeout", "retry_policy", "priority"])
    operation = BatchOperationUpdateActivityOptions(
        identity=IDENTITY, match_all=True, activity_options=options, update_mask=mask
    )
    await batch(client, workflow_id, update_activity_options_operation=operation)


async def activities_let_go_in_a_batch(client: Client, workflow_id: str) -> None:
    """The call is paused while it is made, and let go again with attempts of its own."""
    await client.workflow_service.pause_activity(
        PauseActivityRequest(
            namespace=client.namespace, execution=WorkflowExecution(workflow_id=workflow_id), id="a:live", identity=IDENTITY,
            reason="mine",
        )
    )  # fmt: skip
    operation = BatchOperationUnpauseActivities(identity=IDENTITY, match_all=True, reset_attempts=True, reset_heartbeat=True)
    await batch(client, workflow_id, unpause_activities_operation=operation)


async def paused_as_a_whole(client: Client, workflow_id: str) -> None:
    """A server of this version does that only if its operator has switched it on."""
    with pytest.raises(RPCError, match="not enabled"):
        await client.workflow_service.pause_workflow_execution(
            PauseWorkflowExecutionRequest(
                namespace=client.namespace, workflow_id=workflow_id, identity=IDENTITY, reason="mine",
                request_id=str(uuid.uuid4()),
            )
        )  # fmt: skip


async def batch(client: Client, workflow_id: str, **operation: Any) -> None:
    job = str(uuid.uuid4())
    await client.workflow_service.start_batch_operation(
        StartBatchOperationRequest(
            namespace=client.namespace, job_id=job, reason="mine", **operation,
            executions=[WorkflowExecution(workflow_id=workflow_id)],
        )
    )  # fmt: skip
    wanted = DescribeBatchOperationRequest(namespace=client.namespace, job_id=job)

    async def done() -> bool:
        found = await client.workflow_service.describe_batch_operation(wanted)
        return found.state == BatchOperationState.BATCH_OPERATION_STATE_COMPLETED

    await until(done)


@pytest.mark.parametrize(
    "deed",
    [
        moved_to_another_build, with_a_callback, reset_in_a_batch, unlocked_in_a_batch, activities_reset_in_a_batch,
        activities_hurried_in_a_batch, activities_let_go_in_a_batch, paused_as_a_whole,
    ],
    ids=lambda deed: deed.__name__,
)  # fmt: skip
async def test_a_call_under_way_is_made_once_whatever_is_done_to_its_plan(dev_server, plan, deed):
    where = await signed_place(dev_server)
    document = plan(step("a", "once", key="a", value=1))
    workflow_id = names.plan_workflow_id(document["plan_id"])
    async with where.working():
        hold = WORLD.hold(document["plan_id"], "a")
        handle = await where.airlock.submit(document)
        vote = signed(document["plan_id"], (await awaiting(handle)).digest)
        assert (await handle.decide("approve", **vote)).accepted
        await until(lambda: (document["plan_id"], "a") in WORLD.running)
        await deed(where.attacker.client, workflow_id)
        hold.set()
        await until(lambda: not WORLD.running)
        await signalled(where.attacker.client, workflow_id, "approve", vote)
        status = await until(lambda: told(handle))
        assert made(document["plan_id"]) == 1
        assert status.steps[0].status in ("live", "in_doubt") or status.state is State.AWAITING_APPROVAL, status
        await ended(where.attacker.client, workflow_id)


async def told(handle: Any) -> Any:
    status = await handle.status()
    return status if status.state.closed or status.parked or status.state is State.AWAITING_APPROVAL else None
