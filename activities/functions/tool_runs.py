"""Runs of tool functions, each within its time: coroutines in the event loop, plain functions in threads."""

import asyncio
import inspect
import threading
from functools import partial
from typing import Any

from pydantic import BaseModel

from airlock.activities.calls.still_mine import PATIENCE, clock
from airlock.activities.rehearsals.rehearsal_threads import REHEARSALS
from airlock.base.errors import InDoubt, ToolFailed
from airlock.plans.contract import Mode
from airlock.plans.tool import ToolFunction
from airlock.plans.tool_call import ToolCall
from airlock.tools.common import require_mine_sync


class StillRunning(TimeoutError):
    """The call timed out, but its thread is still running."""


async def run(function: ToolFunction, args: BaseModel, call: ToolCall, seconds: float) -> Any:
    """Run a tool function; a function that is not a coroutine function runs in a thread.

    Raises:
        TimeoutError: If a coroutine takes longer than `seconds`; it is cancelled then.
        StillRunning: If a thread takes longer. It cannot be stopped, so its effect is not known yet.
        ToolFailed: If no thread was free in that time. The tool was not called and will not be.
        InDoubt: If the tool raised a `BaseException` that is no `Exception`, such as SystemExit, or a class of its own.
    """
    running: asyncio.Future[Any] | None = None
    turn = _Turn()
    try:
        async with asyncio.timeout(seconds):
            if inspect.iscoroutinefunction(function):
                return await function(args, call)
            if call.mode is Mode.LIVE:
                running = asyncio.ensure_future(asyncio.to_thread(_in_thread, turn, function, args, call))
            else:
                running = REHEARSALS.start(turn, partial(_in_thread, turn, function, args, call))
            return await asyncio.shield(running)
    except TimeoutError:
        if running is not None and turn.give_up():
            running.add_done_callback(_forget)
            raise ToolFailed(f"no thread was free to call it within {seconds:g} s", retry=True) from None
        if running is not None and not running.done():
            running.add_done_callback(_forget)
            if call.mode is not Mode.LIVE:
                REHEARSALS.left_hanging(turn)
            raise StillRunning(f"no answer within {seconds:g} s, and its code goes on running") from None
        raise
    except Exception:
        raise
    except BaseException as error:  # past this line it would end the activity, and its text would not be redacted
        if running is not None and not running.done() and call.mode is not Mode.LIVE:
            running.add_done_callback(_forget)
            REHEARSALS.left_hanging(turn)
        raise InDoubt(f"the tool ended with {type(error).__name__}") from error


class _Turn:
    """State of a call that waits for a thread. It either begins or is given up, whichever comes first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._taken = ""
        self._since = clock()

    @property
    def late(self) -> bool:
        """True if the call waited so long that it must ask whether it is still its worker's."""
        return clock() - self._since > PATIENCE

    def begin(self) -> bool:
        """Return True if the call may begin: it was not given up."""
        return self._take("begun")

    def give_up(self) -> bool:
        """Return True if the call was given up: it had not begun."""
        return self._take("given up")

    def _take(self, what: str) -> bool:
        with self._lock:
            self._taken = self._taken or what
            return self._taken == what


def _in_thread(turn: _Turn, function: ToolFunction, args: BaseModel, call: ToolCall) -> Any:
    late = turn.late
    if not turn.begin():
        return None
    if late:
        require_mine_sync(call)
    try:
        return function(args, call)
    except Exception:
        raise
    except BaseException as error:  # a SystemExit in the event loop would stop the whole worker
        raise InDoubt(f"the tool ended with {type(error).__name__}") from error


def _forget(thread: "asyncio.Future[Any]") -> None:
    if not thread.cancelled():
        thread.exception()  # retrieved, so that asyncio logs no "exception was never retrieved"
