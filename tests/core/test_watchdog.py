"""The judgment of the watchdog by table: a freeze ends the worker, and a busy machine does not."""

import pytest

from airlock.worker.watchdog import Reading, frozen

CASES = {
    "an ordinary look": (0.2, 0.2, 0.1, False, ""),
    "a short stop, which no heartbeat misses": (4.0, 4.0, 0.0, True, ""),
    "a long stop": (6.0, 6.0, 0.0, True, "stopped for 6 s"),
    "a long stop and much to do afterwards": (6.0, 6.0, 3.0, True, "stopped for 6 s"),
    "a signal without a stop": (0.1, 0.1, 0.0, True, ""),
    "a suspended machine": (0.2, 60.0, 0.0, False, "suspended for 60 s"),
    "a machine suspended for a moment": (0.2, 3.0, 0.0, False, ""),
    "a thread that waited 5 s for a processor": (5.5, 5.5, 5.4, False, ""),
    "a thread that waited 30 s for a processor": (30.0, 30.0, 29.0, False, ""),
    "a library that computed for 30 s and let no other thread run": (30.0, 30.0, 30.0, False, ""),
    "a stall of the disk": (7.0, 7.0, 0.0, False, ""),
    "a paused container": (11.0, 11.0, 0.0, False, "did not run for 11 s"),
}


@pytest.mark.parametrize(("gap", "boottime", "busy", "continued", "why"), CASES.values(), ids=CASES)
def test_what_counts_as_a_freeze(gap: float, boottime: float, busy: float, continued: bool, why: str) -> None:
    said = frozen(Reading(100.0, 200.0, 5.0), Reading(100.0 + gap, 200.0 + boottime, 5.0 + busy), continued=continued)
    assert (why in said) if why else said == ""
