"""The canonical JSON text of a value, its digest, and the paths at which two values differ."""

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence, Set
from typing import Any

MAX_DEPTH = 100
"""Levels of lists and objects inside one another that a value from outside may have; pydantic's parser reads 200."""
MAX_VALUES = 1_000_000
"""Values that a value from outside may hold, counted as often as they appear.

A plan or an answer of the largest legal size holds fewer. Twenty lists that each hold the next one twice hold a million:
a tool that reads YAML with aliases returns such a value, and every walk over it would take until the end of the world.
"""
_LEAVES = frozenset({str, int, float, bool, bytes, type(None)})
"""Types that are known to hold nothing; to ask the abstract classes takes several times as long, for each value."""
_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def canonical_json(value: Any) -> str:
    """Return the one JSON text of a value: keys sorted, no white space, ASCII only.

    The text is the same on every machine, under every Python version and hash seed.

    Raises:
        ValueError: If the value holds NaN, an infinity, or half of a surrogate pair, which JSON cannot express.
    """
    text = _CANONICAL.encode(value)
    if "\\ud" in text:
        json.dumps(value, ensure_ascii=False).encode()  # UnicodeEncodeError, which is a ValueError
    return text


def bounded_json(value: Any) -> str:
    """Return the canonical JSON of a value from outside: a plan, an answer of a target, a token, a message.

    A deeper value would be accepted here and could not be decoded by the next worker, which fails its task for ever.

    Raises:
        ValueError: If the value is not JSON, is nested more than `MAX_DEPTH` levels deep, or holds too many values.
    """
    require_bounded(value)
    return canonical_json(value)


def require_bounded(value: Any, levels: int = MAX_DEPTH) -> None:
    """Refuse a value that no other function should walk: too deep, circular, or with too many values.

    Args:
        value: The value; containers of any type are looked into.
        levels: The levels of containers inside one another that it may have.

    Raises:
        ValueError: If it is beyond `levels` or `MAX_VALUES`.
    """
    open_parents, left = [iter((value,))], MAX_VALUES
    while open_parents:
        for child in open_parents[-1]:
            left -= 1
            if left < 0:
                raise ValueError(f"it holds more than {MAX_VALUES:,} values")
            if len(open_parents) > levels + 1:
                raise ValueError(f"it is nested more than {levels} levels deep")
            if children := _children(child):
                open_parents.append(iter(children))
                break
        else:
            open_parents.pop()


def deeper_than(value: Any, levels: int) -> bool:
    """Return True if lists and objects stand inside one another on more than `levels` levels; takes linear time."""
    row, depth = [value], 0
    while row := [child for parent in row for child in _children(parent)]:
        depth += 1
        if depth > levels:
            return True
    return False


def _children(value: Any) -> Collection[Any]:
    kind = type(value)
    if kind in _LEAVES:
        return ()
    if kind is list or kind is tuple:
        return value  # type: ignore[no-any-return]  # mypy does not narrow by `kind`
    if isinstance(value, Mapping):
        return value.values()
    return value if _is_list(value) or isinstance(value, Set) else ()


def digest(value: Any) -> str:
    """Return the SHA-256 of the canonical JSON of a value, as 64 lower-case hex characters."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def differences(before: Any, after: Any, path: str = "", *, beside: Any = None) -> tuple[str, ...]:
    """Return the paths at which two JSON values differ, sorted; values of different types differ as a whole.

    Args:
        before: One value.
        after: The other value.
        path: The path of both values, the prefix of every result.
        beside: A placeholder in `before` that matches every value; None if there is none.
    """
    if beside is not None and before == beside:
        return ()
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        found: list[str] = []
        for key in sorted({*before, *after}):
            place = f"{path}.{key}" if path else str(key)
            if key in before and key in after:
                found += differences(before[key], after[key], place, beside=beside)
            elif beside is None or before.get(key) != beside:
                found.append(place)
        return tuple(found)
    if _is_list(before) and _is_list(after) and len(before) == len(after):
        found = []
        for index, (one, other) in enumerate(zip(before, after, strict=True)):
            found += differences(one, other, f"{path}[{index}]", beside=beside)
        return tuple(found)
    return () if before == after and _same_kind(before, after, strictly=beside is None) else (path or ".",)


def _same_kind(one: Any, other: Any, *, strictly: bool) -> bool:
    # an approver sees 1 and 1.0 as different; a tool takes them as one number, but never as a boolean
    return type(one) is type(other) or (not strictly and isinstance(one, bool) == isinstance(other, bool))


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)
