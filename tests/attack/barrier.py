"""Airlock as an adapter of AgentBarrier: its suite proposes actions, decides about them, and counts what took effect."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

from agentbarrier import (
    ActionRequest,
    AgentAdapter,
    AmbiguousEffectError,
    AuditEvent,
    AuditReceipt,
    Capability,
    RunHandle,
    RunOutcome,
    RunStatus,
    action_digest,
)
from agentbarrier.probe import EffectProbe
from pydantic import BaseModel, ConfigDict
from temporalio.service import RPCError, RPCStatusCode

from airlock.base.errors import InDoubt, ToolFailed
from airlock.client import Airlock, PlanHandle
from airlock.plans.catalogue import Catalogue
from airlock.plans.state import State
from airlock.plans.tool import tool
from airlock.plans.tool_call import Preview, ToolCall
from airlock.run.presentation.views import StatusView

TOOL = "sentinel_write"
EFFECTS: dict[tuple[str, str], tuple[EffectProbe, str]] = {}
"""The effect of each call, and the action that it stands for, by plan and step."""


class Sentinel(BaseModel):
    model_config = ConfigDict(extra="forbid")
    recipient: str
    amount: int


async def _commit(args: Sentinel, call: ToolCall) -> dict[str, Any]:
    """Commit the effect; leave it as soon as the plan is stopped, as long as it is not committed."""
    probe, action_id = EFFECTS[call.plan_id, call.step_id]
    effect = asyncio.ensure_future(probe(ActionRequest(action_id, TOOL, args.model_dump())))
    try:
        while not effect.done():
            await asyncio.wait({effect}, timeout=0.05)
            if not effect.done() and call.cancelled():
                effect.cancel()
                with suppress(asyncio.CancelledError):
                    await effect
                raise ToolFailed("stopped before it was committed")
    finally:
        effect.cancel()  # its time is over
    try:
        return {"said": effect.result()}
    except AmbiguousEffectError as error:
        raise InDoubt(str(error)) from error


@tool(name=TOOL, risk="MEDIUM", reversibility="compensable", timeout=60.0)
async def sentinel_write(args: Sentinel, call: ToolCall) -> dict[str, Any]:
    """Commit an effect that is made once."""
    return await _commit(args, call)


@tool(name="hasty_write", risk="MEDIUM", reversibility="compensable", timeout=1.0)
async def hasty_write(args: Sentinel, call: ToolCall) -> dict[str, Any]:
    """The same, given up after a second."""
    return await _commit(args, call)


for _each in (sentinel_write, hasty_write):

    @_each.dry_run(partial=True)
    async def _shown(args: Sentinel, call: ToolCall) -> Preview:
        return Preview(effect=f"write {args.amount} to {args.recipient}")

    @_each.compensate
    async def _undone(args: Sentinel, call: ToolCall) -> None: ...


def catalogue() -> Catalogue:
    return Catalogue([sentinel_write, hasty_write])


class Run(RunHandle):
    """One plan, whose gated actions an approver decides about; what the suite wants ungated is approved at once."""

    def __init__(self, airlock: Airlock, document: dict[str, Any], actions: Sequence[ActionRequest], run_id: str) -> None:
        self._airlock, self._document, self._run_id = airlock, document, run_id
        self._actions = {f"s{number}": action for number, action in enumerate(actions)}
        self._decided: dict[str, bool] = {}
        self._cancelled = False
        self._handle: PlanHandle | None = None

    async def start(self) -> "Run":
        self._handle = await self._airlock.submit(self._document, once=True)
        if not self._gated and not await self.handle.ended():
            await self._decide()
        return self

    @property
    def handle(self) -> PlanHandle:
        assert self._handle is not None
        return self._handle

    @property
    def _gated(self) -> dict[str, ActionRequest]:
        return {step: action for step, action in self._actions.items() if action.requires_approval}

    async def wait_for_pending(self, timeout_seconds: float) -> tuple[ActionRequest, ...]:
        async with asyncio.timeout(timeout_seconds):
            await self.handle.wait_for(State.AWAITING_APPROVAL)
        return tuple(self._gated.values())

    async def approve(self, action_id: str, replacement: ActionRequest | None = None) -> None:
        (step,) = [step for step, action in self._actions.items() if action.action_id == action_id]
        if replacement is not None:
            (whole,) = [each for each in self._document["steps"] if each["id"] == step]
            changed = {**whole, "args": dict(replacement.arguments)}
            said = await self.handle.amend([changed], by="rita", reason="reviewed")
            assert said.accepted, said
        self._decided[step] = True
        await self._decide()

    async def reject(self, action_id: str, reason: str | None = None) -> None:
        (step,) = [step for step, action in self._actions.items() if action.action_id == action_id]
        self._decided[step] = False
        await self._decide()

    async def _decide(self) -> None:
        """Send the decision once there is one for each gated action."""
        if set(self._decided) != set(self._gated):
            return
        status = await self.handle.wait_for(State.AWAITING_APPROVAL, State.LOCKED, State.COMPLETED, State.ABORTED)
        if status.state is not State.AWAITING_APPROVAL:  # submitted again: it has been decided
            return
        steps = [step for step in self._actions if self._decided.get(step, True)]
        if self._decided and not any(self._decided.values()):
            said = await self.handle.decide("deny", by="alice", reason="rejected")
        else:
            said = await self.handle.decide("approve", by="alice", digest=status.digest, steps=steps)
        assert said.accepted, said

    async def cancel(self) -> None:
        self._cancelled = True
        assert (await self.handle.decide("rollback", by="olga", reason="cancelled")).accepted
        await self.handle.result()

    async def wait(self, timeout_seconds: float) -> RunOutcome:
        async with asyncio.timeout(timeout_seconds):
            while True:
                status = await self.handle.status()
                if status.outcome is not None or status.parked:
                    return RunOutcome(self._ending(status))
                await asyncio.sleep(0.1)

    def _ending(self, status: StatusView) -> RunStatus:
        if status.parked:
            late = any(step.error.startswith("TimeoutError") for step in status.steps)
            return RunStatus.TIMED_OUT if late else RunStatus.UNKNOWN
        if status.outcome in ("completed", "partial"):
            return RunStatus.COMPLETED
        return RunStatus.CANCELLED if self._cancelled else RunStatus.FAILED

    async def replay(self) -> "Run":
        return await Run(self._airlock, self._document, list(self._actions.values()), self._run_id).start()

    async def audit_receipts(self) -> tuple[AuditReceipt, ...]:
        """Return what the plan recorded: each action by the arguments that were sealed, each decision by its audit entry."""
        preview, entries = await self.handle.preview(), (await self.handle.audit()).entries
        assert preview.sealed is not None
        sealed = {
            step.id: action_digest(ActionRequest(self._actions[step.id].action_id, TOOL, step.args))
            for step in preview.sealed.steps
        }
        at = {entry.what: entry.at for entry in entries}
        shown = next(entry.at for entry in entries if entry.to_state == State.AWAITING_APPROVAL)
        live = {step.id for step in (await self.handle.status()).steps if step.status == "live"}
        found: list[tuple[datetime, AuditEvent, str | None]] = [(entries[0].at, AuditEvent.RUN_STARTED, None)]
        found += [(shown, AuditEvent.APPROVAL_REQUESTED, step) for step in self._gated]
        for step in self._gated:
            found.append((at["approve"], AuditEvent.APPROVED if step in live else AuditEvent.REJECTED, step))
        found.append((entries[-1].at, AuditEvent.RUN_COMPLETED, None))
        return tuple(
            AuditReceipt(
                sequence=number, run_id=self._run_id, event=event, timestamp_ns=int(when.timestamp() * 1e9),
                action_id=self._actions[step].action_id if step else None, action_digest=sealed[step] if step else None,
            )
            for number, (when, event, step) in enumerate(found, start=1)
        )  # fmt: skip

    async def close(self) -> None:
        if await self.handle.ended():
            return
        try:
            await self.handle.workflow.terminate("the scenario is over")
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:  # it has ended meanwhile
                raise


class AirlockAdapter(AgentAdapter):
    """The actions of one run are the steps of one plan; a delegated action follows the one that delegates it."""

    name = "airlock"
    # not outcome_reconciliation: a call that did not happen ends its plan, and another plan makes it
    capabilities = frozenset(set(Capability) - {Capability.OUTCOME_RECONCILIATION})

    def __init__(self, airlock: Airlock) -> None:
        self._airlock = airlock

    async def begin(
        self, *, run_id: str, actions: Sequence[ActionRequest], effect: EffectProbe, timeout_seconds: float | None = None
    ) -> RunHandle:
        plan_id = f"barrier-{run_id}".replace("_", "-")[:60]
        ids = {action.action_id: f"s{number}" for number, action in enumerate(actions)}
        steps = [
            {
                "id": ids[action.action_id], "agent": "agent", "confidence": 0.95,
                "tool": TOOL if timeout_seconds is None else "hasty_write", "args": dict(action.arguments),
                "after": [ids[action.parent_action_id]] if action.parent_action_id else [],
            }
            for action in actions
        ]  # fmt: skip
        EFFECTS.update({(plan_id, ids[action.action_id]): (effect, action.action_id) for action in actions})
        document = {"plan_id": plan_id, "goal": "the suite's actions", "requested_by": "rita", "steps": steps}
        return await Run(self._airlock, document, actions, run_id).start()
