"""An attacker that reaches Temporal and holds no key: takes tasks, answers, cancels and repeats activities by their ids."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from pydantic_core import to_json
from temporalio.api.activity.v1 import ActivityOptions
from temporalio.api.command.v1 import Command, ScheduleActivityTaskCommandAttributes
from temporalio.api.common.v1 import (
    ActivityType,
    Payload,
    Payloads,
    RetryPolicy,
    WorkerVersionStamp,
    WorkflowExecution,
)
from temporalio.api.enums.v1 import CommandType, WorkflowTaskFailedCause
from temporalio.api.failure.v1 import ApplicationFailureInfo, Failure
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflow.v1 import WorkflowExecutionInfo
from temporalio.api.workflowservice.v1 import (
    DeleteWorkflowExecutionRequest,
    DescribeWorkflowExecutionRequest,
    PollActivityTaskQueueRequest,
    PollActivityTaskQueueResponse,
    PollWorkflowTaskQueueRequest,
    RecordActivityTaskHeartbeatByIdRequest,
    RecordActivityTaskHeartbeatRequest,
    ResetActivityRequest,
    RespondActivityTaskCanceledByIdRequest,
    RespondActivityTaskCompletedByIdRequest,
    RespondActivityTaskCompletedRequest,
    RespondActivityTaskFailedByIdRequest,
    RespondActivityTaskFailedRequest,
    RespondWorkflowTaskCompletedRequest,
    RespondWorkflowTaskFailedRequest,
    UpdateActivityOptionsRequest,
)
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

IDENTITY = "mallory"


def plain(value: Any) -> Payload:
    """Anything as everybody can write it."""
    return Payload(metadata={"encoding": b"json/plain"}, data=to_json(value))


JUNK = Payload(metadata={"encoding": b"binary/none-such"}, data=b"\x00\xff")
NESTED = Payload(metadata={"encoding": b"json/plain"}, data=b"[" * 400 + b"]" * 400)


def made_checked(payload: Payload, question: Payload) -> Payload:
    """The same, with metadata that says it was checked, and everything else that the question's own metadata tells."""
    made = Payload()
    made.CopyFrom(payload)
    for name, value in question.metadata.items():
        if name.startswith("airlock-"):
            made.metadata[name] = value
    made.metadata["airlock-checked"] = b"ok"
    made.metadata["airlock-by"] = b"activity"
    return made


def bottomless() -> Failure:
    """A failure whose causes a request may still hold; an event of a history, which holds it deeper, is beyond the limit."""
    failure = Failure(message="the last cause")
    for _ in range(97):
        outer = Failure(message="x")
        outer.cause.CopyFrom(failure)
        failure = outer
    failure.application_failure_info.CopyFrom(ApplicationFailureInfo(type="Deep", non_retryable=True))
    return failure


def wrapped(payload: Payload | None) -> Payloads | None:
    return None if payload is None else Payloads(payloads=[payload])


