"""The conflicts answered by a lower ceiling: permissions, duplicate calls, rate limits, the deadline."""

from collections.abc import Mapping

from airlock.admission.call_digest import call_digest, of_this_plan
from airlock.admission.ceiling import Cap
from airlock.admission.conflicts.conflict import Answer, Conflict, ConflictKind, conflict, quoted
from airlock.admission.conflicts.situation import Findings, Situation
from airlock.base.text import listed
from airlock.plans.contract import Mode


def find_permissions(situation: Situation) -> Findings:
    """Find the steps whose agent lacks a permission that the contract needs: they are mocked and go no further."""
    caps: dict[str, Cap] = {}
    alike: dict[str, list[str]] = {}
    for name in sorted(situation.steps):
        step = situation.steps[name]
        if missing := situation.policy.missing_permissions(step.agent, situation.contracts[name]):
            # a dry run reads, and reading needs the permission too
            cap = Cap(mode=Mode.MOCK, reason=f"agent {step.agent!r} lacks permission {', '.join(missing)}")
            if cap not in situation.caps[name]:
                caps[name] = cap
                alike.setdefault(cap.reason, []).append(name)
    conflicts = tuple(
        conflict(ConflictKind.PERMISSION, Answer.DOWNGRADE, steps, f"{why}: {listed(steps)} {_mocked_only(steps)}")
        for why, steps in sorted(alike.items())
    )
    return Findings(conflicts=conflicts, caps=caps)


def find_made_elsewhere(situation: Situation, standing: Mapping[str, str]) -> Findings:
    """Find the irreversible calls that another plan made, makes or may have made: they are left out.

    Args:
        situation: The plan.
        standing: For each step whose call another plan claims, a sentence about that claim.
    """
    candidates = situation.live_candidates
    doubles = {step: standing[step] for step in sorted(standing) if step in candidates}
    conflicts = tuple(
        conflict(ConflictKind.DUPLICATE_ACTION, Answer.ABORT, (step,), f"{step} is left out: {why}")
        for step, why in doubles.items()
    )
    return Findings(conflicts=conflicts, caps={step: _left_out(why) for step, why in doubles.items()})


def find_duplicates(situation: Situation) -> Findings:
    """Find irreversible calls that stand in the plan more than once: all but the first are left out.

    Two calls are the same if their tools and arguments are equal, with references compared as text, or if their tools and
    `dedupe_key`s are equal.
    """
    first: dict[str, str] = {}
    later: dict[str, list[str]] = {}
    for name in situation.live_candidates:
        step = situation.steps[name]
        if situation.contracts[name].irreversible:
            call = call_digest(step.tool, step.args, step.dedupe_key)
            if first.setdefault(call, name) != name:
                later.setdefault(call, []).append(name)
    conflicts: list[Conflict] = []
    for call, steps in sorted(later.items(), key=lambda found: found[1]):
        left = "is left out" if len(steps) == 1 else "are left out"
        tool = quoted(situation.steps[steps[0]].tool)
        detail = f"the same irreversible call of {tool} as {first[call]}: {listed(steps)} {left}"
        conflicts.append(conflict(ConflictKind.DUPLICATE_ACTION, Answer.ABORT, (first[call], *steps), detail))
    caps = {step: _left_out(of_this_plan(first[call])) for call, steps in later.items() for step in steps}
    return Findings(conflicts=tuple(conflicts), caps=caps)


def find_rate_limits(situation: Situation) -> Findings:
    """Find tools with more calls than their rate limit allows until the deadline: the least confident are not made.

    Of equally confident calls, the later ones are not made. Without a deadline every call can wait for its turn.
    """
    if situation.deadline is None:
        return Findings()
    candidates, dropped = situation.live_candidates, set[str]()
    limited: dict[tuple[str, str | None, tuple[int, float]], list[str]] = {}
    for name in candidates:
        contract = situation.contracts[name]
        if contract.quota:
            limited.setdefault((contract.tool, contract.rate_limit, contract.quota), []).append(name)
    conflicts: list[Conflict] = []
    caps: dict[str, Cap] = {}
    for (tool, limit, (quota, window)), steps in sorted(limited.items()):
        allowed = quota * max(1, int(situation.deadline // window))
        calls = len([step for step in steps if step not in dropped])
        why = f"{calls} calls of {quoted(tool)} within the deadline, its rate limit {limit} allows {allowed}"
        surplus: list[str] = []
        members, left = set(steps), calls
        for step in sorted(steps, key=lambda name: (situation.steps[name].confidence, -candidates[name])):
            if left <= allowed:
                break
            if step not in dropped:
                gone = situation.dependents(step, dropped)  # a step that reads its output cannot go live either
                dropped |= gone
                left -= len(gone & members)
                surplus.append(step)
        if surplus:
            detail = f"{why}: {listed(surplus)}, the least confident, {_previewed_only(surplus)}"
            conflicts.append(conflict(ConflictKind.RATE_LIMIT, Answer.DOWNGRADE, surplus, detail))
            caps |= {step: Cap(mode=Mode.DRY_RUN, reason=f"RATE_LIMIT: {why}") for step in surplus}
    return Findings(conflicts=tuple(conflicts), caps=caps)


def find_timeouts(situation: Situation) -> Findings:
    """Find the steps that end after the plan's deadline if every call takes as long as its contract allows.

    Only the first such step of a path gets a cap; the steps that depend on it inherit its ceiling.
    """
    if situation.deadline is None:
        return Findings()
    ends: dict[str, float] = {}
    caps: dict[str, Cap] = {}
    for step in situation.live_candidates:
        parents = situation.parents[step]
        if any(parent not in ends for parent in parents):
            continue
        end = max((ends[parent] for parent in parents), default=0.0) + situation.contracts[step].timeout
        if end <= situation.deadline:
            ends[step] = end
        else:
            allowed = f"the deadline allows {situation.deadline:g} s"
            why = f"with the timeouts of the calls before it, it may take {end:g} s, {allowed}"
            caps[step] = Cap(mode=Mode.DRY_RUN, reason=f"TIMEOUT: {why}")
    if not caps:
        return Findings()
    late = sorted(caps)
    detail = f"by the timeouts of its calls the plan does not fit its deadline: {listed(late)} {_previewed_only(late)}"
    return Findings(conflicts=(conflict(ConflictKind.TIMEOUT, Answer.DOWNGRADE, late, detail),), caps=caps)


def _left_out(why: str) -> Cap:
    return Cap(mode=Mode.MOCK, reason=f"{ConflictKind.DUPLICATE_ACTION.value}: {why}")


def _mocked_only(steps: list[str]) -> str:
    return "is mocked only" if len(steps) == 1 else "are mocked only"


def _previewed_only(steps: list[str]) -> str:
    return "is previewed only" if len(steps) == 1 else "are previewed only"
