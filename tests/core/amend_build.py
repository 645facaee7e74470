"""Builders shared by the tests of amendments: a plan, the message that changes it, and what counts for it then."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from airlock.admission.examination import examine as examine_plan
from airlock.admission.policy import Policy
from airlock.base.incoming import Verdict
from airlock.gates.protocol import EntryRefused
from airlock.plans.contract import Mode
from airlock.plans.outcome import StepPreview
from airlock.plans.plan import Step
from airlock.plans.state import Event, State
from airlock.run.decisions.amending import amend, amended_plan, judge_amendment
from airlock.run.decisions.evidence import Evidence, evidence_of
from airlock.run.decisions.permission import Permission, examine
from airlock.run.decisions.vote_scope import voices
from airlock.run.kept_previews import keep_previews
from airlock.run.messages import Amend, parse_message
from airlock.run.rehearsal import begin_previews, seal_run, take_mocks, take_previews
from airlock.run.state import Run
from tests.core.build import NOW, catalogue, later, plan, policy, preview, step

TWO = policy(approvals_required=2)
PLAN = plan(step("a"), step("b"), step("c", "write", "a", "b"), step("d", "order", "c"), step("e", "order"))
OTHER_C = step("c", "write", "a", "b", args={"key": "other"})


def sent(run: Run, *steps: Step, by: str = "author", **more: Any) -> Amend:
    """Return an amendment as a run gets it."""
    fields = {"by": by, "reason": "a better idea", "steps": [each.model_dump(mode="json") for each in steps], **more}
    message = parse_message("amend", (fields,))
    assert isinstance(message, Amend)
    return message


def judged(run: Run, message: Amend, rules: Policy, now: datetime = NOW) -> Verdict:
    """Amend a run as the workflow does, up to the verdict."""
    verdict = judge_amendment(run, message)
    if not verdict.accepted:
        return verdict
    proposed = amended_plan(run.plan, message)
    return amend(run, message, proposed, examine_plan(proposed, catalogue(), rules).admission, now)


def seal_again(run: Run, previews: Mapping[str, StepPreview], now: datetime = NOW) -> tuple[str, ...]:
    """Rehearse an amended run up to its next seal; return the steps that were previewed again."""
    take_mocks(run, [])
    run.apply(Event.REHEARSED, now)
    begin_previews(run)
    keep_previews(run, now)
    again = tuple(name for name in run.left(Mode.DRY_RUN) if name not in run.previews)
    take_previews(run, [previews.get(name) or preview(name) for name in again])
    seal_run(run, now)
    run.apply(Event.PREVIEWED, now)
    return again


def change(
    run: Run, *steps: Step, by: str = "author", rules: Policy = TWO, now: datetime = NOW, **more: Any
) -> tuple[str, ...]:
    """Amend a run that waits for approval, up to its next seal; return the steps that were previewed again."""
    previews = more.pop("previews", {})
    verdict = judged(run, sent(run, *steps, by=by, **more), rules, now)
    assert verdict.accepted, verdict
    assert run.state is State.MOCK
    return seal_again(run, previews, now)


def counted(run: Run) -> dict[str, tuple[str, ...]]:
    return voices(run, run.votes)


def shown(run: Run) -> Evidence:
    found = evidence_of(run)
    assert found is not None
    return found


def permitted(evidence: Evidence, today: Policy = TWO, hours: float = 0.0) -> Permission | EntryRefused:
    travelled = Evidence.model_validate(evidence.model_dump(mode="json"))
    return examine(travelled, today, catalogue(), "plan-p-1", later(hours))
