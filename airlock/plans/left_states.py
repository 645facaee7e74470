"""The state that a live call compares with, where only an earlier live call of its plan knows what it left."""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import JsonValue

from airlock.plans.drift import drift
from airlock.plans.refs import UNKNOWN, contains_unknown


class NotAsForeseen(Exception):
    """The end of a call before it begins: it cannot compare with what an earlier step left, or that is not as foreseen."""


def relies_on(observed: JsonValue, name: str, seen: JsonValue) -> bool:
    """Return True if an observed state is one that was handed on, has all its fields, or holds it under its name.

    `UNKNOWN` in the observed state stands for any value: the live call then compares with what the earlier call left.
    """
    return any(not drift(part, seen) for part, _ in _parts(observed, name, seen))


def completed(observed: JsonValue, follows: Mapping[str, str], left: Mapping[str, JsonValue]) -> JsonValue:
    """Return the observed state of a preview with its open parts as earlier calls left them.

    Args:
        observed: The state that the preview relies on, with `UNKNOWN` where only live calls know it.
        follows: The things that it was observed as earlier steps leave them: the step of each, by name.
        left: The states that the calls of these steps left, by name.

    Raises:
        NotAsForeseen: If a state differs from the preview elsewhere, or is not known.
    """
    if observed == UNKNOWN and len(follows) > 1:  # the dry run ended before it could say how it observes them together
        raise NotAsForeseen(f"its preview could not tell {_told(follows)}")
    for name in sorted(follows.keys() & left.keys()):
        observed = _filled(observed, name, follows[name], left[name])
    if contains_unknown(observed):
        raise NotAsForeseen(f"its preview could not tell {_told(follows)}")
    return observed


def _filled(observed: JsonValue, name: str, step: str, state: JsonValue) -> JsonValue:
    differing: tuple[str, ...] = (".",)
    for part, filled in _parts(observed, name, state):
        differing = drift(part, state)
        if not differing:
            return filled
    where = "" if differing == (".",) else f" at {', '.join(differing)}"
    raise NotAsForeseen(f"{name}, as step {step!r} left it, is not as its preview foresaw{where}")


def _parts(observed: Any, name: str, state: Any) -> Iterator[tuple[Any, JsonValue]]:
    """Yield each part of an observed state that may stand for one thing, and the whole with that thing's state instead."""
    if not isinstance(observed, dict) or observed == state:
        yield observed, state
        return
    if name in observed:
        yield observed[name], {**observed, name: state}
    if isinstance(state, dict) and state:  # its fields stand among those of others
        yield {key: observed[key] for key in state if key in observed}, {**observed, **state}


def _told(follows: Mapping[str, str]) -> str:
    return ", ".join(f"{name} as step {step!r} leaves it" for name, step in sorted(follows.items()))
