"""Differences between a preview and reality."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from airlock.base.canonical import differences
from airlock.plans.refs import UNKNOWN


def drift(expected: Any, actual: Any) -> tuple[str, ...]:
    """Return the paths at which a value differs from its preview, sorted.

    A value that was unknown in the preview is no drift: the approver saw that it was open.
    """
    return differences(expected, actual, beside=UNKNOWN)


def drift_beside(expected: Any, actual: Any, allowed: Iterable[str]) -> tuple[str, ...]:
    """Return the paths at which arguments differ from their preview, apart from the arguments that may differ."""
    for path in allowed:
        names = tuple(path.split("."))
        expected, actual = _without(expected, names), _without(actual, names)
    return drift(expected, actual)


def overlap(one: str, other: str) -> bool:
    """Return True if one of two paths leads to the other, or to a part of it; positions in lists do not count."""
    mine, theirs = (re.sub(r"\[-?\d+\]", "", path).split(".") for path in (one, other))
    length = min(len(mine), len(theirs))
    return mine[:length] == theirs[:length]


def _without(value: Any, names: tuple[str, ...]) -> Any:
    """Return a value without what stands under these names; all items of a list are meant."""
    if isinstance(value, list | tuple):
        return [_without(item, names) for item in value]
    if not isinstance(value, Mapping):
        return value
    first, rest = names[0], names[1:]
    if not rest:
        return {key: child for key, child in value.items() if key != first}
    return {key: _without(child, rest) if key == first else child for key, child in value.items()}


def matched(predicted: Any, actual: Any) -> bool | None:
    """Return True if an output equals its prediction, False if it differs, None if nothing was predicted."""
    return None if predicted == UNKNOWN else not drift(predicted, actual)
