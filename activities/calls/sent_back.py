"""The word to a plan that a worker began calls of which Temporal does not know any more.

Any client can let Temporal make more attempts of an activity, and let the one that runs fail. Until the next one begins,
the activity is as if no worker had ever begun it: where it is cancelled then, or no worker begins it in time, nothing in the
history tells that its first attempt made a call.
"""

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Collection, Coroutine, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any, TypeVar

from temporalio import activity
from temporalio.api.common.v1 import Payloads, WorkflowExecution
from temporalio.api.workflowservice.v1 import RecordActivityTaskHeartbeatByIdRequest, SignalWorkflowExecutionRequest
from temporalio.client import Client
from temporalio.converter import WorkflowSerializationContext
from temporalio.service import RPCError, RPCStatusCode

from airlock.activities.calls.still_mine import clock, question
from airlock.activities.heartbeat import own_handle
from airlock.activities.options import HEARTBEAT_INTERVAL
from airlock.base import names
from airlock.plans.outcome import Attempt
from airlock.run.live.call_messages import ChainRequest
from airlock.run.live.sent_back import SentBack

T = TypeVar("T")

_WITHIN = 60.0
"""Seconds in which a worker tries to reach Temporal, which any client can keep busy."""
_PAUSE = 1.0
_WORD_PAUSE = 0.1
_WORD_TRY = timedelta(seconds=1)
"""Time for the answer to one try to tell the run."""
_BUSY = (
    RPCStatusCode.RESOURCE_EXHAUSTED,
    RPCStatusCode.UNAVAILABLE,
    RPCStatusCode.DEADLINE_EXCEEDED,
    RPCStatusCode.CANCELLED,  # so the SDK ends a request whose time is over
    RPCStatusCode.ABORTED,
)
"""Answers of Temporal after which the same is asked again."""
_PASSING = (*_BUSY, RPCStatusCode.INTERNAL, RPCStatusCode.UNKNOWN, RPCStatusCode.DATA_LOSS, RPCStatusCode.OUT_OF_RANGE)
"""Those after which the SDK would ask again by itself, and others that may pass."""


class SentBackCalls:
    """The watch over one activity of calls: whether its attempt is still the one that Temporal waits for.

    Args:
        request: The calls.
        attempts: Those that have ended; the activity adds to them.
    """

    def __init__(self, request: ChainRequest, attempts: Sequence[Attempt]) -> None:
        self._request = request
        self._attempts = attempts
        self.handed_over = False
        """True once Temporal has the result."""
        self._told = False
        self._writes = any(not call.contract.read_only for call in request.calls)

    async def carried_out(self, work: Coroutine[Any, Any, T], stopped: asyncio.Event) -> T:
        """Do the work, and complete the activity with its result: so the worker learns whether Temporal waits for it.

        Args:
            work: The calls.
            stopped: Set when the worker is told to stop, for whatever reason.

        Returns:
            The result. Temporal has it already if `handed_over` is True then.
        """
        watching = asyncio.ensure_future(self._watch(stopped)) if self._writes else None
        try:
            result = await work
        finally:
            if watching is not None:
                watching.cancel()
        if self._writes and self._attempts:
            await self._hand_over(result)
        return result

    async def _hand_over(self, result: Any) -> None:
        try:
            handle = own_handle()
            await _patiently(lambda: handle.complete(result))
        except RPCError as error:  # the SDK tries again what failed for another reason
            if error.status is RPCStatusCode.NOT_FOUND:
                await self._tell(len(self._attempts))
        except RuntimeError:  # without a server, as in tests of tools
            return
        else:
            self.handed_over = True

    async def _watch(self, stopped: asyncio.Event) -> None:
        await stopped.wait()
        still_mine = question(activity.client())
        while await still_mine():  # noqa: ASYNC110  # only Temporal knows
            await asyncio.sleep(HEARTBEAT_INTERVAL)
        await self._tell(len(self._attempts) + 1)

    async def _tell(self, number: int) -> None:
        calls, info = self._request.calls, activity.info()
        begun = {call.step.id: call.undone for call in calls[:number] if not call.contract.read_only}
        if self._told or not begun:
            return
        word = SentBack(run_id=info.workflow_run_id or "", fence=calls[0].fence or 0, begun=begun)
        try:
            client = activity.client()
            request = await _signal(client, info, word)
            await _patiently(lambda: _say(client, request), _WORD_PAUSE, _PASSING)
        except RPCError as error:
            activity.logger.warning("the plan was not told that a call had begun: %s", error)
            if error.status in _PASSING:
                return  # the end of the work is one more occasion
            # the run is closed, or has had too many signals, after which it believes no silence
        # not before: the end of the work ends the watch, and then this is the only word
        self._told = True


async def _signal(client: Client, info: activity.Info, word: SentBack) -> SignalWorkflowExecutionRequest:
    """Return the signal that tells the run. Temporal takes it once, however often it is sent."""
    context = WorkflowSerializationContext(namespace=client.namespace, workflow_id=info.workflow_id or "")
    said = await client.data_converter.with_context(context).encode([word])
    return SignalWorkflowExecutionRequest(
        namespace=client.namespace, identity=client.identity, request_id=str(uuid.uuid4()), signal_name=names.SENT_BACK,
        workflow_execution=WorkflowExecution(workflow_id=info.workflow_id or "", run_id=info.workflow_run_id or ""),
        input=Payloads(payloads=said),
    )  # fmt: skip


async def _say(client: Client, request: SignalWorkflowExecutionRequest) -> None:
    """Send the word to the run; where Temporal takes no signal of it, let Temporal read the run again, and send it again.

    Temporal takes no signal of a run while a client holds a task that it has tried to close the run with before. It forgets
    that when it refuses something else of the run, such as the heartbeat of an activity that the run does not have. The
    heartbeat of the run's own one would replace the record of its calls if its attempt is still under way.

    The SDK would try a refused signal again after a second or more, and then after ever longer pauses: it is not asked to.
    """
    service = client.workflow_service
    try:
        await service.signal_workflow_execution(request, timeout=_WORD_TRY)
    except RPCError as error:
        if error.status is not RPCStatusCode.RESOURCE_EXHAUSTED:
            raise
    else:
        return
    run = request.workflow_execution
    unknown = RecordActivityTaskHeartbeatByIdRequest(
        namespace=client.namespace, identity=client.identity, workflow_id=run.workflow_id, run_id=run.run_id,
        activity_id=str(uuid.uuid4()),
    )  # fmt: skip
    with suppress(RPCError):
        await service.record_activity_task_heartbeat_by_id(unknown, timeout=_WORD_TRY)
    await service.signal_workflow_execution(request, timeout=_WORD_TRY)


async def _patiently(
    ask: Callable[[], Awaitable[None]], pause: float = _PAUSE, again: Collection[RPCStatusCode] = _BUSY
) -> None:
    """Ask something of Temporal, again while it is busy.

    Args:
        ask: A function that asks once.
        pause: Seconds between an answer and the next try.
        again: The answers after which it is asked again.

    Raises:
        RPCError: If it refuses, or stays busy for `_WITHIN` seconds.
    """
    until = clock() + _WITHIN
    while True:
        try:
            return await ask()
        except RPCError as error:
            if error.status not in again or clock() > until:
                raise
        await asyncio.sleep(pause)
