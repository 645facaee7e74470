"""A worker that is cut off in the middle of a call: the next attempt begins only when the first must have ended."""

import json
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import PollActivityTaskQueueRequest
from temporalio.client import Client

from airlock.activities.options import backoff
from airlock.activities.toolbox import Toolbox
from airlock.base import names
from airlock.client import Airlock
from airlock.plans.catalogue import Catalogue
from airlock.worker.roles import build_workers
from tests.running import running
from tests.workflows.conftest import POLICY, approved, events, namespace, step
from tests.workflows.world import WORLD, look, put

TIMEOUT = 6.0
"""Seconds that one call of `put` may take; more than the backoff before a second attempt."""


async def take_a_call_and_vanish(client: Client) -> None:
    """Take a live call like a worker that is cut off right away: it never heartbeats and never answers."""
    queue = TaskQueue(name=names.LIVE_QUEUE)
    request = PollActivityTaskQueueRequest(namespace=client.namespace, task_queue=queue, identity="cut off")
    while not (await client.workflow_service.poll_activity_task_queue(request)).task_token:
        pass


def timers(history: list[HistoryEvent]) -> dict[str, float]:
    """Return the seconds of every timer by its summary."""
    return {
        json.loads(event.user_metadata.summary.data): event.timer_started_event_attributes.start_to_fire_timeout.seconds
        for event in history
        if event.event_type == EventType.EVENT_TYPE_TIMER_STARTED
    }


def scheduled(history: list[HistoryEvent], activity_id: str) -> HistoryEvent:
    """Return the event that scheduled an activity."""
    (found,) = (event for event in history if event.activity_task_scheduled_event_attributes.activity_id == activity_id)
    return found


def lost_at(history: list[HistoryEvent], activity_id: str) -> datetime:
    """Return the time at which the server gave up waiting for an activity's heartbeat."""
    begun = scheduled(history, activity_id).event_id
    (found,) = (event for event in history if event.activity_task_timed_out_event_attributes.scheduled_event_id == begun)
    return found.event_time.ToDatetime(UTC)


@pytest.mark.timeout(240)
async def test_a_lost_call_is_repeated_only_when_its_worker_must_have_ended_it(dev_server, plan):
    client = await namespace(dev_server.client, f"lost-{uuid4().hex[:8]}")
    tools = Toolbox(Catalogue([put, look], overrides={"put": {"timeout": TIMEOUT}}), POLICY)
    document = plan(step("write", "put", key="a", value=1), step("read", "look", key="a"))
    live = build_workers(client, tools, "live")
    calls = [worker for worker in live if worker.task_queue == names.LIVE_QUEUE]
    entries = [worker for worker in live if worker.task_queue == names.PERMIT_QUEUE]
    assert calls
    assert entries
    rest = [*build_workers(client, tools, "orchestrate"), *build_workers(client, tools, "rehearse"), *entries]
    async with running(rest):
        handle = await Airlock(client).submit(document)
        await approved(handle)
        await take_a_call_and_vanish(client)
        await take_a_call_and_vanish(client)
        async with running(calls):
            result = await handle.result()
    assert (result.outcome, WORLD.state[handle.plan_id]) == ("completed", {"a": 1})
    history = await events(handle)
    waits = timers(history)
    # a call that only reads does no harm beside its first attempt, so that it waits for no more than the backoff
    assert waits["before read is tried again"] == backoff(1).total_seconds() < TIMEOUT
    assert waits["before write is tried again"] == TIMEOUT
    second = scheduled(history, "write:live:2").event_time.ToDatetime(UTC)
    assert second - lost_at(history, "write:live") >= timedelta(seconds=TIMEOUT)
