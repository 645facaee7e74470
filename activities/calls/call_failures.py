"""Exceptions of live calls and their meaning: no effect, possible effect, or a failure to retry."""

import httpx
from pydantic import JsonValue

from airlock.activities.functions.tool_runs import StillRunning
from airlock.base.errors import InDoubt, RefError, SecretError, Stale, ToolFailed
from airlock.base.text import shorten
from airlock.plans.outcome import Attempt, CallFailed, CallInDoubt, CallStale, RetryableFailure
from airlock.run.live.call_messages import CallRequest

# the request never reached the target: certainly no effect
_NOT_SENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.UnsupportedProtocol,
    ConnectionRefusedError,
)
# reported by the tool, or raised before it was called
_NO_EFFECT = (*_NOT_SENT, ToolFailed, RefError, SecretError)
# the request may have reached the target
_LOST = (InDoubt, TimeoutError, ConnectionError, httpx.TransportError)

MAX_WAIT = 86_400.0
"""Longest wait in seconds for another attempt. A target that asks for more gets none: an earlier one would be too early."""


def asked_to_wait(error: Exception, at_most: float = MAX_WAIT) -> float:
    """Return the seconds that the target asked to wait before the next call; 0 if it named none."""
    asked = error.after if isinstance(error, ToolFailed | InDoubt) else 0.0
    return min(asked, at_most) if asked > 0 else 0.0  # NaN compares as False


def classify(request: CallRequest, error: Exception, text: str, undo: JsonValue) -> Attempt:
    """Return the outcome of an attempt that raised.

    Args:
        request: The call.
        error: The exception.
        text: The error as text, without secrets.
        undo: The token the call had set before it raised, if any.
    """
    step, contract, text = request.step.id, request.contract, shorten(text + _too_long_a_wait(error))
    again = not request.last_attempt
    if isinstance(error, Stale):
        return CallStale(step=step, error=text)
    if isinstance(error, StillRunning) and not (contract.read_only or contract.idempotent):
        return CallInDoubt(step=step, error=text, undo=undo, running=True)
    unfinished = isinstance(error, InDoubt) and error.unfinished
    if unfinished and not (contract.read_only or contract.idempotent):
        # another attempt would find the state of before, and act beside this one
        return CallInDoubt(step=step, error=text, undo=undo, lost=True)
    certain = isinstance(error, _NO_EFFECT) or contract.read_only
    # an exception of the tool's own code may come after the effect, and without a token nothing would take that back
    unknown = not certain and (contract.irreversible or undo is None)
    asked = asked_to_wait(error)
    if not certain and (isinstance(error, _LOST) or unknown):
        running = isinstance(error, StillRunning)
        if again and not asked_too_much(error):
            return RetryableFailure(step=step, error=text, doubtful=True, undo=undo, lost=running or unfinished, after=asked)
        return CallInDoubt(step=step, error=text, undo=undo, running=running, lost=unfinished)
    hopeless = isinstance(error, RefError | SecretError) or (isinstance(error, ToolFailed) and not error.retry)
    # the tool says that nothing was done, so even a call that may not be repeated gets another attempt
    again = again or (isinstance(error, ToolFailed) and request.attempt < contract.max_attempts)
    if again and not hopeless and not asked_too_much(error):
        return RetryableFailure(step=step, error=text, doubtful=False, certain=certain, undo=undo, after=asked)
    return CallFailed(step=step, error=text, undo=undo, attempt=request.attempt)


def _too_long_a_wait(error: Exception) -> str:
    return f" (no other attempt: it asks to wait longer than {MAX_WAIT:g} s)" if asked_too_much(error) else ""


def asked_too_much(error: Exception) -> bool:
    """Return True if the target asked to wait longer than any attempt waits: an earlier one would be too early."""
    return isinstance(error, ToolFailed | InDoubt) and error.after > MAX_WAIT
