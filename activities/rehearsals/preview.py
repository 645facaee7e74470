"""DRY_RUN: the tools read the real systems and describe the effect of a live call."""

import asyncio
from collections.abc import Iterable
from functools import partial
from typing import Any

from pydantic import TypeAdapter
from temporalio import activity

from airlock.activities.calls.call_metrics import measure
from airlock.activities.functions.secrets import Secrets
from airlock.activities.functions.tool_defects import explain
from airlock.activities.functions.tool_functions import BoundCall, as_model, tool_of
from airlock.activities.functions.tool_runs import run
from airlock.activities.heartbeat import run_to_completion
from airlock.activities.rehearsals.elsewhere import require_contracts
from airlock.activities.rehearsals.rehearsal_tries import Stopped, could_not_look, repeated
from airlock.activities.toolbox import Toolbox
from airlock.admission.rules.step_rules import cleared_by_preview
from airlock.base.canonical import bounded_json, canonical_json, require_bounded
from airlock.base.errors import ToolFailed
from airlock.base.metrics import CallResult
from airlock.base.text import MAX_OUTPUT_BYTES, shorten
from airlock.plans.contract import Contract, Mode
from airlock.plans.graph import waves
from airlock.plans.left_states import relies_on
from airlock.plans.outcome import Previewed, PreviewFailed, PreviewOutcome, StepPreview
from airlock.plans.own_steps import Left, LeftUnknown, OwnSteps, handed_on
from airlock.plans.plan import Step
from airlock.plans.refs import UNKNOWN
from airlock.plans.tool import Tool
from airlock.plans.tool_call import Preview, ToolCall
from airlock.temporal.proof_converter import Progress, Unproven
from airlock.wire import PreviewResult, RehearsalRequest

PAYLOAD_BUDGET = 1_000_000
"""Bytes of JSON in an activity's previews from which it begins no further step."""
CONCURRENCY = 8
"""Dry runs at the same time in one activity."""
TOO_LARGE = f"its preview is larger than {MAX_OUTPUT_BYTES:,} bytes"
_OUTCOMES = TypeAdapter(list[PreviewOutcome])


def progress_left() -> list[Any]:
    """Return the progress that an earlier attempt at this activity recorded; empty if there is none, or it is not proved."""
    details = [left for left in activity.info().heartbeat_details if not isinstance(left, Unproven)]
    return list(details[0]) if details else []


def outcomes_in(progress: list[Any]) -> list[PreviewOutcome]:
    """Return the outcomes of dry runs that a progress holds."""
    return _OUTCOMES.validate_python(progress)