@dataclass(frozen=True)
class Attacker:
    """Uses nothing but the namespace's API."""

    client: Client

    async def take(self, queue: str, kind: str, within: float = 60.0) -> PollActivityTaskQueueResponse:
        """The next activity task of a kind, as a worker without keys; no other worker may serve the queue."""
        request = PollActivityTaskQueueRequest(
            namespace=self.client.namespace, task_queue=TaskQueue(name=queue), identity=IDENTITY
        )
        task = await self._polled(self.client.workflow_service.poll_activity_task_queue, request, within)
        assert task.activity_type.name == kind, (task.activity_type.name, kind)
        return task

    async def command(
        self, queue: str, activity_id: str, kind: str, given: Payloads | None, target: str, within: float = 60.0,
        *, of: str = "", before: Sequence[Command] = (), attempts: int = 1,
    ) -> None:  # fmt: skip
        """Take a workflow task, as a worker without keys, and command an activity with it, after some other commands.

        With `of`, tasks of other workflows are taken and dropped: a gate may have one left from before its workers stopped.
        """
        request = PollWorkflowTaskQueueRequest(
            namespace=self.client.namespace, task_queue=TaskQueue(name=queue), identity=IDENTITY
        )
        task = await self._polled(self.client.workflow_service.poll_workflow_task_queue, request, within)
        while of and task.workflow_execution.workflow_id != of:
            task = await self._polled(self.client.workflow_service.poll_workflow_task_queue, request, within)
        wanted = ScheduleActivityTaskCommandAttributes(
            activity_id=activity_id, activity_type=ActivityType(name=kind), task_queue=TaskQueue(name=target), input=given,
            start_to_close_timeout=Duration(seconds=30),
            retry_policy=RetryPolicy(maximum_attempts=attempts, initial_interval=Duration(seconds=1)),
        )  # fmt: skip
        command = Command(
            command_type=CommandType.COMMAND_TYPE_SCHEDULE_ACTIVITY_TASK, schedule_activity_task_command_attributes=wanted
        )
        await self.client.workflow_service.respond_workflow_task_completed(
            RespondWorkflowTaskCompletedRequest(
                namespace=self.client.namespace, task_token=task.task_token, identity=IDENTITY, commands=[*before, command]
            )
        )

    async def fail_task(self, queue: str, workflow_id: str) -> None:
        """Take a workflow task, as a worker without keys, and let it fail in the way in which a reset ends one."""
        await self.client.workflow_service.respond_workflow_task_failed(
            RespondWorkflowTaskFailedRequest(
                namespace=self.client.namespace, task_token=await self._task_of(queue, workflow_id), identity=IDENTITY,
                cause=WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_RESET_WORKFLOW,
            )
        )  # fmt: skip

    async def complete_task(self, queue: str, workflow_id: str, commands: Sequence[Command], build_id: str = "") -> None:
        """Take a workflow task, as a worker without keys, and complete it with some commands, in the name of a build."""
        await self.client.workflow_service.respond_workflow_task_completed(
            RespondWorkflowTaskCompletedRequest(
                namespace=self.client.namespace, task_token=await self._task_of(queue, workflow_id), identity=IDENTITY,
                commands=commands,
                worker_version_stamp=WorkerVersionStamp(build_id=build_id) if build_id else None,
            )
        )  # fmt: skip

    async def _task_of(self, queue: str, workflow_id: str, within: float = 60.0) -> bytes:
        request = PollWorkflowTaskQueueRequest(
            namespace=self.client.namespace, task_queue=TaskQueue(name=queue), identity=IDENTITY
        )
        while True:
            task = await self._polled(self.client.workflow_service.poll_workflow_task_queue, request, within)
            if task.workflow_execution.workflow_id == workflow_id:
                return bytes(task.task_token)

    async def complete(self, task: PollActivityTaskQueueResponse, answer: Payload | None) -> None:
        """Answer a task that was taken; None answers with nothing at all."""
        await self.client.workflow_service.respond_activity_task_completed(
            RespondActivityTaskCompletedRequest(
                namespace=self.client.namespace, task_token=task.task_token, result=wrapped(answer), identity=IDENTITY
            )
        )

    async def leave_behind(self, task: PollActivityTaskQueueResponse, details: Payloads) -> None:
        """Let a task that was taken fail in a way that is tried again, and leave something for the next attempt."""
        service, namespace, token = self.client.workflow_service, self.client.namespace, task.task_token
        await service.record_activity_task_heartbeat(
            RecordActivityTaskHeartbeatRequest(namespace=namespace, task_token=token, details=details, identity=IDENTITY)
        )
        await self.fail(task, "Again")

    async def fail(self, task: PollActivityTaskQueueResponse, kind: str) -> None:
        """Let a task that was taken fail in a way that is tried again, unless its cancellation was asked for."""
        failure = Failure(message=kind, application_failure_info=ApplicationFailureInfo(type=kind))
        await self.client.workflow_service.respond_activity_task_failed(
            RespondActivityTaskFailedRequest(
                namespace=self.client.namespace, task_token=task.task_token, failure=failure, identity=IDENTITY
            )
        )

    async def fail_by_id(self, workflow_id: str, activity_id: str) -> None:
        """Let an attempt of an activity fail in a way that is tried again."""
        await self._patiently(
            lambda: self.client.workflow_service.respond_activity_task_failed_by_id(
                RespondActivityTaskFailedByIdRequest(
                    namespace=self.client.namespace, workflow_id=workflow_id, activity_id=activity_id, identity=IDENTITY,
                    failure=Failure(message="again", application_failure_info=ApplicationFailureInfo(type="Again")),
                )
            )
        )  # fmt: skip

    async def fail_unreadably(self, workflow_id: str, activity_id: str) -> None:
        """Let an activity fail for good with so many causes that no SDK can decode the event, whereas it could be sent."""
        request = RespondActivityTaskFailedByIdRequest(
            namespace=self.client.namespace, workflow_id=workflow_id, activity_id=activity_id, identity=IDENTITY,
            failure=bottomless(),
        )  # fmt: skip
        await self._patiently(lambda: self.client.workflow_service.respond_activity_task_failed_by_id(request))

    async def complete_by_id(self, workflow_id: str, activity_id: str, answer: Payload | None) -> None:
        """Answer an activity that an honest worker carries out."""
        await self._patiently(
            lambda: self.client.workflow_service.respond_activity_task_completed_by_id(
                RespondActivityTaskCompletedByIdRequest(
                    namespace=self.client.namespace, workflow_id=workflow_id, activity_id=activity_id,
                    result=wrapped(answer), identity=IDENTITY,
                )
            )
        )  # fmt: skip

    async def cancel_by_id(self, workflow_id: str, activity_id: str) -> None:
        """Say that an activity was cancelled, which Temporal takes once a cancel was requested."""
        await self._patiently(
            lambda: self.client.workflow_service.respond_activity_task_canceled_by_id(
                RespondActivityTaskCanceledByIdRequest(
                    namespace=self.client.namespace, workflow_id=workflow_id, activity_id=activity_id, identity=IDENTITY
                )
            )
        )

    async def heartbeat_by_id(self, workflow_id: str, activity_id: str, details: Payload | None) -> bool:
        """Overwrite what an activity has recorded; False if it does not run any more."""
        request = RecordActivityTaskHeartbeatByIdRequest(
            namespace=self.client.namespace, workflow_id=workflow_id, activity_id=activity_id,
            details=wrapped(details), identity=IDENTITY,
        )  # fmt: skip
        try:
            await self.client.workflow_service.record_activity_task_heartbeat_by_id(request)
        except RPCError:
            return False
        return True

    async def change_options(self, workflow_id: str, activity_id: str, seconds: int, attempts: int) -> None:
        """Let Temporal end an attempt sooner, and make more of them."""
        options = ActivityOptions(
            start_to_close_timeout=Duration(seconds=seconds),
            retry_policy=RetryPolicy(
                maximum_attempts=attempts, initial_interval=Duration(seconds=1), backoff_coefficient=1.0
            ),
        )
        await self.client.workflow_service.update_activity_options(
            UpdateActivityOptionsRequest(
                namespace=self.client.namespace, execution=WorkflowExecution(workflow_id=workflow_id), identity=IDENTITY,
                id=activity_id, activity_options=options,
                update_mask=FieldMask(paths=["start_to_close_timeout", "retry_policy"]),
            )
        )  # fmt: skip

    async def reset_activity(self, workflow_id: str, activity_id: str) -> None:
        """Let Temporal begin an activity again, as its first attempt."""
        await self.client.workflow_service.reset_activity(
            ResetActivityRequest(
                namespace=self.client.namespace, execution=WorkflowExecution(workflow_id=workflow_id), id=activity_id,
                identity=IDENTITY,
            )
        )  # fmt: skip

    async def delete(self, workflow_id: str) -> None:
        """Delete the latest run of a workflow, open or not, and wait until Temporal has forgotten it."""
        run = WorkflowExecution(workflow_id=workflow_id, run_id=(await self._described(workflow_id)).execution.run_id)
        request = DeleteWorkflowExecutionRequest(namespace=self.client.namespace, workflow_execution=run)
        await self.client.workflow_service.delete_workflow_execution(request)
        async with asyncio.timeout(60):
            while True:
                try:
                    await self._described(workflow_id, run.run_id)
                except RPCError as error:
                    if error.status is RPCStatusCode.NOT_FOUND:
                        return
                await asyncio.sleep(0.05)

    async def _described(self, workflow_id: str, run_id: str = "") -> WorkflowExecutionInfo:
        run = WorkflowExecution(workflow_id=workflow_id, run_id=run_id)
        request = DescribeWorkflowExecutionRequest(namespace=self.client.namespace, execution=run)
        return (await self.client.workflow_service.describe_workflow_execution(request)).workflow_execution_info

    async def events(self, workflow_id: str, run_id: str | None = None) -> list[HistoryEvent]:
        """A history, which everybody can read."""
        handle = self.client.get_workflow_handle(workflow_id, run_id=run_id)
        return [event async for event in handle.fetch_history_events()]

    async def answers(self, workflow_id: str, kind: str) -> list[Payload]:
        """The answers of all activities of a kind, as they are stored."""
        events = await self.events(workflow_id)
        asked = {
            event.event_id for event in events if event.activity_task_scheduled_event_attributes.activity_type.name == kind
        }
        done = [event.activity_task_completed_event_attributes for event in events]
        return [each.result.payloads[0] for each in done if each.scheduled_event_id in asked and each.result.payloads]

    async def _polled(self, poll: Any, request: Any, within: float) -> Any:
        async with asyncio.timeout(within):
            while True:
                try:
                    task = await poll(request, timeout=timedelta(seconds=8))
                except RPCError:
                    continue
                if task.task_token:
                    return task

    async def _patiently(self, ask: Any) -> None:
        async with asyncio.timeout(60):
            while True:
                try:
                    await ask()
                except RPCError:  # not begun yet, or no stop was requested yet
                    await asyncio.sleep(0.05)
                else:
                    return
