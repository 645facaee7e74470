"""The four conflicts that are answered by a lower ceiling: permissions, duplicate calls, rate limits, the deadline."""

from collections.abc import Mapping

from airlock.admission.call_digest import call_digest, of_this_plan
from airlock.admission.ceiling import Cap
from airlock.admission.conflicts.conflict import Answer, Conflict, ConflictKind, conflict, listed, shown
from airlock.admission.conflicts.situation import Findings, Situation
from airlock.plans.contract import Mode


def find_permissions(scene: Situation) -> Findings:
    """Find steps whose agent lacks a permission that the contract needs: they are mocked and go no further."""
    caps: dict[str, Cap] = {}
    alike: dict[str, list[str]] = {}
    for name in sorted(scene.steps):
        step = scene.steps[name]
        if missing := scene.policy.missing_permissions(step.agent, scene.contracts[name]):
            # a dry run reads, and reading needs the permission too
            cap = Cap(mode=Mode.MOCK, reason=f"agent {step.agent!r} lacks permission {', '.join(missing)}")
            if cap not in scene.caps[name]:
                caps[name] = cap
                alike.setdefault(cap.reason, []).append(name)
    conflicts = tuple(
        conflict(ConflictKind.PERMISSION, Answer.DOWNGRADE, steps, f"{why}: {listed(steps)} {_only_mocked(steps)}")
        for why, steps in sorted(alike.items())
    )
    return Findings(conflicts=conflicts, caps=caps)


def find_made_elsewhere(scene: Situation, standing: Mapping[str, str]) -> Findings:
    """Irreversible calls that another plan made, makes or may have made: they are left out.

    Args:
        scene: The plan.
        standing: What another plan has to do with a step's call, one sentence by step.
    """
    going = scene.going()
    doubles = {step: standing[step] for step in sorted(standing) if step in going}
    conflicts = tuple(
        conflict(ConflictKind.DUPLICATE_ACTION, Answer.ABORT, (step,), f"{step} is left out: {why}")
        for step, why in doubles.items()
    )
    return Findings(conflicts=conflicts, caps={step: _left_out(why) for step, why in doubles.items()})


def find_duplicates(scene: Situation) -> Findings:
    """Return the same irreversible call twice in one plan: all but the first are left out.

    Calls are the same when tool and arguments are, references word by word, or tool and `dedupe_key`.
    """
    first: dict[str, str] = {}
    later: dict[str, list[str]] = {}
    for name in scene.going():
        step = scene.steps[name]
        if scene.contracts[name].irreversible:
            call = call_digest(step.tool, step.args, step.dedupe_key)
            if first.setdefault(call, name) != name:
                later.setdefault(call, []).append(name)
    conflicts: list[Conflict] = []
    for call, steps in sorted(later.items(), key=lambda found: found[1]):
        left = "is left out" if len(steps) == 1 else "are left out"
        detail = (
            f"the same irreversible call of {shown(scene.steps[steps[0]].tool)} as {first[call]}: {listed(steps)} {left}"
        )
        conflicts.append(conflict(ConflictKind.DUPLICATE_ACTION, Answer.ABORT, (first[call], *steps), detail))
    caps = {step: _left_out(of_this_plan(first[call])) for call, steps in later.items() for step in steps}
    return Findings(conflicts=tuple(conflicts), caps=caps)


def find_rate_limits(scene: Situation) -> Findings:
    """More calls of a tool than its rate limit allows until the plan's deadline: the least confident are not made.

    Of equally confident ones those that come last. Without a deadline the calls just wait for their turn.
    """
    if scene.deadline is None:
        return Findings()
    going, children, fallen = scene.going(), scene.children(), set[str]()
    limited: dict[tuple[str, str | None, tuple[int, float]], list[str]] = {}
    for name in going:
        contract = scene.contracts[name]
        if contract.quota:
            limited.setdefault((contract.tool, contract.rate_limit, contract.quota), []).append(name)
    conflicts: list[Conflict] = []
    caps: dict[str, Cap] = {}
    for (tool, limit, (quota, window)), steps in sorted(limited.items()):
        allowed = quota * max(1, int(scene.deadline // window))
        calls = len([step for step in steps if step not in fallen])
        why = f"{calls} calls of {shown(tool)} within the deadline, its rate limit {limit} allows {allowed}"
        surplus: list[str] = []
        members, left = set(steps), calls
        for step in sorted(steps, key=lambda name: (scene.steps[name].confidence, -going[name])):
            if left <= allowed:
                break
            if step not in fallen:
                gone = scene.behind(step, children, fallen)  # what reads its output cannot go live either
                fallen |= gone
                left -= len(gone & members)
                surplus.append(step)
        if surplus:
            detail = f"{why}: {listed(surplus)}, the least confident, {_only_looked_at(surplus)}"
            conflicts.append(conflict(ConflictKind.RATE_LIMIT, Answer.DOWNGRADE, surplus, detail))
            caps |= {step: Cap(mode=Mode.DRY_RUN, reason=f"RATE_LIMIT: {why}") for step in surplus}
    return Findings(conflicts=tuple(conflicts), caps=caps)


def find_timeouts(scene: Situation) -> Findings:
    """Find steps that end after the plan's deadline if every call on the way takes as long as its contract allows.

    Only the first such steps are limited; what depends on them ends later still, and falls with them.
    """
    if scene.deadline is None:
        return Findings()
    ends: dict[str, float] = {}
    caps: dict[str, Cap] = {}
    for step in scene.going():
        above = scene.parents[step]
        if any(parent not in ends for parent in above):
            continue
        end = max((ends[parent] for parent in above), default=0.0) + scene.contracts[step].timeout
        if end <= scene.deadline:
            ends[step] = end
        else:
            why = (
                f"with the timeouts of the calls before it, it may take {end:g} s, the deadline allows {scene.deadline:g} s"
            )
            caps[step] = Cap(mode=Mode.DRY_RUN, reason=f"TIMEOUT: {why}")
    if not caps:
        return Findings()
    late = sorted(caps)
    detail = f"by the timeouts of its calls the plan does not fit its deadline: {listed(late)} {_only_looked_at(late)}"
    return Findings(conflicts=(conflict(ConflictKind.TIMEOUT, Answer.DOWNGRADE, late, detail),), caps=caps)


def _left_out(why: str) -> Cap:
    return Cap(mode=Mode.MOCK, reason=f"{ConflictKind.DUPLICATE_ACTION.value}: {why}")


def _only_mocked(steps: list[str]) -> str:
    return "is mocked only" if len(steps) == 1 else "are mocked only"


def _only_looked_at(steps: list[str]) -> str:
    return "is looked at only" if len(steps) == 1 else "are looked at only"
