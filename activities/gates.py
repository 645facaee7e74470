"""Acquisition and release of slots at gates, and the questions that a gate itself asks Temporal."""

import asyncio
import secrets
from collections.abc import Coroutine, Iterator
from datetime import UTC
from typing import Any, TypeVar
from weakref import WeakValueDictionary

from temporalio import activity
from temporalio.api.enums.v1 import WorkflowExecutionStatus as Status
from temporalio.client import (
    Client,
    WorkflowUpdateRPCTimeoutOrCancelledError,
)
from temporalio.exceptions import ApplicationError

from airlock.activities import gate_client
from airlock.activities.admit import resource_hash
from airlock.activities.calls.claimed_calls import in_any_spelling
from airlock.activities.heartbeat import run_to_completion
from airlock.activities.monitor import send_reports
from airlock.activities.proven_input import unproven_input
from airlock.activities.stopped import stopped_early
from airlock.activities.toolbox import Toolbox
from airlock.base import names
from airlock.base.keyring import Keyring
from airlock.gates.answers import (
    AcquireGranted,
    AcquireRefused,
    AcquireResult,
    SlotGranted,
)
from airlock.gates.messages import ClosedHolder, Inquiry, InquiryResult, RecallRequest, RecallResult
from airlock.gates.protocol import (
    AcquireRequest,
    HeldSlot,
    LeaveResult,
    Release,
    SlotRequest,
)
from airlock.monitoring.outbox import LeaveWithReports
from airlock.run.live.read_messages import ReadRequest
from airlock.run.live.recovery import unanswered
from airlock.temporal import claims, proof
from airlock.temporal.gate_memory import recalled
from airlock.temporal.history import Unreadable, described, evidence_of, is_open

T = TypeVar("T")

_AT_ONCE = 10
"""Requests to Temporal that one activity has open at the same time."""
_ASKS_AT_ONCE = 2
"""Plans of one worker that ask the same gate at the same time; Temporal admits ten open updates per workflow."""


