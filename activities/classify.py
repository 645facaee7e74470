"""What an exception from a live call says about the outside world: nothing happened, something may have, or try again."""

import httpx
from pydantic import JsonValue

from airlock.errors import InDoubt, RefError, SecretError, Stale, ToolFailed
from airlock.outcome import Again, Attempt, Failed, InDoubtCall, StaleCall, shorten
from airlock.wire import CallRequest

# never reached the target, so certainly without effect
_NOT_SENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.UnsupportedProtocol,
    ConnectionRefusedError,
)
# may have reached it
_LOST = (InDoubt, TimeoutError, ConnectionError, httpx.TransportError)


def classify(request: CallRequest, error: Exception, text: str, undo: JsonValue) -> Attempt:
    """The outcome of an attempt that raised.

    Args:
        request: The call.
        error: What it raised.
        text: The error as text, without secrets.
        undo: The token the call had set before it raised, if any.
    """
    step, contract, text = request.step.id, request.contract, shorten(text)
    again = not request.last_attempt
    if isinstance(error, Stale):
        return StaleCall(step=step, error=text)
    if isinstance(error, _LOST) and not isinstance(error, _NOT_SENT) and not contract.read_only:
        if again:
            return Again(step=step, error=text, doubtful=True, undo=undo)
        return InDoubtCall(step=step, error=text, undo=undo)
    hopeless = isinstance(error, RefError | SecretError) or (isinstance(error, ToolFailed) and not error.retry)
    if again and not hopeless:
        asked = error.after if isinstance(error, ToolFailed) else 0.0
        return Again(step=step, error=text, doubtful=False, undo=undo, after=asked)
    return Failed(step=step, error=text, undo=undo, attempt=request.attempt)
