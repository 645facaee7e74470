"""ROLLBACK: compensations of live calls, and probes of calls in doubt."""

from datetime import timedelta
from typing import Any

from temporalio import activity
from temporalio.exceptions import ApplicationError

from airlock.activities.calls.call_failures import asked_to_wait, asked_too_much
from airlock.activities.calls.call_metrics import ROLLBACK, measure
from airlock.activities.calls.question_guard import QuestionGuard
from airlock.activities.calls.still_mine import may_ask
from airlock.activities.calls.undo_token import undo_token
from airlock.activities.functions.secrets import Secrets
from airlock.activities.functions.tool_defects import explain
from airlock.activities.functions.tool_functions import as_model, bind_real, checked_output, tool_of
from airlock.activities.functions.tool_runs import run
from airlock.activities.heartbeat import run_to_completion
from airlock.activities.options import LONGEST_PAUSE, PROBE_ATTEMPTS, undo_attempts
from airlock.activities.rehearsals.rehearsal_tries import could_not_look
from airlock.activities.toolbox import Toolbox
from airlock.base.canonical import require_bounded
from airlock.base.errors import RefError, ToolFailed
from airlock.base.keyring import Keyring
from airlock.base.metrics import CallResult
from airlock.base.text import MAX_OUTPUT_BYTES, shorten
from airlock.plans.contract import Mode
from airlock.plans.outcome import ProbeAnswer, Undone, UndoOutcome
from airlock.plans.outcome import UndoFailed as UndoFailedOutcome
from airlock.plans.tool import Tool
from airlock.plans.tool_call import Probe, ToolCall
from airlock.run.live.call_messages import MadeCall

RETRY_TYPE = "CompensationFailed"


class CompensateActivities:
    """Compensations and probes, with the credentials of live calls.

    Their queue is separate from that of live calls, so that a rollback never waits behind a backlog.
    """

    def __init__(self, toolbox: Toolbox, keyring: Keyring | None = None) -> None:
        self._toolbox = toolbox
        self._guard = QuestionGuard(keyring or Keyring())

    @activity.defn(name="compensate")
    async def compensate(self, request: MadeCall) -> UndoOutcome:
        """Compensate one live call; return `UndoFailed` when the last attempt failed.

        Raises:
            ApplicationError: If an attempt failed that Temporal may retry.
        """
        self._toolbox.require_plan(request.plan_id, undo=True)
        return await run_to_completion(self._counted(request), lambda: None, lambda: None)

    async def _counted(self, request: MadeCall) -> UndoOutcome:
        with measure(request.contract.tool, ROLLBACK, request.step.id) as measurement:
            outcome = await self._undo(request)
            measurement.result = CallResult.WORKED if isinstance(outcome, Undone) else CallResult.FAILED
        return outcome

    async def _undo(self, request: MadeCall) -> UndoOutcome:
        secrets = Secrets()
        if why := await self._guard.objection():
            return UndoFailedOutcome(step=request.step.id, error=shorten(f"nothing was undone now: {why}"))
        try:
            tool, args, call = self._prepare(request, secrets)
            function = tool.functions.get("compensate")
            if function is None:
                raise ToolFailed(f"{tool.name} has no compensate function on this worker", retry=True)
            await run(function, args, call, request.contract.timeout)
        except Exception as error:  # noqa: BLE001  # any exception is retried, then parks the plan
            call_of = f"plan {request.plan_id}, step {request.step.id}"
            text = explain(error, secrets, f"{call_of}, undo, attempt {activity.info().attempt}")
            hopeless = (isinstance(error, ToolFailed) and not error.retry) or asked_too_much(error)
            if hopeless or activity.info().attempt >= undo_attempts(request.contract):
                return UndoFailedOutcome(step=request.step.id, error=text)
            raise _again(error, text) from None
        return Undone(step=request.step.id)

    @activity.defn(name="probe")
    async def probe(self, request: MadeCall) -> ProbeAnswer:
        """Ask a tool whether a call in doubt took effect. A probe that fails returns `happened=None`.

        Raises:
            ApplicationError: If the target did not answer now, so that Temporal asks again.
        """
        return await run_to_completion(self._ask(request), lambda: None, lambda: None)

    async def _ask(self, request: MadeCall) -> ProbeAnswer:
        secrets = Secrets()
        if why := await self._guard.objection():
            return ProbeAnswer(step=request.step.id, happened=None, why=shorten(f"nothing was asked: {why}"))
        try:
            tool, args, call = self._prepare(request, secrets)
            function = tool.functions.get("probe")
            if function is None and request.contract.has_probe:  # while a deployment rolls, another worker may have it
                raise ToolFailed(f"{tool.name} has no probe on this worker", retry=True)
            if function is None:
                return ProbeAnswer(step=request.step.id, happened=None, why=f"{tool.name} has no probe")
            said = await run(function, args, call, request.contract.timeout)
            if not isinstance(said, Probe):
                raise ToolFailed(f"the probe of {tool.name} must return a Probe, it returned {type(said).__name__}")
            require_bounded(vars(said))
            known = said.happened and said.output is not None  # a probe may know that it happened, and not the answer
            output = secrets.redact(checked_output(tool, said.output)) if known else None
            undo = undo_token(call, secrets)
            why = shorten(str(secrets.redact(said.why[:MAX_OUTPUT_BYTES])))
        except Exception as error:  # noqa: BLE001  # a probe that fails leaves the call in doubt
            text = explain(error, secrets, f"plan {request.plan_id}, step {request.step.id}, probe")
            if _may_ask_again(error):
                raise _again(error, text) from None
            return ProbeAnswer(step=request.step.id, happened=None, why=text)
        return ProbeAnswer(step=request.step.id, happened=said.happened, output=output, undo=undo, why=why)

    def _prepare(self, request: MadeCall, secrets: Secrets) -> tuple[Tool, Any, ToolCall]:
        try:
            tool = tool_of(self._toolbox.catalogue, request.contract)
        except ToolFailed as error:  # while a deployment rolls, another worker may have it
            raise ToolFailed(str(error), retry=True) from None
        try:
            bound = bind_real(self._toolbox, request.step, request.outputs, secrets, must_know=False).args
        except RefError:
            bound = dict(request.step.args)  # an output was discarded; the undo token suffices
        args = as_model(tool, bound, complete=False)
        call = self._toolbox.call(tool, request.plan_id, request.step, Mode.LIVE, secrets, request.undone)
        # Temporal repeats a compensation with the same request
        call.undo, call.fence = secrets.restore(request.undo), request.fence + activity.info().attempt - 1
        may_ask(call)
        return tool, args, call


def _again(error: Exception, text: str) -> ApplicationError:
    """Return the failure after which Temporal makes another attempt, and not before the target asked for it."""
    asked = asked_to_wait(error)
    return ApplicationError(text, type=RETRY_TYPE, next_retry_delay=timedelta(seconds=asked) if asked else None)


def _may_ask_again(error: Exception) -> bool:
    # a probe that took all its time is not asked again: its thread may still hang
    slow = isinstance(error, TimeoutError) or asked_to_wait(error) > LONGEST_PAUSE
    return could_not_look(error) and not slow and activity.info().attempt < PROBE_ATTEMPTS
