"""The powers of a client that reaches a namespace and has no key of Airlock: every call here is one of Temporal's own."""

import asyncio
import uuid
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from temporalio.api.activity.v1 import ActivityOptions
from temporalio.api.common.v1 import Payload, Payloads, WorkflowExecution
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import (
    PauseActivityRequest,
    PollActivityTaskQueueRequest,
    ResetActivityRequest,
    SignalWorkflowExecutionRequest,
    TerminateWorkflowExecutionRequest,
    UnpauseActivityRequest,
    UpdateActivityOptionsRequest,
)
from temporalio.client import Schedule, ScheduleActionStartWorkflow, ScheduleIntervalSpec, ScheduleSpec
from temporalio.common import RawValue, WorkflowIDConflictPolicy
from temporalio.common import RetryPolicy as ClientRetryPolicy
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError

from airlock.base import names
from tests.workflows.attacker import IDENTITY, Attacker, plain, wrapped
from tests.workflows.attacker_builds import build, override, pinned
from tests.workflows.attacker_starts import finished_tasks, plainly, set_back

SHORT = timedelta(seconds=2)


@dataclass(frozen=True)
class Pending:
    """An activity that has not ended, as `describe` tells it."""

    workflow_id: str
    run_id: str
    activity_id: str
    kind: str


