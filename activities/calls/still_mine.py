"""The question whether an attempt still belongs to this worker: asked of Temporal right before an effect."""

import asyncio
import contextvars
import time
from collections.abc import Callable, Coroutine
from datetime import UTC
from typing import Any

from temporalio import activity
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import PendingActivityState, WorkflowExecutionStatus
from temporalio.api.workflowservice.v1 import DescribeWorkflowExecutionRequest, DescribeWorkflowExecutionResponse
from temporalio.client import Client

from airlock.activities.options import HEARTBEAT_TIMEOUT
from airlock.plans.tool_call import ToolCall

PATIENCE = 1.0
"""Seconds that a call may wait before its tool begins; after a longer wait it asks first whether it is still its own."""
_WITHIN = 5.0
"""Seconds for Temporal's answer."""
_HELD = (
    PendingActivityState.PENDING_ACTIVITY_STATE_STARTED,
    PendingActivityState.PENDING_ACTIVITY_STATE_CANCEL_REQUESTED,  # a stop of the plan waits for the call in flight
)
_BOOTTIME = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)

_last_beat: contextvars.ContextVar[list[float] | None] = contextvars.ContextVar("airlock_last_beat", default=None)


def clock() -> float:
    """Return seconds of a clock that goes on while the machine is suspended, where the system has one."""
    return time.clock_gettime(_BOOTTIME)


def begin_beating() -> None:
    """Begin to note the heartbeats of the activity that runs in this context."""
    _last_beat.set([clock()])


def note_heartbeat() -> None:
    """Note that a heartbeat of this activity reached Temporal, or is about to."""
    if (beat := _last_beat.get()) is not None:
        beat[0] = clock()


def may_ask(call: ToolCall) -> None:
    """Let the tool of a call ask whether the attempt that runs in this context still belongs to this worker."""
    try:
        loop, ask = asyncio.get_running_loop(), question(activity.client())
    except RuntimeError:  # an activity without a server, as in tests of tools
        return

    async def still_mine() -> bool:
        return await ask()

    def still_mine_sync() -> bool:
        asked = asyncio.run_coroutine_threadsafe(ask(), loop)
        try:
            return asked.result(_WITHIN + 1.0)
        except TimeoutError:
            asked.cancel()
            return False

    call.still_mine, call.still_mine_sync = still_mine, still_mine_sync


def question(client: Client) -> Callable[[], Coroutine[Any, Any, bool]]:
    """Return the question whether Temporal still waits for the attempt that runs in this context."""
    info, beat = activity.info(), _last_beat.get()
    request = DescribeWorkflowExecutionRequest(
        namespace=info.workflow_namespace or client.namespace,
        execution=WorkflowExecution(workflow_id=info.workflow_id or "", run_id=info.workflow_run_id or ""),
    )

    async def ask() -> bool:
        # one heartbeat too late, and Temporal may have given the call to another worker already
        if beat is not None and clock() - beat[0] > HEARTBEAT_TIMEOUT.total_seconds() - 1.0:
            return False
        try:
            async with asyncio.timeout(_WITHIN):
                found = await _described(client, request)
        except Exception:  # noqa: BLE001  # what cannot be read is not known to be ours
            return False
        return _holds(found, info)

    return ask


async def _described(client: Client, request: DescribeWorkflowExecutionRequest) -> DescribeWorkflowExecutionResponse:
    return await client.workflow_service.describe_workflow_execution(request, retry=True)


def _holds(found: DescribeWorkflowExecutionResponse, info: activity.Info) -> bool:
    """Return True if Temporal still waits for this attempt, started as this worker knows it."""
    if found.workflow_execution_info.status != WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_RUNNING:
        return False
    return any(
        pending.activity_id == info.activity_id
        and pending.attempt == info.attempt
        and pending.state in _HELD
        and not pending.paused
        and abs((pending.last_started_time.ToDatetime(UTC) - info.started_time).total_seconds()) < 0.001
        for pending in found.pending_activities
    )
