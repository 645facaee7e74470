"""Builds of a deployment of the attacker's own: polled for, so that Temporal knows them, and runs pinned to them."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Any

from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from temporalio.api.command.v1 import Command, ScheduleActivityTaskCommandAttributes
from temporalio.api.common.v1 import ActivityType, Payload, Payloads, WorkflowExecution
from temporalio.api.deployment.v1 import WorkerDeploymentOptions, WorkerDeploymentVersion
from temporalio.api.enums.v1 import CommandType, WorkerVersioningMode
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflow.v1 import VersioningOverride, WorkflowExecutionOptions
from temporalio.api.workflowservice.v1 import (
    DescribeWorkerDeploymentVersionRequest,
    PollActivityTaskQueueRequest,
    PollWorkflowTaskQueueRequest,
    RespondWorkflowTaskCompletedRequest,
    UpdateWorkflowExecutionOptionsRequest,
)
from temporalio.client import Client
from temporalio.service import RPCError

from tests.workflows.attacker import IDENTITY
from tests.workflows.conftest import until

DEPLOYMENT, BUILD = "mallory", "1"
OPTIONS = WorkerDeploymentOptions(
    deployment_name=DEPLOYMENT, build_id=BUILD,
    worker_versioning_mode=WorkerVersioningMode.WORKER_VERSIONING_MODE_VERSIONED,
)  # fmt: skip


def pinned() -> VersioningOverride:
    """Return an override with which only workers of the attacker's build get the tasks of a run."""
    behavior = VersioningOverride.PinnedOverrideBehavior.PINNED_OVERRIDE_BEHAVIOR_PINNED
    version = WorkerDeploymentVersion(deployment_name=DEPLOYMENT, build_id=BUILD)
    return VersioningOverride(pinned=VersioningOverride.PinnedOverride(behavior=behavior, version=version))


async def override(client: Client, workflow_id: str, to: VersioningOverride | None) -> None:
    """Pin an open run to a build, or to none."""
    request = UpdateWorkflowExecutionOptionsRequest(
        namespace=client.namespace, workflow_execution=WorkflowExecution(workflow_id=workflow_id), identity=IDENTITY,
        workflow_execution_options=WorkflowExecutionOptions(versioning_override=to),
        update_mask=FieldMask(paths=["versioning_override"]),
    )  # fmt: skip
    await once_served(lambda: client.workflow_service.update_workflow_execution_options(request))


async def once_served(ask: Callable[[], Awaitable[Any]]) -> None:
    """Ask for something that names the build, again while its pollers are not known in every part of the server."""

    async def accepted() -> bool:
        try:
            await ask()
        except RPCError as error:
            if "is not present in task queue" not in error.message:
                raise
            return False
        return True

    await until(accepted)


class Build:
    """The workers of the attacker's build: what they were handed, and hold without an answer."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.workflow_tasks: asyncio.Queue[Any] = asyncio.Queue()
        self.activity_tasks: asyncio.Queue[Any] = asyncio.Queue()

    async def poll(self, queue: str, *, activities: bool = False) -> None:
        """Take every task of a queue that is for this build."""
        service, common = self._client.workflow_service, {
            "namespace": self._client.namespace, "task_queue": TaskQueue(name=queue), "identity": IDENTITY,
            "deployment_options": OPTIONS,
        }  # fmt: skip
        while True:
            with contextlib.suppress(RPCError):  # nothing came in time
                if activities:
                    task: Any = await service.poll_activity_task_queue(
                        PollActivityTaskQueueRequest(**common), timeout=timedelta(seconds=8)
                    )
                    kept: asyncio.Queue[Any] = self.activity_tasks
                else:
                    task = await service.poll_workflow_task_queue(
                        PollWorkflowTaskQueueRequest(**common), timeout=timedelta(seconds=8)
                    )
                    kept = self.workflow_tasks
                if task.task_token:
                    kept.put_nowait(task)

    async def command(self, task: Any, kind: str, activity_id: str, queue: str, given: Payload) -> None:
        """Answer a workflow task with the command of an activity."""
        wanted = ScheduleActivityTaskCommandAttributes(
            activity_id=activity_id, activity_type=ActivityType(name=kind), task_queue=TaskQueue(name=queue),
            input=Payloads(payloads=[given]), start_to_close_timeout=Duration(seconds=30),
        )  # fmt: skip
        command = Command(
            command_type=CommandType.COMMAND_TYPE_SCHEDULE_ACTIVITY_TASK, schedule_activity_task_command_attributes=wanted
        )
        await self._client.workflow_service.respond_workflow_task_completed(
            RespondWorkflowTaskCompletedRequest(
                namespace=self._client.namespace, task_token=task.task_token, identity=IDENTITY, commands=[command],
                deployment_options=OPTIONS,
            )
        )  # fmt: skip

    async def known(self) -> bool:
        """Return True once Temporal knows the build."""
        version = WorkerDeploymentVersion(deployment_name=DEPLOYMENT, build_id=BUILD)
        request = DescribeWorkerDeploymentVersionRequest(namespace=self._client.namespace, deployment_version=version)
        try:
            await self._client.workflow_service.describe_worker_deployment_version(request)
        except RPCError:
            return False
        return True


@contextlib.asynccontextmanager
async def build(client: Client, workflows: str, activities: str = "") -> AsyncIterator[Build]:
    """Poll as a build of the attacker's for the tasks of a queue, and for the activities of another one."""
    made = Build(client)
    polls = [asyncio.create_task(made.poll(workflows))]
    if activities:
        polls.append(asyncio.create_task(made.poll(activities, activities=True)))
    try:
        await until(made.known)
        yield made
    finally:
        for poll in polls:
            poll.cancel()
        await asyncio.gather(*polls, return_exceptions=True)
