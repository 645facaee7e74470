"""Ceilings: the highest mode that a step may reach, and the reasons for it."""

import json
from collections.abc import Mapping, Sequence
from math import floor
from typing import Any, Final

from airlock.admission.policy import Policy
from airlock.admission.reliability import Reliability, calibrated_confidence
from airlock.base.model import WireModel
from airlock.plans.contract import Contract, Mode, Risk, lowest
from airlock.plans.parents import Parents
from airlock.plans.plan import Plan, Step

DRY_RUN_FROM: Final = {Risk.LOW: 0.50, Risk.MEDIUM: 0.65, Risk.HIGH: 0.80}
"""The lowest confidence at which a step is previewed (DESIGN section 6)."""
LIVE_FROM: Final = {Risk.LOW: 0.70, Risk.MEDIUM: 0.80, Risk.HIGH: 0.85}
"""The lowest confidence at which a step may go live, before the policy's threshold (DESIGN section 6)."""


MAX_SHOWN = 65_536
"""The longest argument of a call that writes, in bytes of JSON: an approver reads all of it."""


class Cap(WireModel):
    """One reason that keeps a step at or below a mode."""

    mode: Mode
    reason: str


class Ceiling(WireModel):
    """The highest mode that a step may reach."""

    mode: Mode
    reasons: tuple[str, ...]
    """The reasons of the deciding caps, or those that allow LIVE."""


def own_caps(
    step: Step, contract: Contract, plan: Plan, policy: Policy, reliability: Mapping[str, Reliability] | None = None
) -> tuple[Cap, ...]:
    """Return the limits of a step alone: confidence against risk, the policy, the plan's `max_mode`.

    A missing permission is not among them. It is a conflict (`find_permissions`), because a step may get another agent.

    Args:
        step: The step.
        contract: Its contract.
        plan: Its plan.
        policy: The operator's rules. With `calibrated_confidence`, the observed reliability of the tool lowers the stated
            confidence.
        reliability: The reliability of each tool; None if it is not known. The confidence then counts as stated, and the
            reason says so.
    """
    confidence, text = _calibrated(step, policy, reliability)
    caps = [_by_confidence(confidence, text, contract.risk, policy)]
    if plan.max_mode is not Mode.LIVE:
        caps.append(Cap(mode=plan.max_mode, reason=f"the plan asks for {plan.max_mode.value} at most (max_mode)"))
    if policy.dry_run_only:
        caps.append(Cap(mode=Mode.DRY_RUN, reason="the policy allows dry runs only (dry_run_only)"))
    if reason := too_long_to_show(contract, step.args):
        caps.append(Cap(mode=Mode.DRY_RUN, reason=reason))
    return tuple(caps)


def too_long_to_show(contract: Contract, args: Mapping[str, Any]) -> str:
    """Return the reason why no approver could read the arguments of a call, which therefore stays a dry run; or empty."""
    if contract.read_only:
        return ""
    for name, value in sorted(args.items()):
        size = len(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))
        if size > MAX_SHOWN:
            return f"argument {name!r} has {size:,} bytes, more than the {MAX_SHOWN:,} that an approver can read"
    return ""


def _calibrated(step: Step, policy: Policy, reliability: Mapping[str, Reliability] | None) -> tuple[float, str]:
    """Return the confidence that counts for a step, and its description."""
    stated = f"confidence {_exact(step.confidence)}"
    if not policy.calibrated_confidence:
        return step.confidence, stated
    if reliability is None:
        return step.confidence, f"{stated} (not calibrated: the monitor did not answer)"
    seen = reliability.get(step.tool)
    if seen is None or seen.calls == 0:
        return step.confidence, f"{stated} (not calibrated: no live call of {step.tool} is known)"
    worked = f"{step.tool} worked in {seen.ok} of {seen.calls} calls"
    # rounded down, so that the displayed confidence never exceeds the one that counts
    counts = floor(calibrated_confidence(step.confidence, seen.ok, seen.calls) * 10_000) / 10_000
    if step.confidence - counts < 0.0001:
        return step.confidence, f"{stated} ({worked})"
    return counts, f"{stated} counts as {_exact(counts)} ({worked})"


def _by_confidence(confidence: float, text: str, risk: Risk, policy: Policy) -> Cap:
    if confidence < DRY_RUN_FROM[risk]:
        need = f"below {DRY_RUN_FROM[risk]:.2f}, from which {risk.value} risk is previewed"
        return Cap(mode=Mode.MOCK, reason=f"{text} is {need}")
    live_from = max(LIVE_FROM[risk], policy.confidence_threshold_for_live)
    if confidence < live_from:
        need = f"below {_exact(live_from)}, from which {risk.value} risk may go live"
        return Cap(mode=Mode.DRY_RUN, reason=f"{text} is {need}")
    return Cap(
        mode=Mode.LIVE,
        reason=f"{text} is enough for {risk.value} risk ({_exact(live_from)})",
    )


def _exact(confidence: float) -> str:
    # 0.699 must not read "0.70 is below 0.70"
    return max(f"{confidence:.2f}", str(confidence), key=len)


def ceilings(order: Sequence[str], parents: Parents, caps: Mapping[str, Sequence[Cap]]) -> dict[str, Ceiling]:
    """Return the ceiling of every step: the lowest of its own caps and of the ceilings of all it depends on.

    Args:
        order: The steps, each after all it depends on.
        parents: The direct dependencies of each step.
        caps: The limits of each step alone. A step that is live already has none.
    """
    # The reasons are part of the seal and are computed again at a replay: another wording would break open approvals.
    found: dict[str, Ceiling] = {}
    for step in order:
        limits = list(caps.get(step, ()))
        limits += [
            Cap(
                mode=found[parent].mode,
                reason=f"depends on {parent!r}, which stays at {found[parent].mode.value}",
            )
            for parent in parents[step]
            if found[parent].mode is not Mode.LIVE
        ]
        mode = lowest(Mode.LIVE, *(cap.mode for cap in limits))
        found[step] = Ceiling(mode=mode, reasons=tuple(cap.reason for cap in limits if cap.mode is mode))
    return found
