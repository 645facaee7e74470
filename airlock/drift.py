"""Where reality differs from what was previewed."""

from collections.abc import Mapping
from typing import Any

from airlock.refs import UNKNOWN


def drift(expected: Any, actual: Any, path: str = "") -> tuple[str, ...]:
    """The paths at which a value differs from what was previewed, sorted.

    What the preview could not know is not drift: the approver saw that it was open.
    """
    if expected == UNKNOWN:
        return ()
    if isinstance(expected, Mapping) and isinstance(actual, Mapping):
        found: list[str] = []
        for key in sorted({*expected, *actual}):
            place = f"{path}.{key}" if path else str(key)
            if key in expected and key in actual:
                found += drift(expected[key], actual[key], place)
            elif expected.get(key) != UNKNOWN:
                found.append(place)
        return tuple(found)
    if isinstance(expected, list) and isinstance(actual, list) and len(expected) == len(actual):
        found = []
        for index, (one, other) in enumerate(zip(expected, actual, strict=True)):
            found += drift(one, other, f"{path}[{index}]")
        return tuple(found)
    return () if expected == actual else (path or ".",)


def matched(predicted: Any, actual: Any) -> bool | None:
    """Whether an output is what the preview predicted; None where it predicted nothing."""
    return None if predicted == UNKNOWN else not drift(predicted, actual)
