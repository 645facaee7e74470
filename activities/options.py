"""Timeouts and retries of activities. Every number of this kind is here."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from temporalio.common import RetryPolicy

from airlock.plans.contract import Contract

BEAT = 2.0
"""Seconds between the heartbeats of a running call; tool authors do nothing for them."""
HEARTBEAT_TIMEOUT = timedelta(seconds=10)
"""Without a heartbeat for this long, a worker counts as gone."""
MARGIN = 10.0
"""Seconds an activity may take beyond what its tools may, so that their own timeout is what counts."""
MOCK_TIMEOUT = 10.0
"""Seconds one mock may take."""
UNDO_ATTEMPTS = 5
"""A compensation is tried at least this often before it parks."""
MAX_BACKOFF = 30.0
"""Seconds between two attempts of a call, at most."""

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
"""Asking the gates, of which one plan may need thousands. While they do not answer nothing goes live, however long."""
LEAVE = Options(timedelta(minutes=10), HEARTBEAT_TIMEOUT, _UNTIL_IT_WORKS)
"""Giving back, which must not be given up either: others wait."""
LOOK = Options(timedelta(seconds=60), HEARTBEAT_TIMEOUT, RetryPolicy(maximum_attempts=3))
"""A gate's look for those who are gone; it looks again soon anyway."""
ALARM = Options(timedelta(seconds=30), None, RetryPolicy(maximum_attempts=5))
"""Asking the policy, or a monitor, about a lock; a monitor asks again while an anomaly lasts."""
RECALL = Options(timedelta(seconds=60), HEARTBEAT_TIMEOUT, RetryPolicy(maximum_attempts=5))
"""Finding out what an earlier run of a gate knew; a gate that cannot stays closed."""


def rehearse(steps: int) -> Options:
    """For mocking so many steps in one activity."""
    return Options(timedelta(seconds=steps * MOCK_TIMEOUT + MARGIN), HEARTBEAT_TIMEOUT, _REHEARSAL_RETRY)


def preview(contracts: Iterable[Contract]) -> Options:
    """For previewing steps with these contracts, one after the other in the worst case."""
    return Options(_sum(contracts), HEARTBEAT_TIMEOUT, _REHEARSAL_RETRY)


def call(contracts: Iterable[Contract]) -> Options:
    """For a chain of live calls.

    Temporal never repeats it: whether a call may be made again is the contract's business, and the workflow must know of
    every attempt, because one whose worker died may have taken effect.
    """
    return Options(_sum(contracts), HEARTBEAT_TIMEOUT, _ONCE)


def compensate(contract: Contract) -> Options:
    """For one compensation, which is safe to repeat."""
    retry = RetryPolicy(
        initial_interval=timedelta(seconds=1),
        maximum_interval=timedelta(seconds=MAX_BACKOFF),
        maximum_attempts=undo_attempts(contract),
    )
    return Options(_sum([contract]), HEARTBEAT_TIMEOUT, retry)


def undo_attempts(contract: Contract) -> int:
    """Return the number of attempts at a compensation."""
    return max(contract.max_attempts, UNDO_ATTEMPTS)


RECOVER = Options(timedelta(seconds=300), None, RetryPolicy(maximum_interval=timedelta(seconds=30), maximum_attempts=20))


def look_at_undo(contracts: Iterable[Contract]) -> Options:
    """For looking whether calls with these contracts can be taken back."""
    return Options(_sum(contracts), HEARTBEAT_TIMEOUT, _REHEARSAL_RETRY)


def probe(contract: Contract) -> Options:
    """For asking a tool what became of a call."""
    return Options(_sum([contract]), HEARTBEAT_TIMEOUT, RetryPolicy(maximum_attempts=3))


def backoff(attempt: int, asked: float = 0.0) -> timedelta:
    """Return the wait before the attempt after this one: 1, 2, 4 ... 30 seconds, or longer if the target asked."""
    return timedelta(seconds=max(asked, min(2.0 ** (attempt - 1), MAX_BACKOFF)))


def _sum(contracts: Iterable[Contract]) -> timedelta:
    return timedelta(seconds=min(sum(contract.timeout for contract in contracts) + MARGIN, 7 * 86_400))
