"""A query that a worker answers beyond the history: what people send on such an answer counts, and wedges nothing."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, cast
from uuid import uuid4

import pytest
from google.protobuf.duration_pb2 import Duration
from temporalio.api.enums.v1 import TaskQueueKind, TaskQueueType, WorkflowTaskFailedCause
from temporalio.api.taskqueue.v1 import StickyExecutionAttributes, TaskQueue
from temporalio.api.workflowservice.v1 import (
    DescribeTaskQueueRequest,
    PollWorkflowTaskQueueRequest,
    PollWorkflowTaskQueueResponse,
    RespondWorkflowTaskCompletedRequest,
    RespondWorkflowTaskFailedRequest,
)
from temporalio.client import Client
from temporalio.worker import Worker

from airlock.activities.toolbox import Toolbox
from airlock.admission.policy import Policy
from airlock.base import names
from airlock.base.errors import AirlockError
from airlock.client import Airlock, PlanHandle
from airlock.plans.catalogue import Catalogue
from airlock.plans.state import State
from airlock.plans.tool import tool
from airlock.plans.tool_call import Preview, ToolCall
from airlock.run.presentation.views import StatusView
from airlock.worker.ahead import forgetting
from airlock.worker.roles import build_workers
from tests import running
from tests.replay.replay import replayer
from tests.workflows.conftest import POLICY, events, namespace, step, until
from tests.workflows.world import WORLD, Put


@tool(name="slow", risk="MEDIUM", reversibility="compensable", timeout=30)
async def slow(args: Put, call: ToolCall) -> dict[str, Any]:
    """Set a key."""
    return cast(dict[str, Any], await WORLD.live(call, lambda: WORLD.state[call.plan_id].__setitem__(args.key, args.value)))


@slow.dry_run
async def _slow_dry(args: Put, call: ToolCall) -> Preview:
    await WORLD.hold(call.plan_id, "dry").wait()
    return Preview(effect=f"set {args.key}")


@slow.compensate
async def _slow_undo(args: Put, call: ToolCall) -> None:
    WORLD.state[call.plan_id].pop(args.key, None)


class Lost:
    """A worker of the workflows that takes tasks and is lost with them."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._own = f"own-{uuid4().hex[:8]}"
        self._polls: list[asyncio.Task[PollWorkflowTaskQueueResponse]] = []
        self.task = b""

    async def take_up(self) -> None:
        """Complete the workflow task that waits, without a command, so that the next tasks and queries come here first."""
        task = await self._poll(names.WORKFLOW_QUEUE, "lost")
        pollers = {"lost-1", "lost-2"}  # a query and a workflow task
        self._polls = [asyncio.create_task(self._poll(self._own, poller)) for poller in pollers]

        async def polled() -> bool:
            """Without pollers that the server knows, a query goes to the queue that all workers share, and waits there."""
            request = DescribeTaskQueueRequest(
                namespace=self._client.namespace, task_queue=self._queue(self._own),
                task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW,
            )  # fmt: skip
            described = await self._client.workflow_service.describe_task_queue(request)
            return {poller.identity for poller in described.pollers} == pollers

        await until(polled)
        await self._client.workflow_service.respond_workflow_task_completed(
            RespondWorkflowTaskCompletedRequest(
                namespace=self._client.namespace, task_token=task.task_token, identity="lost",
                sticky_attributes=StickyExecutionAttributes(
                    worker_task_queue=self._queue(self._own), schedule_to_start_timeout=Duration(seconds=2)
                ),
            )
        )  # fmt: skip

    async def has_taken(self, number: int) -> None:
        """Wait until so many tasks are lost with this worker; the query is the first of them."""
        await until(lambda: sum(poll.done() for poll in self._polls) >= number)
        taken = [poll.result() for poll in self._polls if poll.done()]
        assert sum(bool(task.query.query_type) for task in taken) == 1, taken
        self.task = next((task.task_token for task in taken if not task.query.query_type), b"")

    async def is_given_up(self) -> None:
        """Let the workflow task go to another worker at once; its timeout would do the same ten seconds later."""
        await self._client.workflow_service.respond_workflow_task_failed(
            RespondWorkflowTaskFailedRequest(
                namespace=self._client.namespace, task_token=self.task, identity="lost",
                cause=WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_RESET_STICKY_TASK_QUEUE,
            )
        )  # fmt: skip

    def _queue(self, name: str) -> TaskQueue:
        if name == names.WORKFLOW_QUEUE:
            return TaskQueue(name=name)
        return TaskQueue(name=name, kind=TaskQueueKind.TASK_QUEUE_KIND_STICKY, normal_name=names.WORKFLOW_QUEUE)

    async def _poll(self, name: str, identity: str) -> PollWorkflowTaskQueueResponse:
        request = PollWorkflowTaskQueueRequest(
            namespace=self._client.namespace, task_queue=self._queue(name), identity=identity
        )
        while True:
            task = await self._client.workflow_service.poll_workflow_task_queue(request, timeout=timedelta(seconds=70))
            if task.task_token:
                return task


