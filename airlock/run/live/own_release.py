"""The release of slots by signals of the run itself, at its end: no activity is needed then (docs/adr/0011)."""

from typing import Final

from airlock.admission.admitted import OWN_RELEASE_EPOCH
from airlock.gates.protocol import LeaveRequest
from airlock.run.state import Run

MAX_GATES: Final = 10
"""The most gates that a run tells itself: each signal is two events of its history."""


def may_release_itself(run: Run, asked: LeaveRequest) -> bool:
    """Return True if a run may tell its gates and its monitor by signals of its own.

    Only a run that ends may. No proved answer says that a gate took a signal; but where it did not, it finds that the holder
    has completed, as soon as another plan waits for the slot. Doubts, claims and a position in a queue need the answer.

    Args:
        run: The plan's run.
        asked: What it releases.
    """
    if run.only_read and not asked.gates and not asked.settled:
        return True
    if run.admitted is None or run.admitted.epoch < OWN_RELEASE_EPOCH or not (run.outcome is not None or run.state.closed):
        return False
    willing = {held.gate for held in run.gates if held.own_release}
    open_matters = asked.settled or asked.doubts or asked.lost or run.told_doubts or run.gate_wait is not None
    return not open_matters and len(asked.gates) <= MAX_GATES and willing.issuperset(asked.gates)
