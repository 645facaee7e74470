"""Exceptions of tool functions as text: short with the place for the record, whole in the worker's log, without secrets."""

import logging
import sysconfig
import traceback
from pathlib import Path

import httpx

import airlock.activities
from airlock.activities.functions.error_texts import describe, members
from airlock.activities.functions.secrets import Secrets
from airlock.activities.functions.tool_functions import WrongShape
from airlock.base.errors import AirlockError
from airlock.base.text import MAX_TEXT, shorten
from airlock.base.visible import printable
from airlock.plans.arguments.canonical_field import NotCanonical

logger = logging.getLogger("airlock.tool")

_REPORTED = (AirlockError, WrongShape, NotCanonical, TimeoutError, ConnectionError, httpx.TransportError)
"""Failures that a tool reports on purpose, and those of its target. Every other exception is a defect of the tool."""
_MAX_CHAIN = 8
"""Exceptions of one chain of causes whose frames are logged."""
_MAX_FRAMES = 40
"""Frames that are logged of one exception: the innermost ones of an endless recursion."""
_MAX_LOGGED_TEXT = 2_000
_PLACE = 80
"""Characters that a place takes at most in a text for the record."""
_LIBRARIES = tuple({str(Path(folder).resolve()) for folder in sysconfig.get_paths().values()})
_CALLERS = tuple(str(Path(folder).resolve()) for folder in airlock.activities.__path__)


def explain(error: BaseException, secrets: Secrets, during: str) -> str:
    """Return an exception of a tool function as one short line without secrets. Log the traceback of a defect.

    Args:
        error: The exception.
        secrets: The secrets that its text may hold.
        during: The call that raised it, for the log: plan, step, mode and attempt.
    """
    defect = _defect(error)
    if defect is None:
        return shorten(describe(error, secrets))
    text = describe(error, secrets)
    # one record for one defect; what the exception says is one line, so that it cannot imitate another record
    logger.error("%s: %s\n%s", during, printable(shorten(text, _MAX_LOGGED_TEXT)), secrets.redact(_frames(defect, secrets)))
    place = shorten(str(secrets.redact(_place(defect))), _PLACE)
    return f"{shorten(text, MAX_TEXT - len(place) - 3)} ({place})" if place else shorten(text)


def _defect(error: BaseException) -> BaseException | None:
    """Return the exception that shows a defect of the tool; None if the tool reported a failure or the target failed."""
    if not isinstance(error, _REPORTED):
        return error
    cause = error.__cause__  # a SystemExit of a tool becomes a report, so that it does not end the worker
    return None if cause is None or isinstance(cause, Exception) else cause


def _place(error: BaseException) -> str:
    """Return file and line of the innermost frame that belongs to the tool, or of the innermost one.

    Of a group it is the place of the first of its exceptions that was raised.
    """
    inner = next((each for each in members(error) if each.__traceback__ is not None), error)
    frames = traceback.extract_tb(inner.__traceback__)
    own = [frame for frame in frames if not _is_below(frame.filename, (*_LIBRARIES, *_CALLERS))]
    if not frames:
        return ""
    frame = own[-1] if own else frames[-1]
    return f"{Path(frame.filename).name}, line {frame.lineno}"


def _is_below(file: str, folders: tuple[str, ...]) -> bool:
    return str(Path(file).resolve()).startswith(tuple(f"{folder}/" for folder in folders))


def _frames(error: BaseException, secrets: Secrets) -> str:
    """Return the frames of an exception and of its causes, the first cause first, as Python prints them.

    Those of the exceptions in a group stand before its own.
    """
    parts: list[str] = []
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen and len(seen) < _MAX_CHAIN:
        seen.add(id(current))
        parts.append(_own_frames(current, secrets))
        parts.extend(_own_frames(each, secrets) for each in reversed(members(current)))
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)
    return "\nwhich led to:\n".join(reversed(parts))


def _own_frames(error: BaseException, secrets: Secrets) -> str:
    """Return the frames of one exception, its text, and the notes that were added to it."""
    added = getattr(error, "__notes__", None)
    notes = [note for note in added if isinstance(note, str)] if isinstance(added, list) else []
    said = [describe(error, secrets), *(str(secrets.redact(note)) for note in notes[:_MAX_CHAIN])]
    frames = "".join(traceback.format_tb(error.__traceback__, -_MAX_FRAMES))
    lines = "\n".join(printable(shorten(each, _MAX_LOGGED_TEXT)) for each in said)
    return f"Traceback (most recent call last):\n{frames}{lines}"
