"""The digests of single steps of a seal: what an approver is shown of a step, and what was proposed of it (ADR 0015)."""

from collections import Counter
from collections.abc import Callable
from typing import Any, Final

from airlock.base.canonical import digest
from airlock.run.sealing.sealed import Sealed, SealedStep

_OWN: Final = {
    "steps", "order", "point_of_no_return", "conflicts", "replaces", "amended", "rule_reasons"
}  # fmt: skip
"""The fields of a seal that steps of their own make: everything else is the frame of all steps."""
_PROPOSED: Final = {"id", "agent", "tool", "args", "after", "confidence", "contract_hash", "dedupe_key"}


def shown_digests(sealed: Sealed) -> dict[str, str]:
    """Return the digest of each step as its approver sees it, with everything that it depends on.

    It covers the call and its contract, ceiling, preview, the conflicts that name the step, who proposed it, and the digests
    of its dependencies. What a read before the preview returned counts, not when: it is read again for each preview.
    """
    about: dict[str, list[Any]] = {}
    for conflict in sealed.conflicts:
        for name in conflict.steps:
            about.setdefault(name, []).append(conflict.model_dump(mode="json"))

    def content(step: SealedStep) -> Any:
        shown = step.model_dump(mode="json", exclude_defaults=True)
        if step.read is not None:
            shown["read"] = {name: value for name, value in shown["read"].items() if name not in ("at", "proof")}
        return [shown, about.get(step.id, [])]

    return _digests(sealed, content)


def proposed_digests(sealed: Sealed) -> dict[str, str]:
    """Return the digest of each step as it was proposed, with everything that it depends on: no rehearsal changes it."""
    return _digests(sealed, lambda step: step.model_dump(mode="json", include=_PROPOSED))


def _digests(sealed: Sealed, content: Callable[[SealedStep], Any]) -> dict[str, str]:
    """Return the digest of the content of each step, by step.

    A step that is there twice, or that stands before one of its dependencies, has none: no worker of Airlock seals it so.
    """
    often = Counter(step.id for step in sealed.steps)
    found: dict[str, str] = {}
    for step in sealed.steps:
        if often[step.id] == 1 and all(parent in found for parent in step.after):
            found[step.id] = digest([content(step), {parent: found[parent] for parent in step.after}])
    return found


def unchanged_steps(before: Sealed, after: Sealed) -> frozenset[str]:
    """Return the steps that two seals show alike, dependencies included.

    There are none if anything else but the steps differs: the goal, the life of the run, the policy, the deadline.
    """
    if before.undo is not None or after.undo is not None or _frame(before) != _frame(after):
        return frozenset()
    return _alike(shown_digests(before), shown_digests(after))


def kept_proposals(before: Sealed, after: Sealed) -> frozenset[str]:
    """Return the steps that are proposed alike in two seals, dependencies included."""
    return _alike(proposed_digests(before), proposed_digests(after))


def _alike(before: dict[str, str], after: dict[str, str]) -> frozenset[str]:
    return frozenset(step for step, found in after.items() if before.get(step) == found)


def _frame(sealed: Sealed) -> dict[str, Any]:
    return sealed.model_dump(mode="json", exclude=_OWN)