class GateActivities:
    """Gate activities of the operator's worker, on the workflows' queue."""

    def __init__(self, toolbox: Toolbox, keyring: Keyring | None = None) -> None:
        self._toolbox = toolbox
        self._demands = (keyring or Keyring()).demands
        self._asking: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    @activity.defn(name="acquire")
    async def acquire(self, request: AcquireRequest) -> AcquireResult:
        """Request slots, gate after gate, until a gate does not grant immediately.

        All plans ask in the same order, so that no two can wait for each other. Safe to repeat: a gate returns the slot
        that the request already has.

        Raises:
            ApplicationError: If the holder is not the workflow that runs this activity.
        """
        self.require(request.plan_id, request.holder)
        if why := unproven_input(self._demands):
            return AcquireRefused(refused=f"nothing was asked: {why}")
        return await interruptible(self.ask(activity.client(), request))

    @activity.defn(name="leave")
    async def leave(self, request: LeaveWithReports) -> LeaveResult:
        """Release slots, settle claims and send reports. Safe to repeat.

        Raises:
            ApplicationError: If the holder is not the workflow that runs this activity, or no run of Airlock asks.
        """
        self.require(request.plan_id, request.holder)
        if why := unproven_input(self._demands):
            if proof.asked().proven:
                return LeaveResult()  # the run was reset meanwhile: the answer has no proof, and the run asks again
            raise ApplicationError(f"nothing was released: {why}", type="Unproven")
        return await interruptible(self._leave(activity.client(), request))

    @activity.defn(name="look")
    async def look(self, inquiry: Inquiry) -> InquiryResult:
        """Return the holders that are closed; a holder that cannot be described counts as running."""
        client, limit = activity.client(), asyncio.Semaphore(_AT_ONCE)

        async def one(holder: str) -> ClosedHolder | None:
            async with limit:
                return await _closed(client, holder, inquiry.runs.get(holder, ""))

        found = await interruptible(_all(one(holder) for holder in inquiry.holders))
        return InquiryResult(closed=tuple(closed for closed in found if closed is not None))

    @activity.defn(name="recall")
    async def recall(self, request: RecallRequest) -> RecallResult:
        """Return the state of the gate's last run that was terminated, cancelled, failed or timed out."""
        return await interruptible(recalled(activity.client(), request))

    def require(self, plan_id: str, holder: str) -> None:
        """Refuse a holder that is not the workflow of this activity.

        Raises:
            ApplicationError: If it is another one.
        """
        self._toolbox.require_plan(plan_id, undo=True)
        if holder != activity.info().workflow_id:
            raise ApplicationError(
                f"{holder!r} is not the workflow that asks: nothing was done", type="NotThePlan", non_retryable=True
            )

    async def ask(self, client: Client, request: AcquireRequest) -> AcquireResult:
        """Ask gate after gate for what a request needs, then take its claims."""
        held = list(request.held)
        known = {place.gate for place in held}
        for gate, wanted in self._wanted(request):
            if gate in known:
                continue
            turn = self._asking.get(gate) or asyncio.Semaphore(_ASKS_AT_ONCE)
            self._asking[gate] = turn
            async with turn:
                # repeated after a lost answer, this asks with the same request id and gets the same slot
                answer = await gate_client.ask(client, gate, wanted)
            if not isinstance(answer, SlotGranted):
                return gate_client.not_granted(gate, wanted.name, answer, tuple(held))
            own = answer.own_release
            held.append(HeldSlot(gate=gate, name=wanted.name, fence=answer.fence, slots=answer.slots, own_release=own))
        if not request.claims:
            return AcquireGranted(held=tuple(held))
        calls = tuple(in_any_spelling(self._toolbox.catalogue, claim, request.plan_id) for claim in request.claims)
        claimed, duplicates = await claims.take(client, request.model_copy(update={"claims": calls}))
        return AcquireGranted(held=tuple(held), claimed=claimed, duplicates=duplicates)

    async def let_pass(self, client: Client, request: ReadRequest) -> str:
        """Return the reason why the live gate lets reads not be made; empty if it does. Nothing is held then.

        Each attempt is booked by itself, since it reads again: any client can let Temporal make more of them.
        """
        info = activity.info()
        wanted = SlotRequest(
            holder=request.holder, request=f"{request.request} {info.started_time:%Y-%m-%dT%H:%M:%S.%f}",
            run_id=info.workflow_run_id or "", name="live",
            capacity=request.live.capacity, wait=False, scopes=request.live.scopes, spending=request.live.spending,
            budgets=request.live.budgets, execution=request.execution, nonce=secrets.token_hex(8), passing=True,
        )  # fmt: skip
        answer = await gate_client.ask(client, names.LIVE_GATE, wanted)
        if isinstance(answer, SlotGranted):
            if answer.slots:  # a gate of an earlier version knows of no reads: it has given a slot
                given = Release(holder=wanted.holder, request=wanted.request, execution=wanted.execution)
                await gate_client.release_slots(client, names.LIVE_GATE, given)
            return ""
        return str(getattr(answer, "why", "")) or "the live gate has no place"

    def _wanted(self, request: AcquireRequest) -> Iterator[tuple[str, SlotRequest]]:
        """Yield each gate with the slot wanted there, in the one order that rules out deadlocks between plans.

        Resources come first, then tools, then the live gate.
        """
        common = SlotRequest(
            holder=request.holder,
            request=request.request,
            run_id=activity.info().workflow_run_id or "",
            wait=request.wait,
            urgent=request.urgent,
            grace=request.grace,
            execution=request.execution,
            nonce=secrets.token_hex(8),
        )
        by_gate = {self._resource_gate(name): name for name in request.resources}
        for gate, name in sorted(by_gate.items()):
            yield gate, common.model_copy(update={"name": name})
        for tool, slots in sorted(request.tools.items()):
            asked = {"name": tool, "capacity": slots.capacity, "slots": max(slots.wanted, 1)}
            yield names.tool_gate_id(tool), common.model_copy(update=asked)
        if (live := request.live) is not None:
            asked = {"name": "live", "capacity": live.capacity, "scopes": live.scopes}
            yield (
                names.LIVE_GATE,
                common.model_copy(update=asked | {"spending": live.spending, "budgets": live.budgets}),
            )

    def _resource_gate(self, name: str) -> str:
        return names.resource_gate_id(resource_hash(self._toolbox.index_key, name))

    async def _leave(self, client: Client, request: LeaveWithReports) -> LeaveResult:
        limit = asyncio.Semaphore(_AT_ONCE)

        async def one(gate: str) -> bool:
            async with limit:
                return await gate_client.release_slots(client, gate, request.release_at(gate))

        gates = sorted(set(request.gates))
        there = await _all(one(gate) for gate in gates)
        missed = [gate for gate, found in zip(gates, there, strict=True) if not found]
        if request.settled:
            missed += await claims.settle(client, request)
        if request.reports:  # last: no plan waits for these
            await send_reports(client, request.monitor, request.reports)
        return LeaveResult(missed=tuple(sorted(missed)))


