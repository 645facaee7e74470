"""System lock, for operators: lock the live gate, watch the proof that all plans stopped, unlock it again."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from temporalio.client import Client, WorkflowHandle, WorkflowUpdateRPCTimeoutOrCancelledError
from temporalio.service import RPCError

from airlock.admission.policy import Policy
from airlock.base import names
from airlock.base.errors import AirlockError
from airlock.base.incoming import MalformedMessage, Verdict
from airlock.base.model import WireModel
from airlock.client.errors import IS_ONE_RUNNING, NoAnswer, rejection
from airlock.client.gate_status import read_gate
from airlock.client.listing import PlanSummary, list_plans
from airlock.client.plan_handle import DECISION_TIMEOUT, PlanHandle
from airlock.client.signing import VALID_FOR, ToSign, to_sign
from airlock.gates.lock_proof import DoubtfulCall, LockProof, Proved, ProvedExcept, UnknownPlan, lock_proof
from airlock.gates.locks import GateLock
from airlock.gates.parsing import parse_gate_decision
from airlock.gates.view import GateView, NotifiedHolderView
from airlock.signing.evidence import DecisionEvidence
from airlock.temporal.live_gate import start_live_gate

QUERY_TIMEOUT = 10.0
"""Seconds for the answer of the gate, or of a plan."""
_ASKED_AT_ONCE = 20
_CHANGES_LISTED = 1_000


class HolderState(StrEnum):
    """States of a plan that was live at the time of a lock."""

    QUIESCED = "quiesced"
    """It released its slot, and none of its calls is running."""
    IN_DOUBT = "in doubt"
    """It released its slot, and some of its calls may still take effect."""
    FINISHING = "finishing"
    """Its calls are running, and no new one starts."""
    UNREACHABLE = "unreachable"
    """Its state is unknown, and its slot is not released."""


class ProofRow(WireModel):
    """Proof for one plan."""

    plan_id: str
    workflow_id: str
    standing: HolderState
    since: datetime
    """Time of the notice, or of the release of the slot, UTC."""
    calls: tuple[str, ...] = ()
    """Steps in flight."""
    why: str = ""
    """Reason why the plan is unreachable, or in doubt."""


class Proof(WireModel):
    """Proof of a lock at one moment."""

    rows: tuple[ProofRow, ...] = ()
    problem: str = ""
    """Reason why there is no proof: the gate cannot be read, and so no plan goes live; or the lock was lifted."""
    lifted: bool = False
    """True if the lock was lifted."""
    doubts: tuple[DoubtfulCall, ...] = ()
    """Calls that may still take effect, of plans that were live at the lock, or before it."""
    gaps: tuple[UnknownPlan, ...] = ()
    """Gaps in the knowledge of the gate itself."""

    @property
    def value(self) -> LockProof:
        """The proof in one of its three values."""
        plans = [UnknownPlan(plan="", why=self.problem)] if self.problem else []
        running = [row for row in self.rows if row.standing in (HolderState.FINISHING, HolderState.UNREACHABLE)]
        plans += [UnknownPlan(plan=row.plan_id, why=_why_unknown(row)) for row in running]
        return lock_proof([*plans, *self.gaps], self.doubts)

    @property
    def quiesced(self) -> bool:
        """True if it is proved that no call is running, and none may still take effect."""
        return isinstance(self.value, Proved)

    @property
    def final(self) -> bool:
        """True if waiting longer tells no more: what is in doubt stays so until a person or a probe settles it."""
        value = self.value
        return isinstance(value, Proved | ProvedExcept) or (not self.problem and value.plans == self.gaps)

    def without(self, standing: HolderState) -> tuple[ProofRow, ...]:
        """Return the rows in any other state."""
        return tuple(row for row in self.rows if row.standing is not standing)


def _why_unknown(row: ProofRow) -> str:
    if row.standing is HolderState.UNREACHABLE:
        return row.why
    return f"finishes its calls: {', '.join(row.calls)}" if row.calls else "has not released its slot"


class ChangesSinceLock(WireModel):
    """Plans that ended, and plans that were submitted, since a lock. Taken from Temporal's visibility."""

    ended: tuple[PlanSummary, ...] = ()
    submitted: tuple[PlanSummary, ...] = ()


