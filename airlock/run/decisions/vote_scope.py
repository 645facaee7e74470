"""The steps that each vote counts for, and the steps that have their quorum (ADR 0015).

A vote names one seal. After amendments it counts on for the steps that every seal since shows alike, and never for a step
that its approver proposed.
"""

from collections.abc import Callable, Iterable, Sequence

from airlock.base.person import folded
from airlock.plans.seal import names_digest
from airlock.run.messages import Approve
from airlock.run.sealing.sealed import Sealed, SealedStep
from airlock.run.standing_decisions import Vote
from airlock.run.state import Run


def named_seal(run: Run, approval: Approve) -> tuple[str, Sealed, frozenset[str]] | None:
    """Return the digest and the content of the seal that an approval names, and the steps that it still shows rightly.

    None if it names no seal that counts, or so little of a digest that it fits two of them.
    """
    if run.sealed is None or run.digest is None:
        return None
    earlier = [each for each in run.earlier if names_digest(approval.digest, each.digest)]
    found = [(each.digest, each.sealed, frozenset(each.steps)) for each in earlier]
    if names_digest(approval.digest, run.digest):
        found.append((run.digest, run.sealed, frozenset(step.id for step in run.sealed.steps)))
    return found[0] if len(found) == 1 else None


def names_current(run: Run, approval: Approve) -> bool:
    """Return True if an approval names the current seal."""
    return names_digest(approval.digest, run.digest)


def same_voter(run: Run, one: str, other: str) -> bool:
    """Return True if two names are the same person; runs of earlier releases know capital letters only."""
    return one == other or _voter(run, one) == _voter(run, other)


def _voter(run: Run, name: str) -> str:
    """Return the one form of all spellings of a name."""
    return folded(name) if run.folds_names else name.strip().casefold()


def counts_for(run: Run, approval: Approve) -> frozenset[str]:
    """Return the steps of the current seal that could go live and that an approval counts for."""
    return _Scope(run).of(approval)


class _Scope:
    """The steps that approvals count for. What they share is found once: a plan may have thousands of steps and votes.

    Args:
        run: The plan's run.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._shown: dict[str, frozenset[str]] = {}
        self._whole: dict[str, frozenset[str]] = {}
        self._proposed: dict[str, frozenset[str]] = {}
        self._amended = run.sealed is not None and any(step.proposed_by for step in run.sealed.steps)

    def of(self, approval: Approve) -> frozenset[str]:
        """Return the steps that an approval counts for."""
        whole = self._of_seal(approval)
        chosen = whole if approval.steps is None else self._shown[approval.digest].intersection(approval.steps)
        return chosen - self._proposed_by(approval.by) if self._amended else chosen

    def _of_seal(self, approval: Approve) -> frozenset[str]:
        """Return the steps that an approval of the whole of the seal that it names counts for."""
        known = self._whole.get(approval.digest)
        if known is None:
            named, sealed = named_seal(self._run, approval), self._run.sealed
            live = frozenset() if named is None or sealed is None else named[2].intersection(sealed.live_steps)
            self._shown[approval.digest] = live
            known = self._whole[approval.digest] = live if named is None else live.intersection(named[1].live_steps)
        return known

    def _proposed_by(self, by: str) -> frozenset[str]:
        known = self._proposed.get(by)
        if known is None:
            known = self._proposed[by] = proposed_steps(self._run, by)
        return known


def proposed_steps(run: Run, by: str) -> frozenset[str]:
    """Return the steps of the current seal that a person has proposed by an amendment."""
    if run.sealed is None:
        return frozenset()
    steps = (step for step in run.sealed.steps if step.proposed_by)
    return frozenset(step.id for step in steps if any(same_voter(run, by, name) for name in step.proposed_by))


def voices(run: Run, votes: Iterable[Vote]) -> dict[str, tuple[str, ...]]:
    """Return who approves each step that could go live, in the order of the preview; each person once."""
    scope = _Scope(run)
    found: dict[str, dict[str, str]] = {step: {} for step in (run.sealed.live_steps if run.sealed else ())}
    for vote in votes:
        by = vote.approval.by
        voter = _voter(run, by)
        for step in scope.of(vote.approval):
            found[step].setdefault(voter, by)
    return {step: tuple(names.values()) for step, names in found.items()}


def people(run: Run, votes: Iterable[Vote]) -> tuple[str, ...]:
    """Return who voted, each person once, in the order of their first votes."""
    found: dict[str, str] = {}
    for vote in votes:
        found.setdefault(_voter(run, vote.approval.by), vote.approval.by)
    return tuple(found.values())


def still_sought(
    run: Run, votes: Sequence[Vote], has_quorum: Callable[[SealedStep], bool], waived: Iterable[str]
) -> tuple[str, ...]:
    """Return the steps without a quorum that every approver wants all the same; the plan waits for them.

    That happens after amendments alone: an approval of the step as it was counts no more, and one by its proposer never did.
    An approver who leaves a step out wants the rest to go on without it.
    """
    if not votes or run.sealed is None:
        return ()
    chosen = [None if vote.approval.steps is None else frozenset(vote.approval.steps) for vote in votes]
    wanted_by = {
        name: [steps for vote, steps in zip(votes, chosen, strict=True) if same_voter(run, vote.approval.by, name)]
        for name in people(run, votes)
    }
    free, candidates = frozenset(waived), frozenset(run.sealed.live_steps)
    return tuple(
        step.id
        for step in run.sealed.steps
        if step.id in candidates
        and step.id not in free
        and not has_quorum(step)
        and all(any(steps is None or step.id in steps for steps in each) for each in wanted_by.values())
    )


def as_named(run: Run, approval: Approve) -> Run | None:
    """Return the run as it was at the seal that an approval names, for the rules about that seal; None without one."""
    named = named_seal(run, approval)
    if named is None or named[0] == run.digest:
        return run if named is not None else None
    return run.model_copy(update={"digest": named[0], "sealed": named[1]})
