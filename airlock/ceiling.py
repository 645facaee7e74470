"""Which mode a step may reach, and why."""

from collections.abc import Mapping, Sequence
from typing import Final

from airlock.contract import Contract, Mode, Risk, lowest
from airlock.graph import Parents
from airlock.model import WireModel
from airlock.plan import Plan, Step
from airlock.policy import Policy

DRY_RUN_FROM: Final = {Risk.LOW: 0.50, Risk.MEDIUM: 0.65, Risk.HIGH: 0.80}
"""Confidence from which a step is previewed (DESIGN section 6)."""
LIVE_FROM: Final = {Risk.LOW: 0.70, Risk.MEDIUM: 0.80, Risk.HIGH: 0.85}
"""Confidence from which a step may go live, before the policy's threshold (DESIGN section 6)."""


class Cap(WireModel):
    """One reason why a step may not go higher than a mode."""

    mode: Mode
    reason: str


class Ceiling(WireModel):
    """The highest mode a step may reach. `reasons` holds what decided it, or what allows LIVE."""

    mode: Mode
    reasons: tuple[str, ...]


def own_caps(step: Step, contract: Contract, plan: Plan, policy: Policy) -> tuple[Cap, ...]:
    """What limits a step by itself: confidence against risk, the policy, the plan's `max_mode`.

    What an agent lacks permission for is a conflict (`airlock.limiting.find_permissions`): a step may change its agent.
    """
    caps = [_by_confidence(step.confidence, contract.risk, policy)]
    if plan.max_mode is not Mode.LIVE:
        caps.append(Cap(mode=plan.max_mode, reason=f"the plan asks for {plan.max_mode.value} at most (max_mode)"))
    if policy.dry_run_only:
        caps.append(Cap(mode=Mode.DRY_RUN, reason="the policy allows dry runs only (dry_run_only)"))
    return tuple(caps)


def _by_confidence(confidence: float, risk: Risk, policy: Policy) -> Cap:
    if confidence < DRY_RUN_FROM[risk]:
        need = f"below {DRY_RUN_FROM[risk]:.2f}, from which {risk.value} risk is previewed"
        return Cap(mode=Mode.MOCK, reason=f"confidence {_exact(confidence)} is {need}")
    live_from = max(LIVE_FROM[risk], policy.confidence_threshold_for_live)
    if confidence < live_from:
        need = f"below {_exact(live_from)}, from which {risk.value} risk may go live"
        return Cap(mode=Mode.DRY_RUN, reason=f"confidence {_exact(confidence)} is {need}")
    return Cap(
        mode=Mode.LIVE,
        reason=f"confidence {_exact(confidence)} is enough for {risk.value} risk ({_exact(live_from)})",
    )


def _exact(confidence: float) -> str:
    # 0.699 must not read "0.70 is below 0.70"
    return max(f"{confidence:.2f}", str(confidence), key=len)


def ceilings(order: Sequence[str], parents: Parents, caps: Mapping[str, Sequence[Cap]]) -> dict[str, Ceiling]:
    """The ceiling of every step: the lowest of its own caps and of the ceilings of everything it depends on.

    Args:
        order: The steps, each after all it depends on.
        parents: The direct dependencies of each step.
        caps: What limits each step by itself. A step that is live already has none.
    """
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