@dataclass(frozen=True)
class Powers:
    """The powers of an attacker over one namespace. What Temporal refuses is no failure: the attempt was made."""

    attacker: Attacker

    @property
    def _client(self) -> Any:
        return self.attacker.client

    @property
    def _service(self) -> Any:
        return self._client.workflow_service

    async def _try(self, attempt: Awaitable[Any]) -> Any:
        try:
            async with asyncio.timeout(20):
                return await attempt
        except (RPCError, TimeoutError, WorkflowAlreadyStartedError):
            return None

    async def runs(self) -> list[tuple[str, str, bool]]:
        """Return workflow id, run id and whether it is open, of every run in the namespace."""
        found = await self._try(self._listed())
        return found or []

    async def _listed(self) -> list[tuple[str, str, bool]]:
        return [(run.id, run.run_id, run.close_time is None) async for run in self._client.list_workflows()]

    async def pending(self) -> list[Pending]:
        """Return the activities of all open runs."""
        found = []
        for workflow_id, run_id, is_open in await self.runs():
            described = (
                await self._try(self._client.get_workflow_handle(workflow_id, run_id=run_id).describe()) if is_open else None
            )
            for each in described.raw_description.pending_activities if described is not None else ():
                found.append(Pending(workflow_id, run_id, each.activity_id, each.activity_type.name))
        return found

    async def stored(self, workflow_id: str, run_id: str) -> list[Payload]:
        """Return every payload of one history: what can be copied."""
        events = await self._try(self.attacker.events(workflow_id, run_id)) or []
        found: list[Payload] = []
        for event in events:
            for attributes, field in (
                (event.workflow_execution_started_event_attributes, "input"),
                (event.workflow_execution_continued_as_new_event_attributes, "input"),
                (event.activity_task_scheduled_event_attributes, "input"),
                (event.activity_task_completed_event_attributes, "result"),
                (event.workflow_execution_signaled_event_attributes, "input"),
            ):
                found.extend(getattr(attributes, field).payloads)
        return found

    async def complete(self, pending: Pending, answer: Payload | None) -> None:
        await self._try(self.attacker.complete_by_id(pending.workflow_id, pending.activity_id, answer))

    async def fail(self, pending: Pending) -> None:
        await self._try(self.attacker.fail_by_id(pending.workflow_id, pending.activity_id))

    async def cancel(self, pending: Pending) -> None:
        await self._try(self.attacker.cancel_by_id(pending.workflow_id, pending.activity_id))

    async def heartbeat(self, pending: Pending, details: Payload | None) -> None:
        await self._try(self.attacker.heartbeat_by_id(pending.workflow_id, pending.activity_id, details))

    async def change_options(self, pending: Pending) -> None:
        """Let Temporal end the attempt within a second and make four of them."""
        await self._try(self.attacker.change_options(pending.workflow_id, pending.activity_id, seconds=1, attempts=4))

    async def meddle(self, pending: Pending, how: str) -> None:
        """Pause an activity, let it go on, reset it, or move its next attempt to a queue of the attacker's own."""
        execution = WorkflowExecution(workflow_id=pending.workflow_id)
        common = {
            "namespace": self._client.namespace,
            "execution": execution,
            "identity": IDENTITY,
            "id": pending.activity_id,
        }
        if how == "pause":
            await self._try(self._service.pause_activity(PauseActivityRequest(**common, reason="mine")))
        elif how == "unpause":
            await self._try(self._service.unpause_activity(UnpauseActivityRequest(**common, reset_attempts=True)))
        elif how == "reset":
            await self._try(self._service.reset_activity(ResetActivityRequest(**common, reset_heartbeat=True)))
        else:
            options = ActivityOptions(task_queue=TaskQueue(name=IDENTITY), start_to_close_timeout=Duration(seconds=1))
            mask = FieldMask(paths=["task_queue.name", "start_to_close_timeout"])
            wanted = UpdateActivityOptionsRequest(**common, activity_options=options, update_mask=mask)
            await self._try(self._service.update_activity_options(wanted))

    async def delete(self, workflow_id: str) -> None:
        await self._try(self.attacker.delete(workflow_id))

    async def pin(self, workflow_id: str, question: Payload | None, *, release: bool) -> bool:
        """Pin a run to a build of the attacker's own, which takes a task of it, and commands a call or answers nothing.

        Returns True if it got a task.
        """
        return await self._try(self._pinned(workflow_id, question, release)) is True

    async def _pinned(self, workflow_id: str, question: Payload | None, release: bool) -> bool:
        async with build(self._client, names.WORKFLOW_QUEUE) as made:
            await override(self._client, workflow_id, pinned())
            await self.signal(workflow_id, "junk", [])
            try:
                task = await asyncio.wait_for(made.workflow_tasks.get(), SHORT.total_seconds())
            except TimeoutError:
                task = None
            if task is not None and question is not None:
                await self._try(made.command(task, "call", "s0:live", names.LIVE_QUEUE, question))
            if release:
                await override(self._client, workflow_id, None)
        return task is not None

    async def signal(self, workflow_id: str, name: str, payloads: Sequence[Payload]) -> None:
        await self._try(
            self._service.signal_workflow_execution(
                SignalWorkflowExecutionRequest(
                    namespace=self._client.namespace, workflow_execution=WorkflowExecution(workflow_id=workflow_id),
                    signal_name=name, input=Payloads(payloads=payloads), identity=IDENTITY,
                )
            )
        )  # fmt: skip

    async def terminate(self, workflow_id: str) -> None:
        await self._try(
            self._service.terminate_workflow_execution(
                TerminateWorkflowExecutionRequest(
                    namespace=self._client.namespace, workflow_execution=WorkflowExecution(workflow_id=workflow_id),
                    reason="because", identity=IDENTITY,
                )
            )
        )  # fmt: skip

    async def reset(self, workflow_id: str, run_id: str, last: bool, forget: bool) -> None:
        """Reset a run to its first or last workflow task, with or without the signals and updates after it."""
        points = finished_tasks(await self._try(self.attacker.events(workflow_id, run_id)) or [])
        if points:
            await self._try(set_back(self._client, workflow_id, points[-1 if last else 0], run_id, forget=forget))

    async def start(self, workflow_type: str, workflow_id: str, payload: Payload, how: str) -> None:
        """Start a workflow with a payload, in one of the ways that Temporal knows."""
        options: dict[str, Any] = {
            "retry": {"retry_policy": ClientRetryPolicy(maximum_attempts=3, initial_interval=timedelta(milliseconds=200))},
            "cron": {"cron_schedule": "@every 1s", "run_timeout": timedelta(seconds=2)},
            "signal": {"start_signal": "approve", "start_signal_args": [{"by": "alice"}]},
            "replace": {"id_conflict_policy": WorkflowIDConflictPolicy.TERMINATE_EXISTING},
        }.get(how, {})
        if how == "schedule":
            await self._try(self._scheduled(workflow_type, workflow_id, payload))
            return
        bounded = {"execution_timeout": timedelta(minutes=5), **options}
        await self._try(plainly(self._client, workflow_type, workflow_id, payload, **bounded))

    async def _scheduled(self, workflow_type: str, workflow_id: str, payload: Payload) -> None:
        action = ScheduleActionStartWorkflow(
            workflow_type, RawValue(payload), id=workflow_id, task_queue=names.WORKFLOW_QUEUE
        )
        spec = ScheduleSpec(intervals=[ScheduleIntervalSpec(every=timedelta(seconds=1))])
        schedule = await self._client.create_schedule(str(uuid.uuid4()), Schedule(action=action, spec=spec))
        await schedule.trigger()
        await schedule.delete()

    async def steal_call(self, queue: str, answer: Payload | None) -> bool:
        """Take an activity task, as a worker without keys, and answer it; False if the honest workers were faster."""
        polled = await self._try(
            self._service.poll_activity_task_queue(
                PollActivityTaskQueueRequest(
                    namespace=self._client.namespace, task_queue=TaskQueue(name=queue), identity=IDENTITY
                ),
                timeout=SHORT,
            )
        )
        if polled is None or not polled.task_token:
            return False
        await self._try(self.attacker.complete(polled, answer))
        return True

    async def steal_decision(self, kind: str, activity_id: str, question: Payload, queue: str) -> bool:
        """Take a workflow task, as a worker without keys, and schedule an activity with a payload of one's choice."""
        command = self.attacker.command(
            names.WORKFLOW_QUEUE, activity_id, kind, wrapped(question), queue, within=SHORT.total_seconds()
        )
        return await self._try(self._done(command)) is not None

    async def _done(self, deed: Awaitable[None]) -> bool:
        await deed
        return True


def invented(kind: str) -> Payload:
    """Return an answer that says the friendliest thing about an activity of a kind."""
    return plain(
        {
            "call": {"attempts": [], "ended": True, "kind": "live", "output": {}},
            "acquire": {"status": "granted", "grants": [], "held": []},
            "admit": {"admitted": None, "problems": []},
            "compensate": {"kind": "undone"},
        }.get(kind, {})
    )