class LiveGate:
    """Live gate, which every plan passes before it goes LIVE.

    Args:
        client: A client made by `airlock_client.connection`.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._workflow: WorkflowHandle[Any, Any] = client.get_workflow_handle(names.LIVE_GATE)

    async def lock(self, by: str, reason: str, scope: str | None = None) -> Verdict:
        """Lock the gate: running calls finish, no other call starts, and no plan enters LIVE.

        Args:
            by: Name of the operator.
            reason: Reason of the lock.
            scope: `agent:x`, `tool:y` or `resource:z`; None for everything.

        Raises:
            NoAnswer: If no worker answers within 30 seconds; the lock may still arrive.
            AirlockError: If a field is malformed; the message names it.
        """
        return await self._decide("lock", by, reason, scope)

    async def unlock(self, by: str, reason: str, scope: str | None = None) -> Verdict:
        """Lift one lock: the one without a scope, or that of a scope. Raises like `lock`."""
        return await self._decide("unlock", by, reason, scope)

    async def to_sign(
        self, decision: str, by: str, reason: str, scope: str | None = None, *, valid_for: timedelta = VALID_FOR
    ) -> ToSign:
        """Return `lock` or `unlock` for its person to sign; `decide_signed` sends it with the evidence.

        Raises:
            AirlockError: If a field is malformed; the message names it.
            NoAnswer: If no worker answers.
        """
        await start_live_gate(self._client, Policy())
        message = {"decision": decision, "by": by, "reason": reason} | ({} if scope is None else {"scope": scope})
        try:
            _, parsed = parse_gate_decision((message,))
        except MalformedMessage as error:
            raise AirlockError(str(error)) from error
        view = await self.status()
        if view is None:
            raise NoAnswer("the live gate is not running")
        namespace, gate = self._client.namespace, names.LIVE_GATE
        return to_sign(
            decision, parsed, namespace=namespace, subject=gate, life=view.life, nonce=view.nonce, seal=None,
            valid_for=valid_for,
        )  # fmt: skip

    async def decide_signed(self, signed: ToSign, evidence: DecisionEvidence) -> Verdict:
        """Send a decision with the evidence of its person, and return the gate's verdict. Raises like `lock`."""
        return await self.send(signed.decision, {**signed.fields, "evidence": evidence.model_dump(mode="json")})

    async def status(self, within: float | None = None, *, patient: bool = False) -> GateView | None:
        """Return the current state of the gate; None if it was never started, and so is not locked.

        Args:
            within: Seconds for the answer; by default `QUERY_TIMEOUT`.
            patient: True to ask again for as long as a worker polls: it is busy, not away.

        Raises:
            NoAnswer: If no worker answers; no plan can go live then.
        """
        limit = QUERY_TIMEOUT if within is None else within
        return await read_gate(self._client, names.LIVE_GATE, limit, patient=patient)

    async def barrier(self, scope: str | None = None, within: float = 60.0, every: float = 0.25) -> AsyncIterator[Proof]:
        """Yield the proof of a lock each time it changes, until all plans have stopped, or the time is over.

        The lock stays after that, unless an operator has lifted it.

        Args:
            scope: Scope of the lock; None for the lock without one.
            within: Seconds to wait for quiescence.
            every: Seconds between two queries, at least.
        """
        deadline = time.monotonic() + within
        last: Proof | None = None
        while True:
            began = time.monotonic()
            proof = await self._proof(scope)
            if proof != last:
                yield proof
                last = proof
            left = deadline - time.monotonic()
            if proof.final or proof.lifted or left <= 0:
                return
            # queries cost the workers time that the plans need to finish: ask at most half of the time
            await asyncio.sleep(min(max(every, time.monotonic() - began), left))

    async def meanwhile(self, since: datetime) -> ChangesSinceLock:
        """Return the changes since a time, UTC, of at most the 1,000 latest plans. They may be a second behind."""
        changed = await list_plans(self._client, since=since, limit=_CHANGES_LISTED)
        return ChangesSinceLock(
            ended=tuple(plan for plan in changed if not plan.open),
            submitted=tuple(plan for plan in changed if plan.open),
        )

    async def _decide(self, decision: str, by: str, reason: str, scope: str | None) -> Verdict:
        return await self.send(decision, {"by": by, "reason": reason} | ({} if scope is None else {"scope": scope}))

    async def send(self, decision: str, fields: Mapping[str, Any]) -> Verdict:
        """Send `lock` or `unlock` with the fields of its message, and return the gate's verdict. Raises like `lock`."""
        await start_live_gate(self._client, Policy())  # if no worker ever ran here; a worker sets the policy
        message = {"decision": decision, **fields}
        try:
            answer = await asyncio.wait_for(
                self._workflow.execute_update("decide", message, result_type=Verdict), timeout=DECISION_TIMEOUT
            )
        except (TimeoutError, WorkflowUpdateRPCTimeoutOrCancelledError) as error:
            raise NoAnswer(f"no worker answered for the live gate; {IS_ONE_RUNNING}") from error
        except RPCError as error:
            raise NoAnswer(f"the live gate did not answer: {error.message}") from error
        except Exception as error:
            raise AirlockError(rejection(error)) from error
        return Verdict.model_validate(answer)

    async def _proof(self, scope: str | None) -> Proof:
        try:
            view = await self.status()
        except NoAnswer as error:
            return Proof(problem=str(error))
        if view is None or not view.ready:
            return Proof(problem="the live gate takes up the state of an earlier run; until then no plan goes live")
        locks = [GateLock(**lock.model_dump()) for lock in view.locks if lock.scope == scope]
        if not locks:
            return Proof(problem=f"there is no lock of {scope or 'everything'} any more: it has been lifted", lifted=True)
        told = [each for each in view.told if locks[0].matches(each.scopes)]
        doubts = tuple(call for call in view.doubts if locks[0].matches(call.scopes))
        return Proof(rows=await self._rows(told, doubts), doubts=doubts, gaps=_gaps(view))

    async def _rows(self, told: Sequence[NotifiedHolderView], doubts: Sequence[DoubtfulCall]) -> tuple[ProofRow, ...]:
        turns = asyncio.Semaphore(_ASKED_AT_ONCE)

        async def row(each: NotifiedHolderView) -> ProofRow:
            async with turns:
                return _doubted(await self._row(each), doubts)

        return tuple(await asyncio.gather(*(row(each) for each in told)))

    async def _row(self, told: NotifiedHolderView) -> ProofRow:
        row = ProofRow(
            plan_id=names.plan_id_of(told.holder),
            workflow_id=told.holder,
            standing=HolderState.FINISHING,
            since=told.told_at,
        )
        if told.quiesced_at is not None:
            return row.model_copy(update={"standing": HolderState.QUIESCED, "since": told.quiesced_at})
        handle = PlanHandle(self._client, row.plan_id)
        why = told.unreachable or ""
        try:
            summary = (await handle.facts(last=1)).summary
            if not summary.open:  # a closed run still answers queries, as if it were open
                why = f"its run is closed ({summary.status}); its slot is freed when none of its calls can be running"
            if not why:
                status = await asyncio.wait_for(handle.status(), QUERY_TIMEOUT)
                return row.model_copy(update={"calls": status.in_flight})
        except TimeoutError:
            why = "no worker answers for it"
        except (AirlockError, RPCError) as error:
            why = why or str(error)
        return row.model_copy(update={"standing": HolderState.UNREACHABLE, "why": why})


def _gaps(view: GateView) -> tuple[UnknownPlan, ...]:
    """Return what the gate does not know, or does not list."""
    if view.finishing is None:
        return (UnknownPlan(plan="", why="the gate is served by a worker that does not know of calls in doubt"),)
    unlisted = view.finishing - sum(each.quiesced_at is None for each in view.told)
    more = (UnknownPlan(plan="", why=f"{unlisted} more plans have not stopped"),) if unlisted > 0 else ()
    return (*view.unknown, *more)


def _doubted(row: ProofRow, doubts: Sequence[DoubtfulCall]) -> ProofRow:
    """Return the row of a plan, in doubt if it has stopped and some of its calls may still take effect."""
    calls = [call for call in doubts if call.plan == row.plan_id]
    if row.standing is not HolderState.QUIESCED or not calls:
        return row
    steps = tuple(call.step or "any" for call in calls)
    return row.model_copy(update={"standing": HolderState.IN_DOUBT, "calls": steps, "why": calls[0].why})
