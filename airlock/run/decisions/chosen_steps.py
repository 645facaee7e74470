"""The steps of a seal that can be approved without the others: what each depends on goes live with it, or is live."""

from collections.abc import Collection, Mapping, Sequence

from airlock.plans.contract import Mode
from airlock.plans.plan import Plan
from airlock.run.sealing.sealed import Sealed, SealedStep


def closed(sealed: Sealed, steps: Sequence[str]) -> tuple[str, ...]:
    """Return the given steps whose dependencies are all live or given too: a live call never reads a previewed output."""
    live = {step.id for step in sealed.steps if step.already_live}
    after = {step.id: step.after for step in sealed.steps}
    kept: list[str] = []
    for step in steps:
        if all(parent in live for parent in after[step]):
            live.add(step)
            kept.append(step)
    return tuple(kept)


def steps_problem(plan: Plan, sealed: Sealed, steps: Sequence[str] | None) -> str | None:
    """Return why these steps cannot be approved by themselves; None if they can, or if the whole plan is."""
    if steps is None:
        return None
    if not steps:
        return "steps is empty: name steps, or leave it out to approve the whole plan"
    known, chosen = {step.id: step for step in sealed.steps}, set(steps)
    for step in steps:
        if step not in known:
            return plan.no_step(step)
        if known[step].ceiling is not Mode.LIVE or known[step].already_live:
            return f"step {step!r} cannot go live: " + (
                "it is live already" if known[step].already_live else known[step].reasons[0]
            )
    # a waived step goes live with the chosen ones only if everything it depends on does
    waived = {step.id for step in sealed.steps if step.approval_waived}
    going = set(closed(sealed, tuple(step for step in sealed.live_steps if step in chosen or step in waived)))
    for step in known:
        if step in chosen and step not in going:
            missing = _unapproved(known, step, chosen | waived)
            return f"step {step!r} depends on {', '.join(missing)}: approve that too"
    return None


def _unapproved(known: Mapping[str, SealedStep], step: str, going: Collection[str]) -> tuple[str, ...]:
    """Return the direct and indirect dependencies of a step that are neither live nor going live, sorted."""
    missing: set[str] = set()
    seen, open_steps = {step}, [step]
    while open_steps:
        for parent in known[open_steps.pop()].after:
            if parent in seen or known[parent].already_live:
                continue
            seen.add(parent)
            open_steps.append(parent)
            if parent not in going:
                missing.add(parent)
    return tuple(sorted(missing))
