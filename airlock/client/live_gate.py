"""The system lock, for operators: close the live gate, see the proof that everything has stopped, open it again."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from temporalio.client import Client, WorkflowHandle, WorkflowUpdateRPCTimeoutOrCancelledError
from temporalio.service import RPCError, RPCStatusCode

from airlock.admission.policy import Policy
from airlock.base import names
from airlock.base.errors import AirlockError
from airlock.base.incoming import Verdict
from airlock.base.model import WireModel
from airlock.client.errors import NoAnswer
from airlock.client.listing import PlanSummary, list_plans
from airlock.client.plans import DECISION_TIMEOUT, PlanHandle
from airlock.gates.locks import GateLock
from airlock.gates.view import GateView, NotifiedHolderView
from airlock.temporal.live_gate import start_live_gate

QUERY_TIMEOUT = 10.0
"""Seconds the gate, or a plan it names, has for an answer."""
_ASKED_AT_ONCE = 20
_CHANGES_LISTED = 1_000


class HolderState(StrEnum):
    """The state of a plan that was live when a lock came.

    `quiesced`: it has given its place back, no call of it is running. `finishing`: its calls still run, no new one starts.
    `unreachable`: its state cannot be told; its slot is not returned.
    """

    QUIESCED = "quiesced"
    FINISHING = "finishing"
    UNREACHABLE = "unreachable"


class ProofRow(WireModel):
    """The proof for one plan. `since` is when it was told of the lock, or gave its place back, UTC.

    `calls` are the steps in flight, `why` what is known about a plan that is unreachable.
    """

    plan_id: str
    workflow_id: str
    standing: HolderState
    since: datetime
    calls: tuple[str, ...] = ()
    why: str = ""


class Proof(WireModel):
    """The proof of a lock at one moment.

    `problem` says why there is none: the gate cannot be read, and nothing goes live then either; or, where it is `lifted`,
    an operator has unlocked.
    """

    rows: tuple[ProofRow, ...] = ()
    problem: str = ""
    lifted: bool = False

    @property
    def quiesced(self) -> bool:
        """True if every plan that was live has stopped, as far as the gate could be read."""
        return not self.problem and all(row.standing is HolderState.QUIESCED for row in self.rows)

    def without(self, standing: HolderState) -> tuple[ProofRow, ...]:
        """Return the rows that stand elsewhere."""
        return tuple(row for row in self.rows if row.standing is not standing)


class ChangesSinceLock(WireModel):
    """The changes since a lock came, from Temporal's visibility: plans that ended, and plans that were submitted."""

    ended: tuple[PlanSummary, ...] = ()
    submitted: tuple[PlanSummary, ...] = ()


