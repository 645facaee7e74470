"""Placeholders in arguments: `{"$ref": "<step>.<path>"}` and `{"$secret": "<name>"}`.

A path is names and indexes, nothing that is evaluated: an agent writes it, and a workflow follows it.
"""

import copy
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from airlock.base.errors import RefError
from airlock.base.text import shorten

REF = "$ref"
SECRET = "$secret"
UNKNOWN = "(known after live)"
"""The placeholder in a preview for a value that only the live call can produce."""

MAX_FILLED = 8_000_000
"""Characters and values that all references of one call may read together: an output may be read thousands of times."""
MAX_REFERENCE = 500
"""Characters of a `$ref`."""

_STEP = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_PART = re.compile(r'\.?\[(?P<index>-?\d{1,6})\]|\.(?P<name>[A-Za-z_][\w-]*)|\."(?P<quoted>[^"\\]{1,200})"', re.ASCII)


@dataclass(frozen=True)
class Marker:
    """A `$ref` or `$secret` in the arguments of a step."""

    path: str
    """Its path in the arguments."""
    kind: str
    """`$ref` or `$secret`."""
    text: Any
    """Its value as written, which may be malformed."""
    keys: tuple[str | int, ...] = field(default=(), compare=False)
    """The keys and positions that lead to it, one by one; a key may itself hold a dot."""

    @property
    def step(self) -> str:
        """The step that a `$ref` reads from; empty if the reference is malformed."""
        found = _STEP.match(self.text) if isinstance(self.text, str) else None
        return found[0] if found else ""

    @property
    def parts(self) -> tuple[str | int, ...] | None:
        """The names and indexes of a `$ref` below the output of its step, or None when it is not well formed.

        No part at all stands for the whole output.
        """
        if not self.step or len(self.text) > MAX_REFERENCE:
            return None
        rest, found = self.text[len(self.step) :], list[str | int]()
        if rest in ("", ".", ".@"):
            return ()
        while rest:
            part = _PART.match(rest)
            if part is None:
                return None
            found.append(int(part["index"]) if part["index"] else part["name"] or part["quoted"])
            rest = rest[part.end() :]
        return tuple(found)


@dataclass(frozen=True)
class Bound:
    """Arguments with every known reference and secret filled in."""

    args: dict[str, Any]
    unknown: tuple[str, ...]
    """The paths of the values that are not known yet."""


def markers(value: Any, path: str = "", keys: tuple[str | int, ...] = ()) -> Iterator[Marker]:
    """Yield every `$ref` and `$secret` in a JSON value."""
    if isinstance(value, Mapping):
        if len(value) == 1 and (kind := next(iter(value))) in (REF, SECRET):
            yield Marker(path, kind, value[kind], keys)
            return
        for key, child in value.items():
            yield from markers(child, f"{path}.{key}" if path else str(key), (*keys, key))
    elif isinstance(value, list | tuple):
        for index, child in enumerate(value):
            yield from markers(child, f"{path}[{index}]", (*keys, index))


def referenced_steps(args: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the steps whose output these arguments need, sorted."""
    return tuple(sorted({marker.step for marker in markers(args) if marker.kind == REF and marker.step}))


def syntax_error(marker: Marker) -> str | None:
    """Return the syntax error of a `$ref` or `$secret`, or None."""
    if not isinstance(marker.text, str) or not marker.text:
        return f"{marker.kind} takes a non-empty string"
    if not marker.path:
        return f"{marker.kind} stands in the place of all arguments; it can stand for one argument or a part of one"
    if marker.kind == SECRET:
        return None
    if not marker.step:
        return "names no step before the path"
    if len(marker.text) > MAX_REFERENCE:
        return f"is longer than {MAX_REFERENCE} characters"
    if marker.parts is None:
        return "is not a plain path: names and indexes below a step, such as find.contacts[0].id"
    return None


def bind(args: Mapping[str, Any], outputs: Mapping[str, Any], secret: Callable[[str], Any]) -> Bound:
    """Fill in references and secrets.

    Args:
        args: The arguments as the plan states them.
        outputs: Outputs by step. An absent step, and every part that equals `UNKNOWN`, is not known yet.
        secret: A function that resolves the name of a secret; it may return `UNKNOWN`.

    Raises:
        RefError: If a reference reads a known output and finds nothing, or all of them together find too much.
    """
    unknown: list[str] = []
    left = MAX_FILLED

    def fill(value: Any, path: str) -> Any:
        if isinstance(value, Mapping):
            if len(value) == 1 and (kind := next(iter(value))) in (REF, SECRET):
                found = secret(value[SECRET]) if kind == SECRET else _look_up(Marker(path, kind, value[REF]), outputs)
                nonlocal left
                left -= _extent(found)
                if left < 0:
                    raise RefError(f"{shorten(path, 100)}: what the references of this step read is too large together")
                if contains_unknown(found):
                    unknown.append(path)
                return copy.deepcopy(found)  # a tool may change its arguments, other steps read this too
            return {key: fill(child, f"{path}.{key}" if path else str(key)) for key, child in value.items()}
        if isinstance(value, list | tuple):
            return [fill(child, f"{path}[{index}]") for index, child in enumerate(value)]
        return value

    filled = {key: fill(value, key) for key, value in args.items()}
    return Bound(filled, tuple(unknown))


def as_marker(name: str) -> Any:
    """Return the marker of a secret: values that are compared or displayed never hold the secret itself."""
    return {SECRET: name}


def contains_unknown(value: Any) -> bool:
    """Return True if any part of a JSON value is not known yet."""
    if isinstance(value, Mapping):
        return any(contains_unknown(child) for child in value.values())
    if isinstance(value, list | tuple):
        return any(contains_unknown(child) for child in value)
    return bool(value == UNKNOWN)


def _extent(value: Any) -> int:
    """Return the number of values in a JSON value, with the characters of its texts."""
    if isinstance(value, str):
        return 1 + len(value)
    children = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ()
    return 1 + sum(map(_extent, children))


def _look_up(marker: Marker, outputs: Mapping[str, Any]) -> Any:
    output = outputs.get(marker.step, UNKNOWN)
    if output == UNKNOWN:
        return UNKNOWN
    if marker.parts is None:
        raise RefError(f"{marker.path}: $ref {shorten(str(marker.text), 100)!r} {syntax_error(marker)}")
    found = output
    for part in marker.parts:
        if found == UNKNOWN:
            return UNKNOWN
        found = _below(found, part)
    if found is not None:
        return found
    if contains_unknown(output):
        return UNKNOWN
    raise RefError(
        f"{marker.path}: $ref {marker.text!r} found nothing in the output of step {marker.step!r} "
        f"(top-level keys: {', '.join(sorted(output)) if isinstance(output, dict) else type(output).__name__})"
    )


def _below(value: Any, part: str | int) -> Any:
    """Return the value under a name or an index, or None where there is none."""
    if isinstance(part, int):
        inside = isinstance(value, list | tuple) and -len(value) <= part < len(value)
        return value[part] if inside else None
    return value.get(part) if isinstance(value, Mapping) else None
