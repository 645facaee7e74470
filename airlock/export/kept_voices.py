"""Approvals of earlier seals that count on after an amendment, computed again from the exported content (ADR 0015)."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from airlock.base.person import same_person
from airlock.export.approvals import SealLine
from airlock.export.hiding import Openings, hidden_values, opened
from airlock.run.sealing.earlier_seal import MAX_EARLIER, EarlierSeal, chain_problem, proven_chain
from airlock.run.sealing.sealed import Sealed


class Unprovable(ValueError):
    """The record does not hold what the check of an amended seal takes; the text says what is missing."""


def is_amended(seal: SealLine) -> bool:
    """Return True if nothing but an amendment lies between a seal and the one before it."""
    return seal.content is not None and seal.content.get("amended") is not None


def voices_of(seal: SealLine, known: Mapping[str, SealLine], openings: Openings) -> dict[str, tuple[str, ...]]:
    """Return who approves each step of an amended seal: by approvals of it, and of the seals that it was amended from.

    Args:
        seal: The seal.
        known: All seals of the plan, by digest.
        openings: The values that can be shown.

    Raises:
        Unprovable: If values are hidden, or an earlier seal has no content.
    """
    current = _sealed(seal, openings)
    lines = _chain(seal, known)
    earlier = [EarlierSeal(digest=line.digest, sealed=_sealed(line, openings)) for line in lines]
    if why := chain_problem(earlier, current):
        raise Unprovable(why)
    shown = {each.digest: set(each.steps) for each in proven_chain(earlier, current)}
    shown[seal.digest] = {step.id for step in current.steps}
    found: dict[str, tuple[str, ...]] = {step.id: () for step in current.steps}
    proposed = {step.id: step.proposed_by for step in current.steps}
    for line in (*lines, seal):
        for decision in line.decisions:
            if decision.decision != "approve" or not decision.counted:
                continue
            for step in decision.steps:
                if step not in shown[line.digest] or step not in found:
                    continue
                if not any(same_person(decision.by, name) for name in (*found[step], *proposed[step])):
                    found[step] = (*found[step], decision.by)
    return found


def _chain(seal: SealLine, known: Mapping[str, SealLine]) -> list[SealLine]:
    """Return the seals that one was amended from, oldest first; no more than count."""
    found: list[SealLine] = []
    while is_amended(seal) and len(found) < MAX_EARLIER:
        assert seal.content is not None
        before = known.get(str(seal.content.get("replaces")))
        if before is None:
            raise Unprovable("the seal that it was amended from is not in the record")
        found.insert(0, before)
        seal = before
    return found


def _sealed(seal: SealLine, openings: Openings) -> Sealed:
    if seal.content is None:
        raise Unprovable(f"seal {seal.digest[:12]} has no content")
    content: Mapping[str, Any] = opened(seal.content, openings)
    if any(True for _ in hidden_values(content)):
        raise Unprovable("values of its steps are hidden, so that they cannot be compared: give the openings")
    try:
        return Sealed.model_validate(content)
    except ValidationError as error:
        raise Unprovable(f"seal {seal.digest[:12]} is not one of this version: {error.error_count()} fields") from error