class PreviewActivities:
    """The dry runs of a worker that needs no write credentials."""

    def __init__(self, toolbox: Toolbox) -> None:
        self._toolbox = toolbox

    @activity.defn(name="preview")
    async def preview(self, request: RehearsalRequest) -> PreviewResult:
        """Preview steps in dependency order, independent ones in parallel.

        After the loss of a worker, the next attempt continues after the last heartbeat. Descendants of a step whose dry run
        failed are left out: they cannot go live. Where a target does not answer, its dry run is tried again; after the last
        try no further step is looked at, because the plan is not rehearsed.

        Raises:
            ApplicationError: If this worker has other contracts than those of the plan.
        """
        require_contracts(self._toolbox, request)
        done = outcomes_in(progress_left())
        # each is dumped once: every heartbeat of a long rehearsal would otherwise dump the whole plan
        dumped = [outcome.model_dump(mode="json") for outcome in done]
        stopped = asyncio.Event()
        return await run_to_completion(
            self.preview_all(request, done, dumped, stopped, PAYLOAD_BUDGET), lambda: Progress(dumped), stopped.set
        )

    async def preview_all(
        self, request: RehearsalRequest, done: list[PreviewOutcome], dumped: list[dict[str, Any]], stopped: asyncio.Event,
        budget: int,
    ) -> PreviewResult:  # fmt: skip
        """Preview steps in dependency order until the event is set, or so many bytes of JSON are spent.

        Args:
            request: The steps.
            done: The outcomes of an earlier attempt; this one adds to them.
            dumped: The same as JSON, for the heartbeats.
            stopped: Set when no further dry run is to begin.
            budget: Bytes of JSON in `dumped` from which no further dry run begins.
        """
        by_id = {step.id: step for step in request.steps}
        parents = request.edges
        own = OwnSteps(request.parents or {})
        for step, leaves in request.leaves.items():
            own.add(step, leaves)
        for step, names in request.others.items():  # their states are of no use here: no step of this request sees them
            own.add(step, dict.fromkeys(names, Left(seen=UNKNOWN)))
        outputs = dict(request.outputs)
        failed: set[str] = set()
        finished = {outcome.step for outcome in done}
        for outcome in done:
            _note(outcome, outputs, failed, own)
        size = sum(len(canonical_json(outcome)) for outcome in dumped)
        for wave in waves(parents, by_id):
            for start in range(0, len(wave), CONCURRENCY):
                group = [step for step in wave[start : start + CONCURRENCY] if step not in finished]
                group = [step for step in group if not failed.intersection(parents[step])]
                failed.update(step for step in wave[start : start + CONCURRENCY] if failed.intersection(parents[step]))
                if stopped.is_set() or (size > budget and group):
                    return _result(done, by_id, failed, own)
                looks = [self._counted(request, by_id[step], outputs, own, stopped) for step in group]
                for looked in await asyncio.gather(*looks):
                    if looked is None:
                        continue
                    done.append(looked)
                    _note(looked, outputs, failed, own)
                    dumped.append(looked.model_dump(mode="json"))
                    size += len(canonical_json(dumped[-1]))
                if any(isinstance(outcome, PreviewFailed) and outcome.unlooked for outcome in done):
                    return PreviewResult(previews=tuple(done))
        return _result(done, by_id, failed, own)

    async def _counted(
        self, request: RehearsalRequest, step: Step, outputs: dict[str, Any], own: OwnSteps, stopped: asyncio.Event
    ) -> PreviewOutcome | None:
        """Return the outcome of a dry run; None if the activity was stopped before its next try."""
        with measure(request.contracts[request.contract_of[step.id]].tool, Mode.DRY_RUN, step.id) as measurement:
            outcome = await self._one(request, step, outputs, own, stopped)
            if outcome is None or isinstance(outcome, PreviewFailed):
                measurement.result = CallResult.FAILED
            else:
                measurement.result = CallResult.WORKED if outcome.looked else CallResult.NOT_LOOKED
        return outcome

    async def _one(
        self, request: RehearsalRequest, step: Step, outputs: dict[str, Any], own: OwnSteps, stopped: asyncio.Event
    ) -> PreviewOutcome | None:
        secrets = Secrets()
        contract = request.contracts[request.contract_of[step.id]]
        during = f"plan {request.plan_id}, step {step.id}, dry run"
        try:
            preview = await repeated(lambda: self._look(request, step, contract, outputs, own, secrets), stopped)
            cleared = cleared_by_preview(step, contract, self._toolbox.policy, preview.args, request.epoch)
            preview = preview.model_copy(update={"cleared_rules": cleared}) if cleared else preview
            if _too_large(preview) and _too_large(preview := preview.without_former()):
                raise ToolFailed(TOO_LARGE)
        except Stopped:
            return None
        except TimeoutError as error:
            text = explain(error, secrets, during) if str(error) else f"it took longer than {contract.timeout:g} s"
            return PreviewFailed(step=step.id, error=text, unlooked=True)
        except Exception as error:  # noqa: BLE001  # any exception of a dry run lowers the ceiling of its step
            return PreviewFailed(step=step.id, error=explain(error, secrets, during), unlooked=could_not_look(error))
        return preview

    async def _look(
        self, request: RehearsalRequest, step: Step, contract: Contract, outputs: dict[str, Any], own: OwnSteps,
        secrets: Secrets,
    ) -> Previewed:  # fmt: skip
        tool = tool_of(self._toolbox.catalogue, contract)
        self._toolbox.require_permissions(step)  # whatever the request says: a dry run reads
        self._toolbox.require_grants(step)
        bound = BoundCall(self._toolbox, tool, step, outputs, request.epoch)
        function = tool.functions.get("dry_run")
        if function is None or not contract.has_dry_run:
            return _not_looked(step, bound, f"calls {tool.name}; it has no dry run {UNKNOWN}")
        real = bound.real(secrets, must_know=False)
        if real.unknown and not tool.partial:
            return _not_looked(step, bound, f"calls {tool.name}; {', '.join(real.unknown)} {UNKNOWN}")
        args = _model(tool, real.args, partly=bool(real.unknown))
        if args is None:
            return _not_looked(step, bound, f"calls {tool.name}; {', '.join(real.unknown)} {UNKNOWN}")
        call = self._toolbox.call(tool, request.plan_id, step, Mode.DRY_RUN, secrets)
        call.unknown = real.unknown
        call.refs = {path: bound.derived[path] for path in real.unknown if path in bound.derived}
        call.follows_writes = step.id in request.behind_writes
        call.look_before, call.look_before_all = partial(own.before, step.id), partial(own.all_before, step.id)
        try:
            said = await run(function, args, call, contract.timeout)
        except LeftUnknown as unknown:  # the live call compares with what it cannot equal, unless it gets to know it
            not_looked = _not_looked(step, bound, f"calls {tool.name}; {unknown}")
            if contract.read_only:  # it compares with nothing
                return not_looked
            follows = {**_steps(call), unknown.name: unknown.step}
            # whatever it changes there, the step after it finds it changed
            leaves = {name: Left(seen=UNKNOWN) for name in follows}
            return not_looked.model_copy(update={"observed": UNKNOWN, "follows": follows, "leaves": leaves})
        if not isinstance(said, Preview):
            raise ToolFailed(f"the dry run of {tool.name} must return a Preview, it returned {type(said).__name__}")
        require_bounded(vars(said))
        _require_relied_on(said, call, contract)
        leaves = {} if request.parents is None else handed_on(said.leaves, secrets.redact)  # for runs of older epochs
        answer = said.model_dump(mode="json", exclude={"leaves"})
        if len(bounded_json(answer)) > MAX_OUTPUT_BYTES:  # the search for secrets takes time, so it is looked at first
            raise ToolFailed(TOO_LARGE)
        observed = secrets.keep(answer.pop("observed"))  # the live call gets it as the tool said it
        said = Preview.model_validate({**secrets.redact(answer), "observed": observed})
        return Previewed(
            step=step.id,
            looked=True,
            effect=shorten(said.effect),
            args=bound.shown,
            output=said.output,
            observed=said.observed,
            undo=None if said.undo is None else shorten(said.undo),
            derived=bound.derived,
            follows=_steps(call),
            former=said.former,
            seen_before=request.writers_before(step.id) if contract.read_only and not call.asks_before else (),
            leaves=leaves,
        )


