"""Counts each attempt of a call where it happens, in the process that makes it."""

import time
from datetime import timedelta

from temporalio import activity

from airlock.metrics import CALL_DURATION, CALLS, CallResult
from airlock.outcome import Attempt, Failed, InDoubtCall, Live, StaleCall

ROLLBACK = "ROLLBACK"
"""The label `mode` of compensations; for all else it is the mode of the call."""


class Stopwatch:
    """Runs from the moment it is made."""

    def __init__(self) -> None:
        self._started = time.monotonic()

    def count(self, tool: str, mode: str, result: CallResult) -> None:
        """Count one attempt of a call, which took as long as this watch has run. Not for use outside an activity."""
        meter = activity.metric_meter()
        labels = {"tool": tool, "mode": mode}
        meter.create_counter(CALLS.name, CALLS.text).add(1, {**labels, "outcome": result.value})
        taken = timedelta(seconds=time.monotonic() - self._started)
        meter.create_histogram_timedelta(CALL_DURATION.name, CALL_DURATION.text, "duration").record(taken, labels)


def result_of(attempt: Attempt) -> CallResult:
    """What the counter calls the end of a live attempt; one that took effect worked, even where its answer is broken."""
    match attempt:
        case Live():
            return CallResult.WORKED
        case Failed():
            return CallResult.FAILED
        case StaleCall():
            return CallResult.STALE
        case InDoubtCall():
            return CallResult.IN_DOUBT
        case _:
            return CallResult.AGAIN
