"""LIVE: the only activity through which a tool changes the outside world."""

import asyncio
import time
from datetime import UTC, datetime
from typing import Any

from pydantic import JsonValue
from temporalio import activity

from airlock.activities.calls.call_failures import asked_to_wait, classify
from airlock.activities.calls.call_metrics import measure, result_of
from airlock.activities.calls.lasting import told_if_it_lasts
from airlock.activities.calls.left_states import ChainStates, left_by
from airlock.activities.calls.once import OnceGuard, known_calls
from airlock.activities.calls.permitted import Permitted
from airlock.activities.calls.rate_limiter import RateLimiter
from airlock.activities.calls.sent_back import SentBackCalls
from airlock.activities.calls.still_mine import PATIENCE, clock, may_ask
from airlock.activities.calls.told_again import perhaps_made, told_again
from airlock.activities.calls.undo_token import UnkeptToken, undo_token
from airlock.activities.entry import EntryActivities, entered_in_time
from airlock.activities.functions.error_texts import describe
from airlock.activities.functions.secrets import Secrets
from airlock.activities.functions.tool_defects import explain
from airlock.activities.functions.tool_functions import BoundCall, WrongShape, as_model, checked_output, tool_of
from airlock.activities.functions.tool_runs import run
from airlock.activities.heartbeat import record_heartbeat, run_to_completion
from airlock.activities.recover import EarlierRuns
from airlock.activities.toolbox import Toolbox
from airlock.base.errors import RefError
from airlock.base.keyring import Channel, Keyring
from airlock.base.text import shorten
from airlock.gates.answers import AcquireGranted
from airlock.gates.rate_limit import MAX_HOLD_OFF
from airlock.plans.contract import Mode
from airlock.plans.drift import drift, drift_beside, matched
from airlock.plans.left_states import NotAsForeseen
from airlock.plans.outcome import (
    Attempt,
    CallFailed,
    CallInDoubt,
    CallStale,
    CallSucceeded,
    CallUnpermitted,
    RetryableFailure,
)
from airlock.plans.tool import Tool
from airlock.plans.tool_call import ToolCall
from airlock.run.handed_back import SINCE_EPOCH
from airlock.run.live.call_messages import CallRequest, ChainRequest, ChainResult
from airlock.temporal.proof_converter import Progress
from airlock.tools.common import require_mine


