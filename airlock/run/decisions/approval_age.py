"""The age of an approval: a call begins only while every vote for it is recent enough."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from airlock.run.standing_decisions import Vote
from airlock.run.state import Run


def votes_in_force(run: Run, valid_for: float, now: datetime) -> tuple[Vote, ...]:
    """Return the votes that are not too old to count, oldest first.

    Args:
        run: The plan's run.
        valid_for: Seconds that a vote counts.
        now: UTC.
    """
    if run.contracts().epoch < 1:
        return run.votes
    return tuple(vote for vote in run.votes if now < vote.at + timedelta(seconds=valid_for))


def expiry_of_votes(run: Run, valid_for: float) -> datetime | None:
    """Return the time at which the oldest vote of a run gets too old, UTC.

    None where no vote is needed, and for a run from before approvals had an age.
    """
    return None if run.contracts().epoch < 1 else expiry(run.votes, valid_for)


def expiry(votes: Iterable[Vote], valid_for: float) -> datetime | None:
    """Return the time at which the oldest of some votes gets too old, UTC; None without votes."""
    oldest = min((vote.at for vote in votes), default=None)
    return None if oldest is None else oldest + timedelta(seconds=valid_for)


def too_old(run: Run, now: datetime) -> str:
    """Return why the approval of a run lets no further call begin, as a sentence; empty while it does.

    A plan without calls left to make needs no approval any more.
    """
    until = run.approved_until
    if until is None or now < until or (run.undoing is None and set(run.approved) <= set(run.live)):
        return ""
    given = min((vote.at for vote in run.votes), default=until)
    return (
        f"the approval of {given:%Y-%m-%d %H:%M:%S} UTC was valid until {until:%Y-%m-%d %H:%M:%S} UTC (approval_valid_for):"
        " look at it and approve it again"
    )
