"""The workflow of a gate: slots of a resource, a tool or the live gate. `airlock.gates` decides, the workflow acts."""

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Any

from temporalio import workflow
from temporalio.common import RawValue
from temporalio.exceptions import ActivityError, ApplicationError

with workflow.unsafe.imports_passed_through():
    from airlock.admission.admitted import EPOCH
    from airlock.base import names
    from airlock.base.incoming import MalformedMessage, Verdict, parse_as
    from airlock.base.text import shorten
    from airlock.gates.answers import GateAnswer
    from airlock.gates.messages import INVALID, CarriedGate, GateEnd, GateStart
    from airlock.gates.parsing import (
        GateDecision,
        parse_gate_decision,
        parse_hold_off,
        parse_permit,
        parse_release,
        parse_wanted,
    )
    from airlock.gates.protocol import HoldOff, Permit, PermitAnswer, Release, SlotRequest
    from airlock.gates.semaphore import Gate
    from airlock.gates.view import GateView, gate_details, gate_view
    from airlock.monitoring.messages import parse_auto_lock
    from airlock.temporal.seeds import seeds
    from airlock.workflows import origin
    from airlock.workflows.answers import NoAnswer
    from airlock.workflows.gates import gate_rounds
    from airlock.workflows.gates.gate_decisions import GateDecisions
    from airlock.workflows.gates.gate_recall import GateRecall
    from airlock.workflows.gates.gate_start import read_start, rules_of, started_by_a_client
    from airlock.workflows.gates.lock_wishes import LockWishes
    from airlock.workflows.gates.refusals import Refusals
    from airlock.workflows.history_budget import HistoryBudget
    from airlock.workflows.uncancellable import uncancellable
    from airlock.workflows.update_arguments import valid

HISTORY = HistoryBudget(events=1_000, bytes=8_000_000)
MAX_NONCE = 100
"""Characters of a nonce that the query `carry` repeats."""
LOOK_EVERY = 10.0
"""Seconds between two searches for closed holders while a plan waits."""


