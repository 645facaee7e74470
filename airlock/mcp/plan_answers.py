"""The status of a plan in the words of an agent: what is in effect, what a person must do, and what to do next."""

from collections.abc import Collection

from airlock.base.text import listed, quoted
from airlock.mcp.answers import Phase, PlanAnswer, StepState
from airlock.mcp.instructions import not_in_effect
from airlock.mcp.masking import all_foreign, bounded, foreign
from airlock.mcp.own_plans import Seen
from airlock.plans.state import State
from airlock.run.outcome import Outcome
from airlock.run.presentation.agent_words import KEEP_ON
from airlock.run.presentation.last_status import last_status
from airlock.run.presentation.views import PlanResult, StatusView, StepView, rehearsal_failed

GOOD = (Outcome.COMPLETED, Outcome.PARTIAL, Outcome.REHEARSED)
"""The outcomes of plans in which nothing went wrong."""
WITHDRAWN = "withdrawn by its agent: "
"""The beginning of the reason of a plan that its agent withdrew."""
_PHASES = {
    State.MOCK: Phase.REHEARSING,
    State.DRY_RUN: Phase.REHEARSING,
    State.AWAITING_APPROVAL: Phase.WAITING_FOR_APPROVAL,
    State.LIVE: Phase.LIVE,
    State.ROLLBACK: Phase.UNDOING,
    State.LOCKED: Phase.LOCKED,
}
_NEXT = {
    Phase.REHEARSING: "It is being rehearsed; nothing is in effect yet. Look again with wait_for_plan.",
    Phase.WAITING_FOR_APPROVAL: (
        "A person must approve it; nothing is in effect yet. Tell the user that the plan waits for an approver (they see it "
        "with: airlock show PLAN_ID), and look again later with wait_for_plan or plan_status."
    ),
    Phase.LIVE: "Its calls are being made. Look again with wait_for_plan; do not propose it again.",
    Phase.UNDOING: "Its calls are being undone. Look again with wait_for_plan; do not propose it again.",
    Phase.LOCKED: "A person has stopped it, or must settle a step. Tell the user; you can do nothing about it.",
}
_NO_WORKER = (
    "No worker answers, so nothing is known beyond this. The plan is safe in Temporal: look again later with plan_status."
)


def plan_answer(seen: Seen, *, already: bool = False) -> PlanAnswer:
    """Return the answer about a plan, open or ended."""
    plan_id = seen.handle.plan_id
    if seen.result is not None:
        return _ended(seen, seen.result, already=already)
    if not seen.open:
        why = f"the run ended without a result ({seen.facts.summary.status.lower()})"
        said = not_in_effect("unknown", "without a result", why)
        return PlanAnswer(
            plan_id=plan_id, phase=Phase.ENDED, why=why, already_proposed=already, next=f"{said} Tell the user."
        )
    if seen.status is None:
        return PlanAnswer(plan_id=plan_id, already_proposed=already, next=_NO_WORKER)
    return _open(plan_id, seen.status, already=already)


def _open(plan_id: str, status: StatusView, *, already: bool) -> PlanAnswer:
    # a run tells its outcome while it still gives back its slots
    phase = _PHASES.get(status.state, Phase.ENDED)
    ending = status.outcome is not None or phase is Phase.ENDED
    said = "It has ended; look once more with plan_status." if ending else _NEXT[phase].replace("PLAN_ID", plan_id)
    if phase is Phase.WAITING_FOR_APPROVAL and not ending:
        said = f"{said} It waits for {foreign(status.waits_for)}."
    return PlanAnswer(
        plan_id=plan_id,
        phase=phase,
        why=foreign(status.why),
        already_proposed=already,
        since=status.since,
        approval_until=status.expires_at if phase is Phase.WAITING_FOR_APPROVAL else None,
        steps=_steps(status.steps, status.outcome, status.why),
        in_effect=tuple(step.id for step in status.steps if step.status == "live" and step.reversibility != "read_only"),
        unsettled=status.parked,
        next=said,
    )


def _ended(seen: Seen, result: PlanResult, *, already: bool) -> PlanAnswer:
    undone, said = _undone_since(seen, result)
    return PlanAnswer(
        plan_id=seen.handle.plan_id,
        phase=Phase.ENDED,
        outcome=result.outcome.value,
        why=foreign(result.why),
        already_proposed=already,
        steps=_steps(result.steps, result.outcome, result.why, undone),
        in_effect=tuple(step for step in result.live if step not in undone),
        undone=(*result.undone, *undone),
        unsettled=result.not_settled,
        outputs={step: bounded(output) for step, output in result.outputs.items()},
        next=said or _afterwards(result, already=already),
    )


def _undone_since(seen: Seen, result: PlanResult) -> tuple[tuple[str, ...], str]:
    """Return the steps that an undo took back after the plan had ended, and what the agent is told; none without an undo."""
    if seen.undo is None:
        return (), ""
    if seen.undo.summary.open:
        return (), "People are about to undo this plan after its end. Tell the user, and look again with plan_status."
    if seen.undo.result is None:
        return (), "An undo of this plan ended without a result: what is in effect is not known. Tell the user."
    undone = tuple(step for step in seen.undo.result.undone if step in result.live)
    if not undone:
        return (), ""
    return undone, f"People have undone after its end: {listed(undone)}. Tell the user. {KEEP_ON}"


def _afterwards(result: PlanResult, *, already: bool) -> str:
    again = " It was proposed before: to do it once more on purpose, give another plan_id." if already else ""
    if result.outcome is Outcome.COMPLETED:
        return f"Every step is in effect. Report what was done.{again}"
    if rehearsal_failed(result):
        return f"A rehearsal failed, so nothing is in effect: fix what the reasons of the steps say.{again}"
    if result.outcome is Outcome.REHEARSED:
        return f"It was rehearsed only, so nothing is in effect: see the reasons of the steps.{again}"
    if result.outcome is Outcome.PARTIAL:
        return f"Only the steps of in_effect happened; the reasons of the others say why not. Tell the user.{again}"
    if result.live or result.not_settled:
        names = ", ".join((*result.live, *result.not_settled))
        return (
            f"The plan ended {result.outcome.value}: {quoted(result.why, 2_000)}. "
            f"Still in effect, or not settled: {names}. Tell the user."
        )
    said = not_in_effect(result.state.value.lower(), result.outcome.value, result.why)
    return f"{said}{again}"


def _steps(
    steps: tuple[StepView, ...], outcome: Outcome | None, why: str, undone: Collection[str] = ()
) -> tuple[StepState, ...]:
    withdrawn = outcome is Outcome.ABORTED and why.startswith(WITHDRAWN)

    def status(step: StepView) -> str:
        if step.id in undone:
            return "undone"
        return "withdrawn" if withdrawn and step.status == "waiting" else last_status(step, outcome)

    return tuple(
        StepState(
            id=step.id,
            tool=step.tool,
            status=status(step),
            ceiling=None if step.ceiling is None else step.ceiling.value,
            reasons=all_foreign(step.reasons),
            error=foreign(step.error),
        )
        for step in steps
    )
