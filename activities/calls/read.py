"""Reads before a preview: LOW risk calls that change nothing and need no person, on the workers that make live calls."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from temporalio import activity

from airlock.activities import options
from airlock.activities.calls.call import CallActivities
from airlock.activities.calls.left_states import ChainStates
from airlock.activities.calls.permitted import Permitted, leaf
from airlock.activities.calls.question_guard import QuestionGuard
from airlock.activities.calls.rate_limiter import RateLimiter
from airlock.activities.calls.still_mine import clock
from airlock.activities.entry import EntryActivities, PermittedReads
from airlock.activities.gates import GateActivities
from airlock.activities.heartbeat import run_to_completion
from airlock.activities.rehearsals.preview import CONCURRENCY, PAYLOAD_BUDGET
from airlock.activities.server_time import server_time
from airlock.activities.toolbox import Toolbox
from airlock.base.canonical import canonical_json
from airlock.base.keyring import Keyring
from airlock.base.text import shorten
from airlock.plans.graph import waves
from airlock.plans.outcome import Attempt, CallFailed, CallSucceeded, RetryableFailure
from airlock.run.live.call_messages import CallRequest, ChainRequest
from airlock.run.live.read_lane import early_read, read_leaf
from airlock.run.live.read_messages import ReadRequest, ReadResult, StepRead

ASKED_FOR = 10.0
"""Seconds for the answer of the live gate; without one nothing is read, and the plan goes on without."""

CONSENT_FOR = 5.0
"""Seconds after which the live gate is asked again before the next read: it may have been locked since."""


class ReadActivities:
    """The reads of a worker that makes live calls.

    Args:
        toolbox: The operator's catalogue and policy.
        entry: Examines the evidence, and makes permits and receipts.
        calls: Makes the calls.
        keyring: The keys of this worker.
    """

    def __init__(
        self, toolbox: Toolbox, entry: EntryActivities, calls: CallActivities, keyring: Keyring | None = None
    ) -> None:
        self._toolbox, self._entry, self._calls = toolbox, entry, calls
        self._gates = GateActivities(toolbox, keyring)
        self._keyring = keyring or Keyring()
        self._guard = QuestionGuard(self._keyring)
        self._policy = toolbox.policy.digest()

    @activity.defn(name="read")
    async def read(self, request: ReadRequest) -> ReadResult:
        """Make reads in dependency order, independent ones in parallel. Safe to repeat: no call here changes anything.

        This worker believes neither the contracts nor the policy of the request: what is no read by its own is not called.
        Nor is a copy of a genuine request, which a client can command once the plan is locked, or has gone on.

        Raises:
            ApplicationError: If the holder is not the workflow that runs this activity.
        """
        self._toolbox.require_plan(request.plan_id)
        self._gates.require(request.plan_id, request.holder)
        stopped = asyncio.Event()
        return await run_to_completion(self._read(request, stopped), lambda: None, stopped.set)

    async def _read(self, request: ReadRequest, stopped: asyncio.Event) -> ReadResult:
        if why := await self._guard.objection():
            return ReadResult(refused=shorten(why))
        permit = await asyncio.to_thread(self._permit, request)
        if isinstance(permit, str):
            return ReadResult(refused=shorten(permit))
        if why := await self._kept_out(request):
            return ReadResult(refused=shorten(why))
        calls = tuple(
            call.model_copy(update={"token": permit.tokens.get(call.step.id, ""), "preview": None, "attempt": 1})
            for call in request.calls
        )
        chain = ChainRequest(plan_id=request.plan_id, calls=calls, receipt=permit.receipt, entry=permit.permit_pass)
        permitted = Permitted(chain, self._keyring, self._policy)
        consent = _Consent(lambda: self._kept_out(request))
        reads = _Reads(request.plan_id, permit, permitted, self._calls, self._entry, stopped, consent)
        return ReadResult(reads=tuple(await reads.made(calls, request.parents)))

    def _permit(self, request: ReadRequest) -> PermittedReads | str:
        permit = self._entry.permit_reads(request.evidence, request.holder, request.request)
        if isinstance(permit, str):
            return permit
        epoch = request.evidence.epoch
        sealed = {name: read_leaf(step, step.contract_hash, epoch) for name, step in permit.steps.items()}
        # with or without keys: what is called is what was examined
        if sealed != {call.step.id: leaf(call.model_copy(update={"preview": None})) for call in request.calls}:
            return "the calls are not those of the sealed reads"
        return permit

    async def _kept_out(self, request: ReadRequest) -> str:
        """Return the reason why the live gate lets nothing be read; empty if it does."""
        try:
            async with asyncio.timeout(ASKED_FOR):
                return await self._gates.let_pass(activity.client(), request)
        except Exception as error:  # noqa: BLE001  # whatever is wrong with the gate: nothing is read without its consent
            return f"the live gate did not answer: {type(error).__name__} {error}"


class _Consent:
    """The consent of the live gate, which was given when this object is made.

    Args:
        ask: Asks the gate; returns the reason why nothing may be read, or an empty text.
    """

    def __init__(self, ask: Callable[[], Awaitable[str]]) -> None:
        self._ask = ask
        self._given = clock()
        self._asking = asyncio.Lock()

    async def refused(self) -> str:
        """Return the reason why no further read may begin; empty if it may. Several that ask at once cost one question."""
        async with self._asking:
            if clock() - self._given < CONSENT_FOR:
                return ""
            why = await self._ask()
            if not why:
                self._given = clock()
            return why


class _Reads:
    """The reads of one activity.

    Args:
        plan_id: The plan.
        permit: What this worker lets be read.
        permitted: The permit as the calls show it.
        calls: Makes the calls.
        entry: Signs what was read.
        stopped: Set when the activity is to end.
        consent: The consent of the live gate.
    """

    def __init__(
        self, plan_id: str, permit: PermittedReads, permitted: Permitted, calls: CallActivities, entry: EntryActivities,
        stopped: asyncio.Event, consent: _Consent,
    ) -> None:  # fmt: skip
        self._plan_id, self._permit, self._permitted = plan_id, permit, permitted
        self._calls, self._entry, self._stopped, self._consent = calls, entry, stopped, consent
        self._outputs: dict[str, Any] = {}
        self._spent = 0

    async def made(self, calls: Sequence[CallRequest], parents: Mapping[str, tuple[str, ...]]) -> list[StepRead]:
        """Make all reads, each wave after those that it depends on, and return what became of them."""
        by_id = {call.step.id: call for call in calls}
        edges = {step: tuple(parent for parent in parents.get(step, ()) if parent in by_id) for step in by_id}
        done: list[StepRead] = []
        for wave in waves(edges, by_id):
            for start in range(0, len(wave), CONCURRENCY):
                group = wave[start : start + CONCURRENCY]
                for read in await asyncio.gather(*(self._one(by_id[step], edges[step]) for step in group)):
                    done.append(read)
                    if read.made is not None:
                        self._outputs[read.step] = read.made.output
                        self._spent += len(canonical_json(read.made.output))
        return done

    async def _one(self, call: CallRequest, parents: Iterable[str]) -> StepRead:
        step = call.step.id
        if missing := [parent for parent in parents if parent not in self._outputs]:
            return StepRead(step=step, skipped=f"step {missing[0]!r}, which it depends on, was not read")
        if self._spent > PAYLOAD_BUDGET:
            return StepRead(step=step, skipped="what was read before it is too large for one answer")
        if why := self._permitted.objection(call):
            return StepRead(step=step, skipped=shorten(why))
        attempt = await self._attempts(call)
        match attempt:
            case str():
                return StepRead(step=step, skipped=shorten(attempt))
            case None:
                return StepRead(step=step, skipped="its worker was stopping")
            case CallSucceeded() if attempt.broken:
                return StepRead(step=step, failed=attempt.broken)
            case CallSucceeded():
                return self._signed(call, attempt)
            case CallFailed():
                return StepRead(step=step, failed=attempt.error)
            case RetryableFailure() if not attempt.turned_away:
                return StepRead(step=step, failed=attempt.error)
            case _:
                return StepRead(step=step, skipped=attempt.error)

    def _signed(self, call: CallRequest, made: CallSucceeded) -> StepRead:
        made = made.model_copy(update={"undo": None, "leaves": {}, "left_receipt": ""})
        returned = self._permitted.returned(made, call.undone)
        assert isinstance(returned, CallSucceeded)
        sealed = self._permit.steps[call.step.id]
        read = early_read(returned.output, sealed.contract_hash, server_time())
        return StepRead(step=call.step.id, made=returned, read=self._entry.signed(sealed, read, call.epoch))

    async def _attempts(self, call: CallRequest) -> Attempt | str | None:
        """Return the outcome of the last attempt that the contract allows; None if the activity is to end.

        A text is the reason of the live gate, which lets nothing be read any more.
        """
        states = ChainStates(self._permitted)
        while not self._stopped.is_set():
            turns = RateLimiter(self._stopped)
            refused = await turns.wait_for(self._plan_id, call)
            if refused is not None or self._stopped.is_set():
                return refused
            if why := await self._consent.refused():
                return why
            if self._stopped.is_set():
                return None
            read = {**call.outputs, **self._outputs}
            attempt = await self._calls.make(self._plan_id, call, read, turns, self._permitted, states)
            if not isinstance(attempt, RetryableFailure) or attempt.turned_away or call.last_attempt:
                return attempt
            wait = options.backoff(call.attempt, attempt.after).total_seconds()
            if wait > options.MAX_BACKOFF:  # no approver waits that long for a preview
                return attempt
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopped.wait(), wait)
            call = call.model_copy(update={"attempt": call.attempt + 1})
        return None
