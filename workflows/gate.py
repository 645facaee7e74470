"""A gate as a durable run: live slots and the lock (`gate-live`), resources, tools. `airlock.gate` decides, this obeys."""

import asyncio
from collections.abc import Sequence
from typing import Any

from temporalio import workflow
from temporalio.common import RawValue
from temporalio.exceptions import ActivityError, ApplicationError

with workflow.unsafe.imports_passed_through():
    from pydantic import ValidationError

    from airlock.base import names
    from airlock.base.incoming import MalformedMessage, Verdict, parse_as
    from airlock.base.text import shorten
    from airlock.gates.answers import GateAnswer
    from airlock.gates.messages import CarriedGate, GateStart, RecallRequest, RefusedMessage
    from airlock.gates.parsing import (
        GateDecision,
        parse_gate_decision,
        parse_hold_off,
        parse_permit,
        parse_release,
        parse_wanted,
    )
    from airlock.gates.protocol import PermitAnswer
    from airlock.gates.semaphore import Gate
    from airlock.gates.view import GateView, gate_details, gate_view
    from airlock.monitoring.messages import parse_auto_lock
    from airlock.workflows import gate_rounds
    from airlock.workflows.uncancellable import uncancellable

HISTORY_EVENTS = 1_000
"""A run continues as new from so many events on."""
HISTORY_BYTES = 8_000_000
LOOK_EVERY = 10.0
"""Seconds between two looks for holders that are gone, while somebody waits."""
_REFUSALS = 10


