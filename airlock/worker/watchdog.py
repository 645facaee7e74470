"""End of a worker that was frozen: what it was about to do may belong to another worker by now.

Temporal gives the calls of a silent worker to others. A worker that wakes up must not go on in the middle of one, so a
thread looks at the clocks and ends the process. A machine that is only busy must not look like a freeze. So a gap counts if

- the machine was suspended: `CLOCK_BOOTTIME` went on, and `CLOCK_MONOTONIC` did not,
- or the process was stopped: the kernel says so with SIGCONT, which this thread alone receives,
- or the process neither computed nor waited for a processor, for longer than Temporal waits for a heartbeat. Nothing is
  ended then that Temporal has not given up already.
"""

import os
import signal
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from airlock.activities.options import HEARTBEAT_TIMEOUT

FROZEN = 70
"""Exit code of a worker that was frozen."""
_LOOK = 0.2
_LONG = HEARTBEAT_TIMEOUT.total_seconds() / 2
_TOO_LONG = HEARTBEAT_TIMEOUT.total_seconds()
_BUSY_SHARE = 0.1
_LINUX = sys.platform == "linux"


@dataclass(frozen=True)
class Reading:
    """Clocks at one moment, in seconds."""

    monotonic: float
    boottime: float
    busy: float
    """Processor time of the process, and the time that this thread waited for a processor."""


def frozen(before: Reading, now: Reading, *, continued: bool) -> str:
    """Return the reason to believe that the process was frozen between two readings; empty if there is none.

    Args:
        before: The earlier reading.
        now: The later reading.
        continued: True if a SIGCONT arrived in between.
    """
    gap = now.monotonic - before.monotonic
    suspended = (now.boottime - before.boottime) - gap
    if suspended > _LONG:
        return f"the machine was suspended for {suspended:.0f} s"
    if continued and gap > _LONG:
        return f"the process was stopped for {gap:.0f} s"
    if gap > _TOO_LONG and now.busy - before.busy < gap * _BUSY_SHARE:
        return f"the process did not run for {gap:.0f} s"
    return ""


def start_watchdog() -> None:
    """Start the watchdog. Call it in the main thread, before any other thread is started: they inherit its signal mask."""
    if _LINUX:
        # blocked, a SIGCONT still continues the process; it then waits for the one thread that asks for it
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCONT})
    threading.Thread(target=_watch, name="airlock-watchdog", daemon=True).start()


def _watch() -> None:
    before, gap_seen = _reading(), False
    while True:
        continued = _wait()
        now = _reading()
        why = frozen(before, now, continued=continued)
        if why:
            _end(why)
        # the signal may come one look after the gap that it explains
        gap_seen = not gap_seen and now.monotonic - before.monotonic > _LONG
        before = before if gap_seen else now


def _wait() -> bool:
    """Wait for the next look. Return True if the process was continued by a signal."""
    if _LINUX:
        return signal.sigtimedwait({signal.SIGCONT}, _LOOK) is not None
    time.sleep(_LOOK)
    return False


def _reading() -> Reading:
    boottime = time.clock_gettime(time.CLOCK_BOOTTIME) if _LINUX else time.monotonic()
    return Reading(time.monotonic(), boottime, time.process_time() + _waited_for_processor())


def _waited_for_processor() -> float:
    """Return the seconds that this thread was ready to run and did not; 0 where the system does not tell."""
    try:
        _, waited, _ = Path(f"/proc/self/task/{threading.get_native_id()}/schedstat").read_text(encoding="ascii").split()
    except (OSError, ValueError):
        return 0.0
    return int(waited) / 1e9


def _end(why: str) -> None:
    # no buffer, no logging, no clean-up: each of them could wait for a thread that is about to make a call
    text = f"airlock worker ends: {why}; its calls may be those of another worker by now\n"
    os.write(sys.stderr.fileno(), text.encode())
    os._exit(FROZEN)
