"""Amendments by the agent that proposed a plan: its own steps, and nothing that approves anything."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from airlock.admission.examination import Examination, examine
from airlock.base.errors import AirlockError, PlanError, Problem
from airlock.base.text import listed
from airlock.client.plan_handle import PlanHandle
from airlock.mcp.proposals import Configured, foreign_steps, kept_by_agent
from airlock.plans.plan import parse_plan
from airlock.plans.state import State
from airlock.run.presentation.views import PreviewView
from airlock.run.sealing.sealed import Sealed

PREVIEWED_WITHIN: Final = 20.0
"""Seconds to wait for the preview of a plan that is being rehearsed."""
_EVERY = 0.5
_REHEARSING = (State.MOCK, State.DRY_RUN)


class NotAmended(AirlockError):
    """The run refused an amendment; the plan stays as it was."""


async def amend(
    handle: PlanHandle, agent: str, steps: Any, remove: Sequence[str], reason: str, configured: Configured | None
) -> str:
    """Amend a plan of an agent; return in one sentence what changes.

    Args:
        handle: The plan.
        agent: The agent that proposed it.
        steps: The whole steps that take the place of those of their ids, or are added.
        remove: The ids of the steps to remove.
        reason: The reason, which the approver reads.
        configured: The operator's configuration and catalogue, if this process has them.

    Raises:
        PlanError: With every problem of the amended plan that can be seen here; nothing was sent.
        NotAmended: If the run refuses it.
        AirlockError: If the plan does not answer or has ended.
    """
    preview = await _previewed(handle)
    own = _owned(steps, agent)
    if not own and not remove:
        fix = "give whole steps in `steps`, or ids in `remove`"
        raise PlanError([Problem(where="steps", message="is empty, and nothing is to be removed", fix=fix)])
    if preview.sealed is not None:
        findings = amended(preview.sealed, own, remove, agent, configured)
        if findings.problems:
            raise PlanError(findings.problems)
    verdict = await handle.amend(own, by=agent, reason=reason.strip() or "amended by its agent", remove=remove,
                                 digest=preview.digest)  # fmt: skip
    if not verdict.accepted:
        raise NotAmended(verdict.reason)
    changed = [path.removeprefix("steps.") for path in verdict.changed]
    return f"Amended: {listed(changed)}. What changed is rehearsed again, and a person must approve it."


async def _previewed(handle: PlanHandle) -> PreviewView:
    """Return the preview of a plan; one that is being made is waited for a while."""
    until = time.monotonic() + PREVIEWED_WITHIN
    while True:
        preview = await handle.preview()
        if preview.state not in _REHEARSING or time.monotonic() > until:
            return preview
        await asyncio.sleep(_EVERY)


def _owned(steps: Any, agent: str) -> list[Any]:
    """Return the steps with the agent as theirs."""
    if not isinstance(steps, list) or not all(isinstance(step, Mapping) for step in steps):
        problem = Problem(where="steps", message="is not a list of steps", fix='write [{"id": ..., "tool": ..., ...}]')
        raise PlanError([problem])
    if foreign := foreign_steps(steps, agent):
        raise PlanError(foreign)
    return [{**step, "agent": agent} for step in steps]


def amended(
    sealed: Sealed, own: Sequence[Mapping[str, Any]], remove: Sequence[str], agent: str, configured: Configured | None
) -> Examination:
    """Examine the plan that an amendment would make.

    Args:
        sealed: The preview that is amended.
        own: The steps of the agent.
        remove: The ids of the steps to remove.
        agent: The agent.
        configured: The operator's configuration and catalogue; None examines the plan alone.

    Raises:
        PlanError: If it would be no plan.
    """
    known = {step.id for step in sealed.steps}
    unknown = [step for step in remove if step not in known]
    if unknown:
        message = f"there is no step {unknown[0][:64]!r} in this plan"
        raise PlanError([Problem(where="remove", message=message, fix=f"name some of {listed(sorted(known))}")])
    given = {str(step.get("id")): step for step in own}
    kept = [_as_planned(step.model_dump(mode="json")) for step in sealed.steps if step.id not in {*given, *remove}]
    plan = parse_plan({
        "plan_id": sealed.plan_id, "goal": sealed.goal, "requested_by": sealed.requested_by, "deadline": sealed.deadline,
        "steps": [*kept, *own],
    })  # fmt: skip
    catalogue, policy = (configured[1], configured[0].policy) if configured else (None, None)
    findings = examine(plan, catalogue, policy)
    return findings if findings.problems else kept_by_agent(findings, agent, among=given)


def _as_planned(step: Mapping[str, Any]) -> dict[str, Any]:
    found = {name: step[name] for name in ("id", "tool", "args", "confidence", "after", "dedupe_key")}
    return {**found, "agent": step["moved_from"] or step["agent"]}
