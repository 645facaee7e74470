"""Tries of mocks and dry runs: a target that cannot answer now says nothing about a step, so it is asked again."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

import httpx

from airlock.activities.options import LONGEST_PAUSE, PAUSE, TRIES
from airlock.base.errors import InDoubt, ToolFailed

T = TypeVar("T")

_NO_ANSWER = (InDoubt, TimeoutError, ConnectionError, httpx.TransportError)


class Stopped(Exception):
    """The activity is to end before the next try."""


def could_not_look(error: BaseException) -> bool:
    """Return True if an exception says that the target did not answer now, and so nothing about the step."""
    return error.retry if isinstance(error, ToolFailed) else isinstance(error, _NO_ANSWER)


async def repeated(look: Callable[[], Awaitable[T]], stopped: asyncio.Event) -> T:
    """Return what a mock or a dry run returns, with another try after each failure that says nothing about the step.

    Args:
        look: One try.
        stopped: Set when the activity is to end.

    Raises:
        Stopped: If it was set before the next try.
        Exception: That of the last try.
    """
    for number in range(1, TRIES + 1):
        try:
            return await look()
        except Exception as error:
            pause = _pause(error, number)
            if pause is None:
                raise
        with suppress(TimeoutError):
            await asyncio.wait_for(stopped.wait(), pause)
        if stopped.is_set():
            raise Stopped
    raise AssertionError("unreachable")


def _pause(error: Exception, number: int) -> float | None:
    """Return the seconds before the next try; None if there is none."""
    # a function that took all its time once is not asked again: a thread that hangs would leave another one
    if number == TRIES or not could_not_look(error) or isinstance(error, TimeoutError):
        return None
    asked = error.after if isinstance(error, ToolFailed | InDoubt) else 0.0
    if asked > LONGEST_PAUSE:
        return None
    return max(PAUSE * 2.0 ** (number - 1), asked if asked > 0 else 0.0)
