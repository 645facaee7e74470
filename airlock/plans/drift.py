"""Differences between a preview and reality."""

from typing import Any

from airlock.base.canonical import differences
from airlock.plans.refs import UNKNOWN


def drift(expected: Any, actual: Any) -> tuple[str, ...]:
    """Return the paths at which a value differs from its preview, sorted.

    A value that was unknown in the preview is no drift: the approver saw that it was open.
    """
    return differences(expected, actual, beside=UNKNOWN)


def matched(predicted: Any, actual: Any) -> bool | None:
    """Return True if an output equals its prediction, False if it differs, None if nothing was predicted."""
    return None if predicted == UNKNOWN else not drift(predicted, actual)
