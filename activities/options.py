"""Timeouts and retries of all activities."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from temporalio.common import RetryPolicy

from airlock.plans.contract import LONGEST_TIMEOUT, Contract

HEARTBEAT_INTERVAL = 2.0
"""Seconds between two heartbeats of an activity; tool authors need not send any."""
HEARTBEAT_TIMEOUT = timedelta(seconds=10)
"""Time without a heartbeat after which Temporal counts the worker as lost."""
MARGIN = 10.0
"""Seconds between the timeouts of an activity's tools and its own, so that a tool's timeout comes first."""
MOCK_TIMEOUT = 10.0
"""Timeout of one mock in seconds."""
TRIES = 5
"""Tries of one mock or dry run, or of one look at an undo, in one activity."""
PAUSE = 1.0
"""Seconds before the second try; each later pause is twice as long."""
LONGEST_PAUSE = 60.0
"""Seconds between two tries, at most. A target that asks for more time is not asked again in this activity."""
PROBE_ATTEMPTS = 3
"""Attempts of a probe whose target does not answer now."""
UNDO_ATTEMPTS = 5
"""Attempts of a compensation, at least, before it parks the plan."""
MAX_BACKOFF = 30.0
"""Longest backoff between two attempts of a call in seconds."""

_REHEARSAL_RETRY = RetryPolicy(
    initial_interval=timedelta(seconds=1), maximum_interval=timedelta(seconds=30), maximum_attempts=5
)
_ONCE = RetryPolicy(maximum_attempts=1)


@dataclass(frozen=True)
class Options:
    """Timeouts and retries of one activity."""

    start_to_close: timedelta
    heartbeat: timedelta | None
    retry: RetryPolicy


ADMIT = Options(timedelta(seconds=60), HEARTBEAT_TIMEOUT, _REHEARSAL_RETRY)
_UNTIL_IT_WORKS = RetryPolicy(initial_interval=timedelta(seconds=1), maximum_interval=timedelta(seconds=30))
ACQUIRE = Options(timedelta(hours=1), HEARTBEAT_TIMEOUT, _UNTIL_IT_WORKS)
"""For `acquire`, which may ask thousands of gates. It is retried for ever: without an answer nothing goes live."""
LEAVE = Options(timedelta(minutes=10), HEARTBEAT_TIMEOUT, _UNTIL_IT_WORKS)
"""For `leave`. It is retried for ever: a slot that is never released would stop other plans."""
LOOK = Options(timedelta(seconds=60), HEARTBEAT_TIMEOUT, RetryPolicy(maximum_attempts=3))
"""For a gate's search for closed holders, which the gate repeats in seconds."""
ALARM = Options(timedelta(seconds=30), None, RetryPolicy(maximum_attempts=5))
"""For questions to the policy and to monitors about a lock; a monitor asks again while an anomaly lasts."""
RECALL = Options(timedelta(minutes=5), HEARTBEAT_TIMEOUT, RetryPolicy(maximum_attempts=10))
"""For reading the state of a gate's earlier run. A gate that cannot read it locks itself, after five minutes of pauses."""


POLICY = Options(timedelta(seconds=10), None, RetryPolicy(maximum_attempts=3))
"""For reading the worker's own policy; an approval for which it cannot be read is refused."""
POLICY_WITHIN = timedelta(seconds=60)
"""Time for an answer with all attempts: a lock that cannot be judged by then counts under the policy known last."""
STORED_AT = Options(timedelta(seconds=60), None, RetryPolicy(maximum_attempts=5))
"""For reading when approvals were stored; one for which that cannot be read counts as too late."""


def rehearse(steps: int) -> Options:
    """Return the limits for mocking so many steps in one activity."""
    return Options(_bounded(steps * _tries(MOCK_TIMEOUT)), HEARTBEAT_TIMEOUT, _REHEARSAL_RETRY)


def preview(contracts: Iterable[Contract]) -> Options:
    """Return the limits for previewing steps with these contracts, one after the other in the worst case."""
    return Options(_bounded(sum(_tries(contract.timeout) for contract in contracts)), HEARTBEAT_TIMEOUT, _REHEARSAL_RETRY)


def prepare(steps: int) -> Options:
    """Return the limits for admitting so many steps, mocking them and previewing the first; no contract is known yet."""
    mocks = rehearse(steps).start_to_close.total_seconds()
    return Options(_bounded(mocks + LONGEST_TIMEOUT), HEARTBEAT_TIMEOUT, _REHEARSAL_RETRY)


def call(contracts: Iterable[Contract]) -> Options:
    """Return the limits for a chain of live calls.

    Temporal never retries it: the contract decides whether a call may be repeated. The workflow must know of every
    attempt, because one whose worker was lost may have taken effect.
    """
    return Options(_sum(contracts), HEARTBEAT_TIMEOUT, _ONCE)


def read(contracts: Iterable[Contract]) -> Options:
    """Return the limits for reads before a preview, one after the other in the worst case. To repeat them is harmless."""
    seconds = sum(contract.max_attempts * (contract.timeout + MAX_BACKOFF) for contract in contracts)
    return Options(
        _bounded(seconds), HEARTBEAT_TIMEOUT, RetryPolicy(initial_interval=timedelta(seconds=1), maximum_attempts=3)
    )


def compensate(contract: Contract) -> Options:
    """Return the limits for one compensation, which is safe to repeat."""
    retry = RetryPolicy(
        initial_interval=timedelta(seconds=1),
        maximum_interval=timedelta(seconds=MAX_BACKOFF),
        maximum_attempts=undo_attempts(contract),
    )
    return Options(_sum([contract]), HEARTBEAT_TIMEOUT, retry)


def undo_attempts(contract: Contract) -> int:
    """Return the number of attempts that a compensation gets."""
    return max(contract.max_attempts, UNDO_ATTEMPTS)


RECOVER = Options(timedelta(seconds=300), None, RetryPolicy(maximum_interval=timedelta(seconds=30), maximum_attempts=20))


def look_at_undo(contracts: Iterable[Contract]) -> Options:
    """Return the limits for the undo checks of calls with these contracts."""
    return Options(_bounded(sum(_tries(contract.timeout) for contract in contracts)), HEARTBEAT_TIMEOUT, _REHEARSAL_RETRY)


def probe(contract: Contract) -> Options:
    """Return the limits for probing one call."""
    return Options(_sum([contract]), HEARTBEAT_TIMEOUT, RetryPolicy(maximum_attempts=PROBE_ATTEMPTS))


def backoff(attempt: int, asked: float = 0.0) -> timedelta:
    """Return the wait after an attempt: 1, 2, 4 ... 30 seconds, or longer if the target asked for it."""
    return timedelta(seconds=max(asked, min(2.0 ** (attempt - 1), MAX_BACKOFF)))


def _sum(contracts: Iterable[Contract]) -> timedelta:
    return _bounded(sum(contract.timeout for contract in contracts))


def _tries(seconds: float) -> float:
    """Return the most seconds that the tries of a function take, if one takes at most `seconds`."""
    return TRIES * seconds + (TRIES - 1) * LONGEST_PAUSE


def _bounded(seconds: float) -> timedelta:
    return timedelta(seconds=min(seconds + MARGIN, 7 * 86_400))