class Stage:
    """A plan in its dry runs, whose worker of the workflows is lost, and another such worker that has just started."""

    def __init__(self, handle: PlanHandle, lost: Lost) -> None:
        self.handle = handle
        self.lost = lost
        self.asked: asyncio.Task[StatusView]

    async def dry_runs_end(self) -> None:
        WORLD.hold(self.handle.plan_id, "dry").set()

        async def ended() -> bool:
            return not (await self.handle.workflow.describe()).raw_description.pending_activities

        await until(ended)

    async def replays(self) -> bool:
        history = await self.handle.workflow.fetch_history()
        replaying = replayer(namespace=self.handle.workflow_client.namespace)
        result = await replaying.replay_workflow(history, raise_on_replay_failure=False)
        assert result.replay_failure is None, result.replay_failure
        return True


@asynccontextmanager
async def stage(client: Client, document: dict[str, Any], today: Policy = POLICY) -> AsyncIterator[Stage]:
    """A stage on which the dry runs ended after the query was asked, and the workflow task that followed was lost.

    The plan was admitted under the policy of the tests; the worker that goes on with it has that of today.
    """
    tools, later = Toolbox(Catalogue([slow]), POLICY), Toolbox(Catalogue([slow]), today)
    async with running.running([*build_workers(client, tools, "rehearse"), *build_workers(client, tools, "live")]):
        async with running.running(build_workers(client, tools, "orchestrate")):
            handle = await Airlock(client).submit(document)

            async def previewing() -> bool:
                found = await events(handle)
                return any(event.activity_task_scheduled_event_attributes.activity_id == "preview" for event in found)

            await until(previewing)
        made = Stage(handle, Lost(client))
        try:
            await handle.workflow.signal("junk")
            await made.lost.take_up()
            made.asked = asyncio.create_task(handle.status())
            await made.lost.has_taken(1)
            await made.dry_runs_end()
            await made.lost.has_taken(2)
            async with running.running(build_workers(client, later, "orchestrate")):
                yield made
        finally:
            WORLD.release()


@pytest.mark.parametrize("way", ["signal", "update"])
async def test_an_approval_of_what_no_workflow_task_has_recorded_counts(dev_server, plan, way):
    client = await namespace(dev_server.client, f"ahead-{uuid4().hex[:8]}")
    document = plan(step("a", "slow", key="a", value=1))
    async with stage(client, document) as made:
        seen = await made.asked
        assert seen.state is State.AWAITING_APPROVAL, seen  # beyond the history: the task behind it is lost
        handle, approval = made.handle, {"by": "alice", "digest": seen.digest}
        if way == "signal":
            await handle.workflow.signal("approve", approval)
            await made.lost.is_given_up()
        else:
            verdict = asyncio.create_task(handle.decide("approve", **approval))
            await made.lost.is_given_up()
            assert (await verdict).accepted
        result = await asyncio.wait_for(handle.result(), 60)
        assert (result.outcome, result.refused) == ("completed", 1), result  # the junk
        assert WORLD.state[handle.plan_id] == {"a": 1}
        assert await made.replays()


