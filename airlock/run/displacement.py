"""Calls that may still be running although the run goes on without them: after a loss, and after a reset."""

from airlock.plans.state import State
from airlock.run.state import Run


def can_be_displaced(run: Run) -> bool:
    """Return True if the run holds, or may hold, what other plans can hold after a reset."""
    return bool(run.state in (State.LIVE, State.ROLLBACK) or run.gates or run.gate_wait or run.claims)


def displace(run: Run) -> None:
    """Record a reset: other plans may hold by now what this run held at the point it was reset to."""
    if can_be_displaced(run):
        run.displaced = True
        run.claims = {}
        if run.state is State.LIVE:  # the run that was reset may be making any of these
            live = set(run.live)
            for step in run.approved:
                if step not in live:
                    lose(run, step)
        run.moves += 1


def lose(run: Run, step: str, *, given_up: bool = False) -> None:
    """Record that an attempt at a step's call may still be running although the run goes on without it.

    Args:
        run: The plan's run.
        step: The step.
        given_up: True if no later attempt answered that would keep a fenced target from taking this one.
    """
    contract = run.contracts().contract(step)
    harmless = contract.read_only or (contract.fenced and not given_up)
    if not harmless and step not in run.lost:
        run.lost = (*run.lost, step)
