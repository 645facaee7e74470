"""An amendment on its way to the next seal: what a run keeps of it, and what it adds to that seal (ADR 0015)."""

from collections.abc import Mapping

from airlock.base.model import WireModel
from airlock.base.person import same_person
from airlock.run.sealing.sealed import Sealed, SealedAmendment, SealedStep
from airlock.run.sealing.step_digest import kept_proposals


class Amendment(WireModel):
    """An accepted amendment whose steps are rehearsed now."""

    by: str
    reason: str
    moves: int
    """The number of changes of the state once it was accepted; -1 after a reset."""

    def is_alone(self, moves: int) -> bool:
        """Return True if a run has done nothing since but rehearse it: it was not locked, and not reset.

        Args:
            moves: The number of changes of the state by now, before the seal; the end of the mocks is one.
        """
        return 0 <= self.moves <= moves <= self.moves + 1


def amended_seal(before: Sealed, after: Sealed, amendment: Amendment | None, *, direct: bool) -> Sealed:
    """Return a seal that says who proposed its steps, other than the requester.

    Args:
        before: The content of the seal that it replaces.
        after: The content of the seal.
        amendment: The amendment between them; None if there was none.
        direct: True if nothing else lies between them.
    """
    known = {step.id: step.proposed_by for step in before.steps if step.proposed_by}
    proposer = None if amendment is None or same_person(amendment.by, after.requested_by) else amendment.by
    changed: frozenset[str] = frozenset()
    if proposer is not None:
        changed = frozenset(step.id for step in after.steps) - kept_proposals(before, after)
    found: dict[str, object] = {}
    if known or changed:
        found["steps"] = tuple(_proposed(step, known, proposer if step.id in changed else None) for step in after.steps)
    if amendment is not None and direct:
        found["amended"] = SealedAmendment(by=amendment.by, reason=amendment.reason)
    return after.model_copy(update=found) if found else after


def _proposed(step: SealedStep, known: Mapping[str, tuple[str, ...]], by: str | None) -> SealedStep:
    names = tuple(dict.fromkeys((*known.get(step.id, ()), *([by] if by is not None else []))))
    return step.model_copy(update={"proposed_by": names}) if names else step
