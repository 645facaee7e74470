"""The texts of errors that tools raise, without secrets."""

from airlock.activities.functions.secrets import Secrets
from airlock.activities.functions.tool_functions import WrongShape
from airlock.base.canonical import require_bounded
from airlock.base.errors import ToolFailed
from airlock.base.text import MAX_OUTPUT_BYTES

_MEMBERS = 8
"""Exceptions of a group that are looked at."""
_NAMED = 3
"""Exceptions of a group that its text names."""


def describe(error: BaseException, secrets: Secrets) -> str:
    """Return an error as text without secrets; the caller bounds its length."""
    said = _said(error)
    text = said or type(error).__name__
    if not isinstance(error, ToolFailed | WrongShape) and said:
        text = f"{type(error).__name__}: {text}"
    text = str(secrets.redact(text[:MAX_OUTPUT_BYTES]))
    return f"{text}: {'; '.join(describe(each, secrets) for each in members(error)[:_NAMED])}" if members(error) else text


def members(error: BaseException) -> tuple[BaseException, ...]:
    """Return the exceptions that a group holds, those of groups in it too; none of any other exception.

    A task group raises such a group, which itself says only how many they are.
    """
    found: list[BaseException] = []
    left = list(reversed(error.exceptions)) if isinstance(error, BaseExceptionGroup) else []
    while left and len(found) < _MEMBERS:
        each = left.pop()
        if isinstance(each, BaseExceptionGroup):
            left.extend(reversed(each.exceptions))
        else:
            found.append(each)
    return tuple(found)


def _said(error: BaseException) -> str:
    try:
        require_bounded(error.args)
        return str(error)
    except Exception:  # noqa: BLE001  # what a tool puts into its exception is as foreign as its output
        return ""