async def _closed(client: Client, holder: str, run_id: str) -> ClosedHolder | None:
    try:
        found = await described(client, holder)
        if found is not None and run_id and found.execution.run_id != run_id:
            # the run that got the slot continued as new, was reset, or ended and was started again: its own status tells
            found = await described(client, holder, run_id)
    except Unreadable:
        return None
    if found is None:
        return ClosedHolder(holder=holder)
    if is_open(found) or found.status == Status.WORKFLOW_EXECUTION_STATUS_CONTINUED_AS_NEW:
        return None
    # a run of Airlock gives its slots back before it completes; a client can complete one with a workflow task that it took
    calls = await _perhaps_running(client, holder, found.execution.run_id)
    completed = found.status == Status.WORKFLOW_EXECUTION_STATUS_COMPLETED and not calls
    return ClosedHolder(holder=holder, at=found.close_time.ToDatetime(tzinfo=UTC), completed=completed, calls=calls)


async def _perhaps_running(client: Client, holder: str, run_id: str) -> tuple[str, ...]:
    """Return the steps whose calls a closed run began and has no sure answer of; an empty name if that cannot be read."""
    try:
        evidence = await evidence_of(client, holder, (run_id,))
    except (Unreadable, ValueError):
        return ("",)
    return unanswered(evidence)


async def _all(work: Iterator[Coroutine[Any, Any, T]]) -> list[T]:
    return list(await asyncio.gather(*work))


async def interruptible(work: Coroutine[Any, Any, T]) -> T:
    """Heartbeat while the work lasts, and end it when the worker shuts down: the next worker asks again.

    Raises:
        ApplicationError: Of type `Interrupted`, which Temporal retries.
    """
    task = asyncio.ensure_future(work)
    told: list[asyncio.Future[None]] = []

    async def outcome() -> T:
        try:
            return await task
        except (asyncio.CancelledError, WorkflowUpdateRPCTimeoutOrCancelledError) as error:
            raise stopped_early("interrupted by a shutdown; Temporal retries it", "Interrupted") from error

    try:
        return await run_to_completion(
            outcome(), lambda: None, lambda: told.append(asyncio.ensure_future(_ended_by_a_shutdown(task)))
        )
    finally:
        for each in told:
            each.cancel()


async def _ended_by_a_shutdown(task: asyncio.Future[Any]) -> None:
    # A run that drops its entry waits for the answer: it must know which slots it got, and release them. But an activity is
    # told to stop only once: a worker that shuts down later would wait for work that no run wants, for as long as it lasts.
    await activity.wait_for_worker_shutdown()
    task.cancel()