async def test_a_denial_of_what_no_workflow_task_has_recorded_counts(dev_server, plan):
    client = await namespace(dev_server.client, f"ahead-{uuid4().hex[:8]}")
    async with stage(client, plan(step("a", "slow", key="a", value=1))) as made:
        seen = await made.asked
        assert seen.state is State.AWAITING_APPROVAL, seen
        await made.handle.workflow.signal("deny", {"by": "alice", "reason": "no", "digest": seen.digest})
        await made.lost.is_given_up()
        assert (await asyncio.wait_for(made.handle.result(), 60)).outcome == "denied"
        assert await made.replays()


async def test_an_early_denial_is_judged_by_todays_policy_too(dev_server, plan):
    client = await namespace(dev_server.client, f"ahead-{uuid4().hex[:8]}")
    rules = {"roles": {"boss": ("bea",)}, "decisions": {"deny": {"roles": ("boss",)}}}
    today = Policy.model_validate(POLICY.model_dump() | rules)
    async with stage(client, plan(step("a", "slow", key="a", value=1)), today) as made:
        seen = await made.asked
        assert seen.state is State.AWAITING_APPROVAL, seen
        await made.handle.workflow.signal("deny", {"by": "alice", "reason": "no", "digest": seen.digest})
        await made.lost.is_given_up()
        status = await until(lambda: _refused(made.handle, 2))  # the junk is the first
        assert (status.state, status.digest) == (State.AWAITING_APPROVAL, seen.digest)
        assert status.refusals[-1].reason.startswith("today's policy: 'alice' has not the role boss")
        assert (await made.handle.decide("deny", by="bea", reason="no", digest=seen.digest)).accepted
        assert (await asyncio.wait_for(made.handle.result(), 60)).outcome == "denied"
        assert await made.replays()


async def test_a_lock_of_what_no_workflow_task_has_recorded_wedges_nothing(dev_server, plan):
    """Nothing holds up a lock: in the recorded order it comes before the preview that it was sent on."""
    client = await namespace(dev_server.client, f"ahead-{uuid4().hex[:8]}")
    async with stage(client, plan(step("a", "slow", key="a", value=1))) as made:
        assert (await made.asked).state is State.AWAITING_APPROVAL
        await made.handle.workflow.signal("lock", {"by": "lena", "reason": "stop"})
        await made.lost.is_given_up()
        status = await made.handle.wait_for(State.LOCKED)
        assert (status.state, status.digest) == (State.LOCKED, None)
        assert (await made.handle.decide("abort", by="lena", reason="enough")).accepted
        assert (await asyncio.wait_for(made.handle.result(), 60)).outcome == "aborted"
        assert await made.replays()


async def test_an_early_decision_is_refused_when_the_dry_runs_have_ended(dev_server, plan):
    client = await namespace(dev_server.client, f"ahead-{uuid4().hex[:8]}")
    async with running.running(build_workers(client, Toolbox(Catalogue([slow]), POLICY))):
        handle = await Airlock(client).submit(plan(step("a", "slow", key="a", value=1)))
        await handle.wait_for(State.DRY_RUN)
        guess = {"by": "alice", "digest": "0123456789ab"}
        verdict = asyncio.create_task(handle.decide("approve", **guess))
        await handle.workflow.signal("approve", guess)
        await handle.workflow.signal("deny", {**guess, "reason": "no"})
        await handle.workflow.signal("approve", {"by": "rita", "digest": "0123456789ab"})  # she may never approve it
        assert (await until(lambda: _refused(handle, 1))).refused == 1  # the others wait
        WORLD.hold(handle.plan_id, "dry").set()
        assert "not the digest of the current preview" in (await verdict).reason
        assert (await until(lambda: _refused(handle, 4))).state is State.AWAITING_APPROVAL


async def _refused(handle: PlanHandle, number: int) -> StatusView | None:
    status = await handle.status()
    return status if status.refused >= number else None


def test_another_sdk_is_not_taken_for_this_one():
    with pytest.raises(AirlockError, match="pip install 'temporalio=="):
        forgetting(cast(Worker, SimpleNamespace(_workflow_worker=object())), cast(Client, None))
