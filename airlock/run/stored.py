"""The size at which Temporal stores a run at once; a run that grows beyond it stops with the reason."""

import zlib

from pydantic import BaseModel

from airlock.run.presentation.views import PlanResult

MAX_STORED = 1_900_000
"""Bytes of one message after compression. Temporal refuses 2 MiB, and terminates the run that sends it."""
MAX_SEALED = 1_000_000
"""Bytes of a run after compression when it waits for approval; its calls leave outputs, undo tokens and a record."""
_COMPRESS_FROM = 65_536


def stored_size(message: BaseModel, limit: int) -> int:
    """Return the size of a message as the codec writes it, in bytes; what is within the limit anyway is not compressed.

    Zlib's versions differ by a few bytes in a thousand. That matters only to a run that is just as large as the limit.
    """
    text = message.model_dump_json().encode()
    return len(text) if len(text) <= max(limit, _COMPRESS_FROM) else len(zlib.compress(text, level=6))


def too_large(message: BaseModel, limit: int, what: str) -> str:
    """Return why a message is too large to be stored, with both sizes; empty if it fits.

    Args:
        message: The message.
        limit: The bytes that it may have after compression.
        what: What is too large, as the subject of the sentence.
    """
    size = stored_size(message, limit)
    if size <= limit:
        return ""
    return f"{what}: {size:,} bytes after compression, more than the {limit:,} that a run may have; split the plan"


def storable(result: PlanResult) -> PlanResult:
    """Return a result that Temporal stores: without outputs, and then without texts, if it is too large with them."""
    for smaller in (result, result.model_copy(update={"outputs": {}})):
        if stored_size(smaller, MAX_STORED) <= MAX_STORED:
            return smaller
    bare = (step.model_copy(update={"reasons": (), "error": step.error[:80], "drift": ()}) for step in result.steps)
    return result.model_copy(update={"outputs": {}, "steps": tuple(bare)})