class CallActivities:
    """The live calls of a worker that holds the write credentials."""

    def __init__(self, toolbox: Toolbox, keyring: Keyring | None = None, entry: EntryActivities | None = None) -> None:
        self._toolbox = toolbox
        self._keyring = keyring or Keyring()
        self._entry = entry or EntryActivities(toolbox, self._keyring)
        self._policy = toolbox.policy.digest()
        self._commands = known_calls()

    @activity.defn(name="call")
    async def call(self, request: ChainRequest) -> ChainResult:
        """Make the calls of a chain in order, each at most once.

        A call begins only when the previous one succeeded, Temporal has recorded that success, and neither the plan nor
        this worker is stopping. A call that has begun is never interrupted: its outcome is returned.
        """
        self._toolbox.require_plan(request.plan_id)
        if told := told_again(request):
            return ChainResult(attempts=tuple(perhaps_made(call, told) for call in request.calls))
        attempts: list[Attempt] = []
        stopped = asyncio.Event()
        begun = SentBackCalls(request, attempts)
        work = begun.carried_out(self._entered(request, attempts, stopped), stopped)
        result = await run_to_completion(work, lambda: _dump(attempts), stopped.set)
        if begun.handed_over:
            activity.raise_complete_async()
        return result

    async def _entered(self, request: ChainRequest, attempts: list[Attempt], stopped: asyncio.Event) -> ChainResult:
        """Enter LIVE first where the request says so; make the calls if nothing but a grant came back."""
        if request.enter is None:
            return await self._chain(request, request.mark, attempts, stopped)
        async with told_if_it_lasts():
            answer = await entered_in_time(self._entry, request.enter)
            if not isinstance(answer, AcquireGranted) or answer.duplicates or stopped.is_set():
                return ChainResult(stopped=True, entered=answer)
            result = await self._chain(request.entered(answer), request.mark, attempts, stopped)
        return result.model_copy(update={"entered": answer})

    async def _chain(self, request: ChainRequest, mark: str, attempts: list[Attempt], stopped: asyncio.Event) -> ChainResult:
        turns, earlier = RateLimiter(stopped), EarlierRuns(request)
        proofs = self._keyring.demands.due(Channel.RUN, datetime.now(UTC))
        once = OnceGuard(mark, self._commands, proofs=proofs)
        permitted = Permitted(request, self._keyring, self._policy)
        states = ChainStates(permitted)
        outputs: dict[str, Any] = {}
        left_out = False
        for position, asked in enumerate(request.calls):
            # without the record, the loss of this worker in the next call would leave the earlier calls in doubt
            if position and (activity.is_worker_shutdown() or not await _recorded(attempts)):
                left_out = True
                break
            if why := permitted.objection(asked):
                attempts.append(CallUnpermitted(step=asked.step.id, error=shorten(why)))
                break
            began = clock()
            call, answered = await earlier.look(asked)
            known = (
                answered
                or await once.objection(asked)
                or self._handed_back(asked)
                or await turns.wait_for(request.plan_id, call)
            )
            if stopped.is_set():  # the stop may have come during the two awaits above; after this line a call is made
                left_out = True
                break
            turns.waited = clock() - began
            read = {**outputs, **call.outputs}
            attempt = known or await self.make(request.plan_id, call, read, turns, permitted, states)
            if known is None:
                attempt = permitted.returned(attempt, call.undone)
            attempt = states.take(attempt, now=known is None, undone=call.undone)
            attempts.append(attempt if call is asked else _counted(attempt, call.undone))
            if not isinstance(attempt, CallSucceeded) or attempt.broken:
                break
            outputs[call.step.id] = attempt.output
        return ChainResult(attempts=tuple(attempts), stopped=left_out)

    async def make(
        self, plan_id: str, request: CallRequest, outputs: dict[str, Any], turns: RateLimiter, permitted: Permitted,
        states: ChainStates,
    ) -> Attempt:  # fmt: skip
        """Make one attempt at a call whose permit was looked at and whose turn has come, and count it.

        Args:
            plan_id: The plan.
            request: The call.
            outputs: The outputs that its references read.
            turns: The rate limiter that gave it its turn.
            permitted: The permit.
            states: The states that earlier calls left.
        """
        with measure(request.contract.tool, Mode.LIVE, request.step.id) as measurement:
            attempt = await self._one(plan_id, request, outputs, turns, permitted, states)
            measurement.result = result_of(attempt)
        return attempt

    async def _one(
        self, plan_id: str, request: CallRequest, outputs: dict[str, Any], turns: RateLimiter, permitted: Permitted,
        states: ChainStates,
    ) -> Attempt:  # fmt: skip
        secrets = Secrets()
        call: ToolCall | None = None
        try:
            if refusal := self._changed_contract(request):
                return refusal
            tool = tool_of(self._toolbox.catalogue, request.contract)
            bound = BoundCall(self._toolbox, tool, request.step, outputs, request.epoch)
            if bound.unknown:
                raise RefError(f"still unknown: {', '.join(bound.unknown)}")
            observed = states.observed(request)
            drifted = drift(request.preview.args, bound.shown) if request.preview else ()
            if stale := self._drifted_too_far(request, drifted, bound.shown):
                return stale
            if why := permitted.unreceipted(request, bound.shown, outputs):
                return CallStale(step=request.step.id, error=why)
            args = as_model(tool, bound.real(secrets, must_know=True).args, complete=True)
            call = self._toolbox.call(tool, plan_id, request.step, Mode.LIVE, secrets, request.undone)
            call.attempt, call.cancelled, call.fence = request.attempt, turns.stopped.is_set, request.fence or 0
            may_ask(call)
            call.undo = secrets.restore(request.undo)
            call.observed, call.wanted = secrets.restore(observed), request.wanted
            if turns.waited > PATIENCE:
                await require_mine(call)
            started = time.monotonic()
            # from here on the call may have taken effect: every exception becomes an outcome, none may be lost
            returned = await run(tool.live, args, call, request.contract.timeout)
            undo = undo_token(call, secrets)
            leaves = left_by(call, secrets)
            output, broken = _output(tool, returned, secrets)
        except NotAsForeseen as error:
            return CallStale(step=request.step.id, error=shorten(str(error)))
        except UnkeptToken as error:
            return CallInDoubt(
                step=request.step.id, error=f"the call took effect, but {error}: undo it by hand, then settle it"
            )
        except TimeoutError as error:
            text = (
                describe(error, secrets) if str(error) else f"TimeoutError: no answer within {request.contract.timeout:g} s"
            )
            return classify(request, error, text, _token_if_any(call, secrets))
        except Exception as error:  # noqa: BLE001  # every exception of a tool becomes a typed outcome of its step
            text = explain(error, secrets, f"plan {plan_id}, step {request.step.id}, live call, attempt {request.attempt}")
            await turns.hold_off(request.contract, asked_to_wait(error, MAX_HOLD_OFF), text)
            return classify(request, error, text, _token_if_any(call, secrets))
        return CallSucceeded(
            step=request.step.id,
            output=output,
            undo=undo,
            drift=drifted,
            matched=matched(request.preview.output, output) if request.preview and not broken else None,
            attempt=request.attempt,
            seconds=round(time.monotonic() - started, 3),
            broken=broken,
            leaves=leaves,
        )

    def _drifted_too_far(self, request: CallRequest, drifted: tuple[str, ...], shown: dict[str, Any]) -> CallStale | None:
        """Return the refusal of a call with arguments that the approver did not see, unless they may differ."""
        contract = request.contract
        if not drifted or request.preview is None or contract.read_only:
            return None
        if request.epoch < 1:
            what = f"{', '.join(drifted)} differs from what was approved, and the step is {contract.risk.value} risk"
            return CallStale(step=request.step.id, error=what) if contract.guarded else None
        # what the approver was shown as open, as far as the rules of this worker still allow it
        now = {*contract.may_drift, *self._toolbox.policy.may_drift.get(contract.tool, ())}
        refused = drift_beside(request.preview.args, shown, now.intersection(request.may_drift))
        error = shorten(f"{', '.join(refused)} differs from what was approved")
        return CallStale(step=request.step.id, error=error) if refused else None

    def _handed_back(self, request: CallRequest) -> RetryableFailure | None:
        """Return the answer about a call that another worker may make: nothing was called, and no attempt was used.

        While a deployment rolls, workers of two generations share the queue.
        """
        if request.epoch < SINCE_EPOCH or not (why := self._other_contract(request)):
            return None
        activity.logger.warning("handed back the call of step %s: %s", request.step.id, why)
        return RetryableFailure(
            step=request.step.id, error=shorten(why), doubtful=False, certain=True, turned_away=True, elsewhere=True,
            undo=request.undo,
        )  # fmt: skip

    def _other_contract(self, request: CallRequest) -> str:
        return self._toolbox.other_contract(request.contract, request.step, "the one that was approved")

    def _changed_contract(self, request: CallRequest) -> CallFailed | None:
        # a plan of an earlier epoch: its workflow takes no call back
        why = self._other_contract(request)
        return CallFailed(step=request.step.id, error=why, attempt=request.attempt) if why else None


