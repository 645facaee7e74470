"""Rate limits of live calls: a turn at the tool's gate before each call, and a pause when the target asks for one."""

import asyncio
import time
from contextlib import suppress

from temporalio import activity
from temporalio.common import WorkflowIDConflictPolicy

from airlock.activities.gate_client import updated
from airlock.admission.admitted import EPOCH
from airlock.base import names
from airlock.base.text import shorten
from airlock.gates.messages import GateStart
from airlock.gates.protocol import HoldOff, Permit, PermitAnswer
from airlock.plans.contract import Contract
from airlock.plans.outcome import RetryableFailure
from airlock.run.live.call_messages import CallRequest
from airlock.temporal.gate_memory import left_behind

PATIENCE = 5.0
"""Seconds that one activity waits for turns, over all its calls; less than `MARGIN`, which its timeout allows for it."""
SHORTEST = 0.3
"""Seconds before a gate is asked again that did not answer, for example because its run was ending."""
HOLD_OFF_SECONDS = 2.0
"""Seconds for passing a target's request to wait on to the gate; part of `MARGIN` too."""


class RateLimiter:
    """Rate limiter of one activity's calls.

    Args:
        stopped: Set when the activity is to end; it waits for no further turn then.
    """

    def __init__(self, stopped: asyncio.Event) -> None:
        self.stopped = stopped
        self.waited = 0.0
        """Seconds that the current call waited for its turn, and for what else comes before it."""
        self._patience = PATIENCE

    async def wait_for(self, plan_id: str, request: CallRequest) -> RetryableFailure | None:
        """Wait a short time for the call's turn.

        A gate that cannot be asked lets no call through. It is asked again after the wait: meanwhile its target may have
        asked everybody to hold off.

        Args:
            plan_id: The plan.
            request: The call. Each of its attempts has a turn of its own, which it keeps when it asks again.

        Returns:
            None when it may be made now, or when the activity is to end; otherwise when to come back.
        """
        contract = request.contract
        if contract.quota is None:
            return None
        calls, per = contract.quota
        key = f"{names.idempotency_key(plan_id, request.step.id, request.undone)}:{request.attempt}"
        permit = Permit(key=key, calls=calls, per=per)
        wait, later, why = 0.0, 1.0, f"no time was left to ask the gate of {contract.tool} for a turn"
        while not self.stopped.is_set():
            if wait > self._patience or self._patience < SHORTEST:
                return _turned_away(request, why, max(wait, later))
            await self._pause(wait)
            try:
                wait = await self._ask(contract, permit)
            except Exception as error:  # noqa: BLE001  # with any defect of the gate: no call without a turn
                wait, later = SHORTEST, PATIENCE
                why = f"the gate of {contract.tool} gave no turn: {type(error).__name__} {error.__cause__ or ''}"
                continue
            if wait <= 0:
                return None
            when = f"in {wait:.0f} s" if wait >= 1 else "in less than a second"
            later, why = 1.0, f"rate limit {contract.rate_limit} of {contract.tool}: its turn is {when}"
        return None

    async def hold_off(self, contract: Contract, seconds: float, why: str) -> None:
        """Pass a target's request to wait on to the tool's gate, so that no plan calls it meanwhile. Best effort.

        Args:
            contract: The tool's contract; without a rate limit the tool has no gate.
            seconds: The wait.
            why: The target's message.
        """
        if contract.quota is None or seconds <= 0:
            return
        with suppress(Exception):
            async with asyncio.timeout(HOLD_OFF_SECONDS):
                client, gate = activity.client(), names.tool_gate_id(contract.tool)
                await client.start_workflow(
                    names.GATE_WORKFLOW,
                    GateStart(after=await left_behind(client, gate), epoch=EPOCH),
                    id=gate,
                    task_queue=names.WORKFLOW_QUEUE,
                    id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                    start_signal="hold_off",
                    start_signal_args=[HoldOff(seconds=seconds, reason=shorten(why, 200))],
                )

    async def _pause(self, seconds: float) -> None:
        self._patience -= seconds
        if seconds:
            with suppress(TimeoutError):
                await asyncio.wait_for(self.stopped.wait(), seconds)

    async def _ask(self, contract: Contract, permit: Permit) -> float:
        """Ask the tool's gate once, and return the seconds until the call may be made."""
        began = time.monotonic()
        try:
            async with asyncio.timeout(self._patience):
                return (await _permit(contract.tool, permit)).wait
        finally:
            self._patience -= time.monotonic() - began


async def _permit(tool: str, permit: Permit) -> PermitAnswer:
    client, gate = activity.client(), names.tool_gate_id(tool)
    start = GateStart(after=await left_behind(client, gate), epoch=EPOCH)
    return await updated(client, gate, tool, start, "permit", permit, PermitAnswer)


def _turned_away(request: CallRequest, why: str, after: float) -> RetryableFailure:
    return RetryableFailure(
        step=request.step.id,
        error=shorten(why),
        doubtful=False,
        certain=True,
        undo=request.undo,
        after=after,
        turned_away=True,
    )