@workflow.defn(name=names.GATE_WORKFLOW)
class GateWorkflow:
    """One gate. Its input is a `GateStart`; without one it starts empty.

    The live gate runs for ever; every other gate ends as soon as no plan needs it.
    """

    @workflow.init
    def __init__(self, *start: Any) -> None:
        self._refusals = Refusals()
        self._looks = 0
        self._over = False
        self._wishes = LockWishes()
        self._id = workflow.info().workflow_id
        self._memory = GateRecall(self._id, self._refusals)
        begun = read_start(start)
        read, self._problem = begun.start, begun.problem
        if begun.refusal:
            self.refuse_signal("start", begun.refusal)
        self._gate = read.gate or Gate(capacity=max(read.capacity, 1))
        self._gate.label = "live gate" if self._id == names.LIVE_GATE else f"gate {self._id}"
        self._gate.signing.life = self._gate.signing.life or f"{seeds().latest:x}"
        self._decisions = GateDecisions(self._id, lambda: self._gate, rules_of(start, read))
        self._refusals.add_earlier(read.refused, read.refusals)
        memory = self._memory
        memory.after = read.after
        knows = not (memory.after or self._id == names.LIVE_GATE or started_by_a_client(start))
        memory.ready = not self._problem and (read.gate is not None or knows)
        memory.unasked = memory.ready and read.gate is None and seeds().proofs_due
        seeds().on_reset(lambda _: self.was_reset())

    def was_reset(self) -> None:
        """Note a reset, which forgets holders and locks; the worker's interceptor calls this too."""
        self._memory.was_reset()
        self._gate.signing.begin(f"{seeds().latest:x}")

    @workflow.run
    async def run(self, *start: Any) -> GateEnd:
        """Grant slots, queue requests and notify plans until no plan needs this gate.

        A cancellation is refused, because the holders rely on the gate.
        """
        self._require_start()
        why = "a gate cannot be cancelled: it would forget its holders"
        await uncancellable(self._run_until_idle(), lambda: self.refuse_signal("cancel", why))
        return GateEnd()

    async def _run_until_idle(self) -> None:
        self._gate = await self._memory.take_up(self._gate)
        watch = asyncio.create_task(self._watch())
        try:
            while not self._is_idle():
                self._show()
                await workflow.wait_condition(
                    lambda: bool(self._gate.news) or HISTORY.is_spent() or self._is_idle() or self._memory.due
                )
                self._gate = await self._memory.take_up(self._gate)
                await gate_rounds.tell(self._gate, self._id, HISTORY.is_spent)
                if HISTORY.is_spent():
                    # an update in progress would be lost, and its plan would not know that it holds a slot
                    await workflow.wait_condition(workflow.all_handlers_finished)
                    workflow.continue_as_new(self._carried())
        finally:
            self._over = True
            watch.cancel()

    def _carried(self) -> GateStart:
        refusals = self._refusals
        return GateStart(gate=self._gate, epoch=EPOCH, refused=refusals.count, refusals=refusals.latest)

    def _is_idle(self) -> bool:
        """Return True if no plan needs this gate. A plan that asks while the run ends starts the next run."""
        if self._id == names.LIVE_GATE or self._memory.due or not workflow.all_handlers_finished():
            return False
        return self._gate.idle_in(workflow.now()) == 0

    async def _watch(self) -> None:
        """Search for closed holders while a plan waits, and wake the gate when its last rate-limit turn expires."""
        # the end of the run cancels a search. What is commanded after its answer stands behind that end: Temporal refuses it
        while not self._over:
            await workflow.wait_condition(lambda: self._gate.restless or self._seconds_until_idle() is not None)
            if not self._gate.restless:
                try:
                    await workflow.wait_condition(
                        lambda: self._gate.restless,
                        timeout=max(self._seconds_until_idle() or 0.0, 1.0),
                        timeout_summary="until the last rate-limit turn expires",
                    )
                except TimeoutError:
                    continue
            await workflow.sleep(LOOK_EVERY, summary="until the next search for closed holders")
            if self._gate.restless and self._memory.ready:
                self._looks += 1
                await gate_rounds.look(self._gate, self._looks)
                self._show()

    def _seconds_until_idle(self) -> float | None:
        """Return the seconds until the last rate-limit turn expires; None unless turns alone keep the gate open."""
        left = self._gate.idle_in(workflow.now())
        return left if left and self._id != names.LIVE_GATE else None

    def _show(self) -> None:
        workflow.set_current_details(gate_details(self._view(rows=41)))

    def _view(self, rows: int = 1_000) -> GateView:
        return gate_view(self._id, self._gate, self._memory.ready, self._refusals.count, self._refusals.latest, rows)

    def refuse_signal(self, name: str, why: str) -> None:
        """Record a message that was refused; the worker's interceptor calls this too."""
        self._refusals.record(name, why)

    async def _decide(self, name: str, decision: GateDecision) -> Verdict:
        await self._memory.wait()
        reason = shorten(decision.reason)
        judged = await self._decisions.judge(name, decision)
        if judged.refused is not None:
            verdict = judged.refused
        elif name == "lock":
            verdict = self._gate.lock(decision.scope, decision.by, reason, workflow.now(), judged.proof)
        else:
            verdict = self._gate.unlock(decision.scope, decision.by, reason, judged.proof)
        if not verdict.accepted:
            self.refuse_signal(name, verdict.reason)
        self._show()
        return verdict

    @workflow.update(name="acquire", description="SlotRequest: a slot, a position in the queue, or a refusal")
    async def acquire(self, *arguments: Any) -> GateAnswer:
        """Grant a slot, queue the request, or refuse it. A repeated request gets the slot that it has."""
        await self._memory.wait()  # granting before the earlier run's holders are known could exceed the capacity
        await self._decisions.settled()
        wanted = parse_wanted(arguments)
        if self._id.startswith(names.RESOURCE_GATE_PREFIX):  # one plan at a time, whatever capacity a message names
            wanted = wanted.model_copy(update={"capacity": 1})
        answer = self._gate.acquire(wanted, workflow.now())
        self._show()
        return answer.model_copy(update={"nonce": wanted.nonce})

    def _require_start(self) -> None:
        if self._problem:
            raise ApplicationError(self._problem, type=INVALID, non_retryable=True)

    @acquire.validator
    def _may_ask(self, *arguments: Any) -> None:
        self._require_start()
        valid(partial(origin.require_worker, "acquire", SlotRequest, workflow.now()), arguments)
        wanted = valid(parse_wanted, arguments)
        if wanted.holder == self._id:
            raise ApplicationError("acquire: holder: a gate waits in no queue", type="Malformed", non_retryable=True)

    @workflow.update(name="permit", description="Permit: the seconds until a call under a rate limit may be made")
    async def permit(self, *arguments: Any) -> PermitAnswer:
        """Give a call its turn under a rate limit. A repeated request keeps its turn."""
        await self._memory.wait()
        answer = self._gate.permit(parse_permit(arguments), workflow.now())
        if answer is None:
            raise ApplicationError("too many calls already wait for their turn", type="TooManyTurns")
        return answer

    @permit.validator
    def _may_call(self, *arguments: Any) -> None:
        self._require_start()
        valid(partial(origin.require_worker, "permit", Permit, workflow.now()), arguments)
        valid(parse_permit, arguments)

    @workflow.update(
        name="decide", description='{"decision": "lock" or "unlock", "by", "reason", "scope"?}; returns a verdict'
    )
    async def decide(self, *arguments: Any) -> Verdict:
        """Lock or unlock the gate, and return the verdict."""
        return await self._decide(*parse_gate_decision(arguments))

    @decide.validator
    def _well_formed(self, *arguments: Any) -> None:
        self._require_start()
        valid(parse_gate_decision, arguments)

    # Signals take `*arguments: Any`: Temporal drops a signal that does not fit its handler's types, unrecorded.

    @workflow.signal(name="lock", description='{"by", "reason", "scope"?}: close the gate')
    async def lock(self, *arguments: Any) -> None:
        """Close the gate for all plans, or for a scope."""
        await self._decide_by_signal("lock", arguments)

    @workflow.signal(name="unlock", description='{"by", "reason", "scope"?}: lift that lock')
    async def unlock(self, *arguments: Any) -> None:
        """Lift a lock."""
        await self._decide_by_signal("unlock", arguments)

    @workflow.signal(
        name="auto_lock", description='{"monitor"}: a monitor wants the live gate locked; the gate asks that monitor'
    )
    async def auto_lock(self, *arguments: Any) -> None:
        """Lock the live gate if the named monitor confirms it: any client can send this signal."""
        await self._memory.wait()
        try:
            asked = parse_auto_lock(arguments)
            if self._id != names.LIVE_GATE:
                raise MalformedMessage("auto_lock: only the live gate is locked by monitors")
            wish = await self._wishes.of(asked)
        except (MalformedMessage, NoAnswer, ActivityError) as error:
            self.refuse_signal("auto_lock", str(error.cause) if isinstance(error, ActivityError) else str(error))
            return
        verdict = self._gate.obey(asked.monitor, wish, workflow.now())
        if not verdict.accepted:
            self.refuse_signal("auto_lock", verdict.reason)
        self._show()

    @workflow.signal(name="release", description='{"holder", "request"}: release a slot')
    async def release(self, *arguments: Any) -> None:
        """Release the slots of a request, or remove it from the queue."""
        arrived = workflow.now()
        await self._memory.wait()
        try:
            # the proof first: any client can send a list that takes long to read
            origin.require_airlock("release", Release, arrived, arguments)
            release = parse_release(arguments)
            self._gate.release(release, workflow.now())
        except MalformedMessage as error:
            self.refuse_signal("release", str(error))
        self._show()

    @workflow.signal(name="hold_off", description='{"seconds", "reason"?}: no call of this tool for that time')
    async def hold_off(self, *arguments: Any) -> None:
        """Give no turns for the seconds that the tool's target asked for."""
        arrived = workflow.now()
        await self._memory.wait()
        try:
            origin.require_worker("hold_off", HoldOff, arrived, arguments)
            hold = parse_hold_off(arguments)
            self._gate.hold_off(hold, workflow.now())
        except MalformedMessage as error:
            self.refuse_signal("hold_off", str(error))

    @workflow.signal(dynamic=True)
    def unknown_signal(self, name: str, arguments: Sequence[RawValue]) -> None:
        """Record an unknown signal."""
        self.refuse_signal(name, "unknown signal; there are auto_lock, hold_off, lock, release, unlock")

    async def _decide_by_signal(self, name: str, arguments: tuple[Any, ...]) -> None:
        try:
            decision = parse_as(GateDecision, name, arguments)
        except MalformedMessage as error:
            self.refuse_signal(name, str(error))
            return
        await self._decide(name, decision)

    @workflow.query(name="status", description="holders, queue, locks and their evidence, refused messages")
    def status(self) -> GateView:
        """Return the holders, the queue and the locks at this moment."""
        return self._view()

    @workflow.query(name="carry", description="the whole state of the gate, for a run that restores it")
    def carry(self, *nonce: Any) -> CarriedGate:
        """Return the whole state of the gate, as a continue-as-new would carry it on."""
        return CarriedGate(
            nonce=str(nonce[0])[:MAX_NONCE] if nonce else "",
            ready=self._memory.ready and not self._memory.unasked,
            gate=self._gate,
            after=self._memory.after,
            refused=self._refusals.count,
            refusals=self._refusals.latest,
        )
