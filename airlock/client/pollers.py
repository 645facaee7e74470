"""The task queues that workers serve at the moment, as Temporal knows it: a plan waits without a word where none does."""

import asyncio
from datetime import UTC, datetime, timedelta

from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.client import Client
from temporalio.service import RPCError

from airlock.base import names
from airlock.client.listing import utc

POLLED_WITHIN = timedelta(seconds=65)
"""The age of the last poll of a worker that is there: a poll lasts a minute, and Temporal remembers it for five."""
_ASK_WITHIN = timedelta(seconds=5)
_ACTIVITIES = TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY
_WORKFLOWS = TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW
QUEUES_OF = {
    "orchestrate": ((names.WORKFLOW_QUEUE, _WORKFLOWS), (names.WORKFLOW_QUEUE, _ACTIVITIES)),
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
        polls = await _polls(client, names.WORKFLOW_QUEUE, _WORKFLOWS)
    except RPCError:
        return None
    return max(polls, default=None)


async def _polls(client: Client, queue: str, kind: TaskQueueType.ValueType) -> list[datetime]:
    """Return the last poll of each worker that is there."""
    request = DescribeTaskQueueRequest(namespace=client.namespace, task_queue=TaskQueue(name=queue), task_queue_type=kind)
    found = await client.workflow_service.describe_task_queue(request, timeout=_ASK_WITHIN)
    since = datetime.now(UTC) - POLLED_WITHIN
    return [polled for poller in found.pollers if (polled := utc(poller.last_access_time)) > since]


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