class LiveGate:
    """The gate every plan passes before it goes LIVE.

    Args:
        client: A client made by `airlock_client.connection`.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._workflow: WorkflowHandle[Any, Any] = client.get_workflow_handle(names.LIVE_GATE)

    async def lock(self, by: str, reason: str, scope: str | None = None) -> Verdict:
        """Close the gate: calls that run finish, no other starts, and no plan enters LIVE.

        Args:
            by: Who says so.
            reason: Why.
            scope: `agent:x`, `tool:y` or `resource:z`; None is everything.

        Raises:
            NoAnswer: If no worker answers within 30 seconds; the lock may still arrive.
            AirlockError: If a field is malformed; the message names it.
        """
        await start_live_gate(self._client, Policy())  # where no worker ever ran; a worker says what the policy is
        return await self._decide("lock", by, reason, scope)

    async def unlock(self, by: str, reason: str, scope: str | None = None) -> Verdict:
        """Lift one lock, that of everything or that of a scope; raises like `lock`."""
        await start_live_gate(self._client, Policy())
        return await self._decide("unlock", by, reason, scope)

    async def status(self, within: float | None = None) -> GateView | None:
        """Return the gate as it is now; None if it was never started, so that nothing has locked it.

        Args:
            within: Seconds it has for an answer; `QUERY_TIMEOUT` of them if nothing is said.

        Raises:
            NoAnswer: If no worker answers; nothing can go live then.
        """
        patience = timedelta(seconds=QUERY_TIMEOUT if within is None else within)
        try:
            answer = await self._workflow.query("status", result_type=GateView, rpc_timeout=patience)
            return GateView.model_validate(answer)
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                return None
            raise NoAnswer(f"the live gate cannot be read: {error.message}") from error
        except Exception as error:
            raise NoAnswer(f"the live gate cannot be read: {error}") from error

    async def barrier(self, scope: str | None = None, within: float = 60.0, every: float = 0.25) -> AsyncIterator[Proof]:
        """Yield the proof of a lock each time it changes, until everything is quiesced or the time has passed.

        Whatever the last one says, the lock stays, unless an operator has lifted it.

        Args:
            scope: Which lock.
            within: Seconds to wait for quiescence.
            every: Seconds between looks, at least.
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
            if proof.quiesced or proof.lifted or left <= 0:
                return
            # where looking takes long, less often: what is looked at is to come to an end
            await asyncio.sleep(min(max(every, time.monotonic() - began), left))

    async def meanwhile(self, since: datetime) -> ChangesSinceLock:
        """Return the changes since a moment (UTC), a second behind at worst; at most the 1,000 latest plans."""
        changed = await list_plans(self._client, since=since, limit=_CHANGES_LISTED)
        return ChangesSinceLock(
            ended=tuple(plan for plan in changed if not plan.open),
            submitted=tuple(plan for plan in changed if plan.open),
        )

    async def _decide(self, decision: str, by: str, reason: str, scope: str | None) -> Verdict:
        message = {"decision": decision, "by": by, "reason": reason} | ({} if scope is None else {"scope": scope})
        try:
            answer = await asyncio.wait_for(
                self._workflow.execute_update("decide", message, result_type=Verdict), timeout=DECISION_TIMEOUT
            )
        except (TimeoutError, WorkflowUpdateRPCTimeoutOrCancelledError) as error:
            raise NoAnswer("no worker answered for the live gate; is one running?") from error
        except RPCError as error:
            raise NoAnswer(f"the live gate did not answer: {error.message}") from error
        except Exception as error:
            raise AirlockError(str(error.__cause__ or error)) from error
        return Verdict.model_validate(answer)

    async def _proof(self, scope: str | None) -> Proof:
        try:
            view = await self.status()
        except NoAnswer as error:
            return Proof(problem=str(error))
        if view is None or not view.ready:
            return Proof(problem="the live gate still finds out what it knew before; until then nothing goes live")
        locks = [GateLock(**lock.model_dump()) for lock in view.locks if lock.scope == scope]
        if not locks:
            return Proof(problem=f"there is no lock of {scope or 'everything'} any more: it has been lifted", lifted=True)
        told = [each for each in view.told if locks[0].matches(each.scopes)]
        return Proof(rows=await self._rows(told))

    async def _rows(self, told: Sequence[NotifiedHolderView]) -> tuple[ProofRow, ...]:
        turns = asyncio.Semaphore(_ASKED_AT_ONCE)

        async def row(each: NotifiedHolderView) -> ProofRow:
            async with turns:
                return await self._row(each)

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
            if not summary.open:  # a run that is closed still answers queries, as if it went on
                why = f"its run is closed, Temporal says {summary.status}; its place is free when no call of it can run"
            if not why:
                status = await asyncio.wait_for(handle.status(), QUERY_TIMEOUT)
                return row.model_copy(update={"calls": status.in_flight})
        except TimeoutError:
            why = "no worker answers for it"
        except (AirlockError, RPCError) as error:
            why = why or str(error)
        return row.model_copy(update={"standing": HolderState.UNREACHABLE, "why": why})