def _too_large(preview: StepPreview) -> bool:
    return len(bounded_json(preview.model_dump(mode="json"))) > MAX_OUTPUT_BYTES


def _steps(call: ToolCall) -> dict[str, str]:
    return {name: earlier.step for name, earlier in call.follows.items()}


def _require_relied_on(said: Preview, call: ToolCall, contract: Contract) -> None:
    """Raise `ToolFailed` if a call would not compare with the state that its dry run was told of."""
    for name, earlier in call.follows.items():
        if not contract.read_only and not relies_on(said.observed, name, earlier.seen):
            raise ToolFailed(
                f"the dry run of {contract.tool} asked for {name!r} as step {earlier.step!r} leaves it: it must return what "
                "it got, `seen`, as `observed`"
            )


def _model(tool: Tool, args: dict[str, Any], *, partly: bool) -> Any:
    try:
        return as_model(tool, args, complete=True)
    except ToolFailed:
        if partly:  # the placeholder of an unknown value does not fit the field's type
            return None
        raise


def _not_looked(step: Step, bound: BoundCall, effect: str) -> Previewed:
    return Previewed(step=step.id, looked=False, effect=effect, args=bound.shown, derived=bound.derived)


def _result(done: list[PreviewOutcome], asked: Iterable[str], failed: set[str], own: OwnSteps) -> PreviewResult:
    """Return the outcomes with the steps that were not looked at, though they could go further."""
    answered = {outcome.step for outcome in done} | failed
    beside = own.beside()
    previews = tuple(
        outcome.model_copy(update={"beside": beside[outcome.step]}) if outcome.step in beside else outcome
        for outcome in done
    )
    return PreviewResult(previews=previews, remaining=tuple(step for step in asked if step not in answered))


def _note(outcome: PreviewOutcome, outputs: dict[str, Any], failed: set[str], own: OwnSteps) -> None:
    if isinstance(outcome, PreviewFailed):
        failed.add(outcome.step)
    else:
        outputs[outcome.step] = outcome.output
        own.add(outcome.step, outcome.leaves)