@workflow.defn(name=names.GATE_WORKFLOW)
class GateWorkflow:
    """One gate. Its input is a `GateStart`; without one it starts empty.

    The live gate runs for ever; every other gate ends as soon as nobody needs it.
    """

    @workflow.init
    def __init__(self, *start: Any) -> None:
        self._refused = 0
        self._refusals: tuple[RefusedMessage, ...] = ()
        self._looks = 0
        self._wishes = 0
        self._id = workflow.info().workflow_id
        self._after = ""
        read = self._read_start(start)
        self._gate = read.gate or Gate(capacity=max(read.capacity, 1))
        self._gate.label = "live gate" if self._id == names.LIVE_GATE else f"gate {self._id}"
        self._refused, self._refusals = self._refused + read.refused, (*read.refusals, *self._refusals)[-_REFUSALS:]
        self._after = read.after or self._after
        self._ready = read.gate is not None or not (self._after or self._id == names.LIVE_GATE)

    @workflow.run
    async def run(self, *start: Any) -> None:
        """Let in, line up, lock and tell until nobody needs this gate; cancelled it goes on, because others rely on it."""
        why = "a gate cannot be cancelled: it would forget who is in"
        await uncancellable(self._life(), lambda: self.refuse_signal("cancel", why))

    async def _life(self) -> None:
        if not self._ready:
            await self._recall()
        watch = asyncio.create_task(self._watch())
        try:
            while not self._needless():
                self._show()
                await workflow.wait_condition(lambda: bool(self._gate.news) or self._full() or self._needless())
                await gate_rounds.tell(self._gate, self._id, self._full)
                if self._full():
                    await workflow.wait_condition(workflow.all_handlers_finished)
                    carried = GateStart(gate=self._gate, refused=self._refused, refusals=self._refusals)
                    workflow.continue_as_new(carried)
        finally:
            watch.cancel()

    def _read_start(self, start: tuple[Any, ...]) -> GateStart:
        continued = workflow.info().continued_run_id
        try:
            read = GateStart.model_validate(start[0]) if start else GateStart()
        except ValidationError as error:
            # what the run before carried cannot be read: it is asked for
            self._after = continued or ""
            self.refuse_signal("start", f"the input is not a GateStart: {error}")
            return GateStart()
        if read.gate is not None and continued is None:
            # whoever starts a workflow could otherwise hand in a gate that is not locked
            self.refuse_signal("start", "only a continue-as-new may carry a gate on")
            return GateStart(capacity=read.capacity, after=read.after)
        return read

    def _full(self) -> bool:
        info = workflow.info()
        return (
            info.get_current_history_length() >= HISTORY_EVENTS
            or info.get_current_history_size() >= HISTORY_BYTES
            or info.is_continue_as_new_suggested()
        )

    def _needless(self) -> bool:
        """Whether nobody needs this gate any more. Whoever comes in this very moment starts it anew."""
        if self._id == names.LIVE_GATE or not workflow.all_handlers_finished():
            return False
        return self._gate.idle_in(workflow.now()) == 0

    async def _recall(self) -> None:
        """Take up what an earlier run knew; until that is known nobody gets in. If it cannot be known, stay closed."""
        request = RecallRequest(gate=self._id, run=workflow.info().run_id, after=self._after)
        found = await gate_rounds.recall(request)
        if found.carried is not None:
            label, self._gate = self._gate.label, found.carried.gate
            self._gate.label = label
            self._refused += found.carried.refused
            self._refusals = (*found.carried.refusals, *self._refusals)[-_REFUSALS:]
            self._gate.tell_again()
        if found.problem:
            why = shorten(f"what an earlier run of this gate knew cannot be read: {found.problem}")
            self._gate.lock(None, "airlock", why, workflow.now())
        self._ready = True

    async def _watch(self) -> None:
        """While somebody waits, look for those who are gone; and wake up when the last turn has left its window."""
        while True:
            await workflow.wait_condition(lambda: self._gate.restless or self._lingers() is not None)
            if not self._gate.restless:
                try:
                    await workflow.wait_condition(
                        lambda: self._gate.restless,
                        timeout=max(self._lingers() or 0.0, 1.0),
                        timeout_summary="until the last turn has left its window",
                    )
                except TimeoutError:
                    continue
            await workflow.sleep(LOOK_EVERY, summary="until the next look for holders that are gone")
            if self._gate.restless:
                self._looks += 1
                await gate_rounds.look(self._gate, self._looks)
                self._show()

    def _lingers(self) -> float | None:
        """After how many seconds only turns hold this gate open no more; None if that is not so."""
        left = self._gate.idle_in(workflow.now())
        return left if left and self._id != names.LIVE_GATE else None

    def _show(self) -> None:
        workflow.set_current_details(gate_details(self._view(rows=41)))

    def _view(self, rows: int = 1_000) -> GateView:
        return gate_view(self._id, self._gate, self._ready, self._refused, self._refusals, rows)

    async def _until_ready(self) -> None:
        if not self._ready:
            await workflow.wait_condition(lambda: self._ready)

    def refuse_signal(self, name: str, why: str) -> None:
        """Count and remember something that was refused; called by the worker's interceptor too."""
        refusal = RefusedMessage(at=workflow.now(), what=shorten(name, 100), why=shorten(why))
        self._refused += 1
        self._refusals = (*self._refusals, refusal)[-_REFUSALS:]

    async def _decide(self, name: str, decision: GateDecision) -> Verdict:
        await self._until_ready()
        reason = shorten(decision.reason)
        if name == "lock":
            verdict = self._gate.lock(decision.scope, decision.by, reason, workflow.now())
        else:
            verdict = self._gate.unlock(decision.scope, decision.by, reason)
        if not verdict.accepted:
            self.refuse_signal(name, verdict.reason)
        self._show()
        return verdict

    @workflow.update(description="Wanted: a place, a place in the queue, or why not; answers at once")
    async def acquire(self, *arguments: Any) -> GateAnswer:
        """Let somebody in, or say why not."""
        await self._until_ready()
        wanted = parse_wanted(arguments)
        if self._id.startswith(names.RESOURCE_GATE_PREFIX):  # whatever somebody says: one plan at a time
            wanted = wanted.model_copy(update={"capacity": 1})
        answer = self._gate.acquire(wanted, workflow.now())
        self._show()
        return answer

    @acquire.validator
    def _may_ask(self, *arguments: Any) -> None:
        try:
            wanted = parse_wanted(arguments)
        except MalformedMessage as error:
            raise ApplicationError(str(error), type="Malformed", non_retryable=True) from error
        if wanted.holder == self._id:
            raise ApplicationError("acquire: holder: a gate is in nobody's queue", type="Malformed", non_retryable=True)

    @workflow.update(description="Permit: when a call under a rate limit may be made")
    async def permit(self, *arguments: Any) -> PermitAnswer:
        """Give a call its turn under a rate limit; asking again keeps it."""
        await self._until_ready()
        answer = self._gate.permit(parse_permit(arguments), workflow.now())
        if answer is None:
            raise ApplicationError("too many calls wait for their turn already", type="TooManyTurns")
        return answer

    @permit.validator
    def _may_call(self, *arguments: Any) -> None:
        try:
            parse_permit(arguments)
        except MalformedMessage as error:
            raise ApplicationError(str(error), type="Malformed", non_retryable=True) from error

    @workflow.update(description='{"decision": "lock" or "unlock", "by", "reason", "scope"?}; answers whether it counted')
    async def decide(self, *arguments: Any) -> Verdict:
        """Lock or unlock, and learn whether it counted."""
        return await self._decide(*parse_gate_decision(arguments))

    @decide.validator
    def _well_formed(self, *arguments: Any) -> None:
        try:
            parse_gate_decision(arguments)
        except MalformedMessage as error:
            raise ApplicationError(str(error), type="Malformed", non_retryable=True) from error

    # Signals take `*arguments: Any`: whatever was sent arrives, and nothing is dropped without a trace.

    @workflow.signal(description='{"by", "reason", "scope"?}: close the gate')
    async def lock(self, *arguments: Any) -> None:
        """Close the gate, for everybody or for a scope."""
        await self._say("lock", arguments)

    @workflow.signal(description='{"by", "reason", "scope"?}: lift that lock')
    async def unlock(self, *arguments: Any) -> None:
        """Lift a lock."""
        await self._say("unlock", arguments)

    @workflow.signal(description='{"monitor"}: a monitor wants the live gate locked; it is asked whether that is so')
    async def auto_lock(self, *arguments: Any) -> None:
        """Lock if that monitor itself says so."""
        await self._until_ready()
        try:
            asked = parse_auto_lock(arguments)
            if self._id != names.LIVE_GATE:
                raise MalformedMessage("auto_lock: only the live gate is locked by monitors")
            self._wishes += 1
            wish = await gate_rounds.lock_wish(asked, self._wishes)
        except (MalformedMessage, ActivityError) as error:
            self.refuse_signal("auto_lock", str(error.cause) if isinstance(error, ActivityError) else str(error))
            return
        verdict = self._gate.obey(asked.monitor, wish, workflow.now())
        if not verdict.accepted:
            self.refuse_signal("auto_lock", verdict.reason)
        self._show()

    @workflow.signal(description='{"holder", "request"}: give a place back')
    async def release(self, *arguments: Any) -> None:
        """Give a place back, or leave the queue."""
        await self._until_ready()
        try:
            self._gate.release(parse_release(arguments), workflow.now())
        except MalformedMessage as error:
            self.refuse_signal("release", str(error))
        self._show()

    @workflow.signal(description='{"seconds", "reason"?}: no call of this tool for so long')
    async def hold_off(self, *arguments: Any) -> None:
        """Give no turn for a while."""
        await self._until_ready()
        try:
            self._gate.hold_off(parse_hold_off(arguments), workflow.now())
        except MalformedMessage as error:
            self.refuse_signal("hold_off", str(error))

    @workflow.signal(dynamic=True)
    def unknown_signal(self, name: str, arguments: Sequence[RawValue]) -> None:
        """Record a signal nobody knows."""
        self.refuse_signal(name, "unknown signal; there are auto_lock, hold_off, lock, release, unlock")

    async def _say(self, name: str, arguments: tuple[Any, ...]) -> None:
        try:
            decision = parse_as(GateDecision, name, arguments)
        except MalformedMessage as error:
            self.refuse_signal(name, str(error))
            return
        await self._decide(name, decision)

    @workflow.query(description="who is in, who waits, what is locked and the proof of it, what was refused")
    def status(self) -> GateView:
        """The gate at this moment."""
        return self._view()

    @workflow.query(description="all that this gate knows, for a run that takes it up")
    def carry(self) -> CarriedGate:
        """All that this gate knows."""
        return CarriedGate(
            ready=self._ready, gate=self._gate, after=self._after, refused=self._refused, refusals=self._refusals
        )  # fmt: skip