def _output(tool: Tool, returned: Any, secrets: Secrets) -> tuple[Any, str]:
    """Return the output of a call that took effect and ""; or None and the reason why its output is unusable."""
    try:
        return checked_output(tool, secrets.redact(checked_output(tool, returned))), ""
    except WrongShape as error:
        return None, f"the call took effect, but {describe(error, secrets)}"


def _token_if_any(call: ToolCall | None, secrets: Secrets) -> JsonValue:
    try:
        return undo_token(call, secrets) if call else None
    except UnkeptToken:
        return None


def _counted(attempt: Attempt, undone: int) -> Attempt:
    """Add to an attempt how often its call was undone before; a run that was reset does not know it."""
    return (
        attempt.model_copy(update={"undone": undone})
        if isinstance(attempt, CallSucceeded | CallFailed | CallInDoubt)
        else attempt
    )


async def _recorded(attempts: list[Attempt]) -> bool:
    """Record the finished attempts with Temporal. Return False if that fails, or if the plan asked to stop.

    Without this record nothing would tell which calls were made when the worker dies in the next one.
    """
    try:
        await record_heartbeat(_dump(attempts))
    except Exception:  # noqa: BLE001  # cancelled, paused, timed out or unreachable: in each case the next call must not begin
        return False
    return True


def _dump(attempts: list[Attempt]) -> Progress:
    return Progress(attempt.model_dump(mode="json") for attempt in attempts)
