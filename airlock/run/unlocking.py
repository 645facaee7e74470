"""The doubts that an unlock leaves as they are: a run that a lock stopped goes on from where it can."""

from airlock.plans.state import State
from airlock.run.call_record import CallStatus
from airlock.run.state import Run


def needs_settling(run: Run) -> bool:
    """Return True if a person must settle parked steps before the run can go on.

    Calls in doubt are where an undo begins, and not what stopped it: a lock that came from outside is lifted with the doubts
    as they were. The undo looks again and asks again, and its rollback asks the tools. A failed compensation always needs
    a person, and so does a doubt that parked the run by itself.
    """
    if not run.parked:
        return False
    if run.undoing is None or run.contracts().epoch < 1 or run.steps_with[CallStatus.UNDO_FAILED]:
        return True
    return run.lock is None or run.lock.came_from in (None, State.LOCKED)
