"""The task queues that workers serve at the moment, as Temporal knows it: a plan waits without a word where none does."""

import asyncio
from datetime import UTC, datetime, timedelta

from temporalio.api.enums.v1 import TaskQueueType, WorkerStatus
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest, ListWorkersRequest
from temporalio.client import Client
from temporalio.service import RPCError

from airlock.base import names
from airlock.client.listing import utc

POLLED_WITHIN = timedelta(seconds=65)
"""The age of the last poll of a worker that is there: a poll lasts a minute, and Temporal remembers it for five."""
_WORKERS = 1_000
"""Workers of one queue that are asked about."""
_STOPS = (WorkerStatus.WORKER_STATUS_SHUTTING_DOWN, WorkerStatus.WORKER_STATUS_SHUTDOWN)
_ASK_WITHIN = timedelta(seconds=5)
_ACTIVITIES = TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY
_WORKFLOWS = TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW
WORKFLOWS = (names.WORKFLOW_QUEUE, _WORKFLOWS)
"""The queue of all workflows."""
QUEUES_OF = {
    "orchestrate": (WORKFLOWS, (names.WORKFLOW_QUEUE, _ACTIVITIES)),
    "rehearse": ((names.REHEARSE_QUEUE, _ACTIVITIES),),
    "live": tuple((queue, _ACTIVITIES) for queue in (names.PERMIT_QUEUE, names.LIVE_QUEUE, names.UNDO_QUEUE)),
}
"""The queues that a worker of each role serves."""


async def is_served(client: Client, queue: str, kind: TaskQueueType.ValueType) -> bool:
    """Return True if a worker polls a queue, or if Temporal cannot say."""
    try:
        return bool(await _polls(client, queue, kind))
    except RPCError:
        return True


async def last_poll(client: Client) -> datetime | None:
    """Return when a worker last polled for workflows; None if none has for a while, or if Temporal cannot say."""
    try:
        polls = await _polls(client, *WORKFLOWS)
    except RPCError:
        return None
    return max(polls, default=None)


async def _polls(client: Client, queue: str, kind: TaskQueueType.ValueType) -> list[datetime]:
    """Return the last poll of each worker that is there."""
    request = DescribeTaskQueueRequest(namespace=client.namespace, task_queue=TaskQueue(name=queue), task_queue_type=kind)
    found = await client.workflow_service.describe_task_queue(request, timeout=_ASK_WITHIN)
    since = datetime.now(UTC) - POLLED_WITHIN
    polls = {poller.identity: polled for poller in found.pollers if (polled := utc(poller.last_access_time)) > since}
    ended = await _ended(client, queue) if polls else {}
    return [polled for identity, polled in polls.items() if identity not in ended or ended[identity] < polled]


async def _ended(client: Client, queue: str) -> dict[str, datetime]:
    """Return when workers of a queue have told that they stop, by identity; empty where Temporal does not keep that.

    A worker that stops in order says so. One that was killed does not, and looks alive for as long as its poll would last.
    """
    request = ListWorkersRequest(namespace=client.namespace, page_size=_WORKERS, query=f"TaskQueue='{queue}'")
    try:
        listed = await client.workflow_service.list_workers(request, timeout=_ASK_WITHIN)
    except RPCError:
        return {}
    ended: dict[str, datetime] = {}
    for info in listed.workers_info:
        told = info.worker_heartbeat
        if told.status in _STOPS:
            at = utc(told.heartbeat_time)
            ended[told.worker_identity] = max(at, ended.get(told.worker_identity, at))
    return ended


async def unserved(client: Client, *roles: str) -> dict[str, tuple[str, ...]]:
    """Return the queues that no worker polls, by the role whose workers would.

    Args:
        client: A connected client.
        roles: The roles to look at.
    """
    asked = [(role, queue, kind) for role in roles for queue, kind in QUEUES_OF[role]]
    served = await asyncio.gather(*(is_served(client, queue, kind) for _, queue, kind in asked))
    found: dict[str, tuple[str, ...]] = {}
    for (role, queue, _), is_there in zip(asked, served, strict=True):
        if not is_there and queue not in found.get(role, ()):
            found[role] = (*found.get(role, ()), queue)
    return found


def sentences(found: dict[str, tuple[str, ...]]) -> tuple[str, ...]:
    """Return one sentence for each role that no worker has, with what to do."""
    return tuple(
        f"no {role} worker: no worker serves {', '.join(queues)}; start one: airlock-worker --role {role}"
        for role, queues in found.items()
    )
