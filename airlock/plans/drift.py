"""Differences between what was previewed and what a live call meets."""

from typing import Any

from airlock.base.canonical import differences
from airlock.plans.refs import UNKNOWN


def drift(expected: Any, actual: Any) -> tuple[str, ...]:
    """Return the paths at which a value differs from what was previewed, sorted.

    What the preview could not know is not drift: the approver saw that it was open.
    """
    return differences(expected, actual, beside=UNKNOWN)


def matched(predicted: Any, actual: Any) -> bool | None:
    """Return True if an output is what the preview predicted; None where it predicted nothing."""
    return None if predicted == UNKNOWN else not drift(predicted, actual)
