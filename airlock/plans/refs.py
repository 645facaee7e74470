"""Placeholders in arguments: `{"$ref": "<step>.<jmespath>"}` and `{"$secret": "<name>"}`."""

import copy
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import jmespath
from jmespath.exceptions import JMESPathError

from airlock.base.errors import RefError

REF = "$ref"
SECRET = "$secret"
UNKNOWN = "(known after live)"
"""The placeholder in a preview for a value that only the live call can produce."""

_PLAIN_PATH = re.compile(r'@|(?:[A-Za-z_]\w*|"[^"\\]*"|\[-?\d+\])(?:\.(?:[A-Za-z_]\w*|"[^"\\]*")|\[-?\d+\])*')


@dataclass(frozen=True)
class Marker:
    """A `$ref` or `$secret` in the arguments of a step."""

    path: str
    """Its path in the arguments."""
    kind: str
    """`$ref` or `$secret`."""
    text: Any
    """Its value as written, which may be malformed."""

    @property
    def step(self) -> str:
        """The step that a `$ref` reads from; empty if the reference is malformed."""
        return self.text.partition(".")[0] if isinstance(self.text, str) else ""

    @property
    def expression(self) -> str:
        """The JMESPath expression of a `$ref`, over the output of its step; `@` is the whole output."""
        return self.text.partition(".")[2] or "@" if isinstance(self.text, str) else ""


@dataclass(frozen=True)
class Bound:
    """Arguments with every known reference and secret filled in."""

    args: dict[str, Any]
    unknown: tuple[str, ...]
    """The paths of the values that are not known yet."""


def markers(value: Any, path: str = "") -> Iterator[Marker]:
    """Yield every `$ref` and `$secret` in a JSON value."""
    if isinstance(value, Mapping):
        if len(value) == 1 and (kind := next(iter(value))) in (REF, SECRET):
            yield Marker(path, kind, value[kind])
            return
        for key, child in value.items():
            yield from markers(child, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list | tuple):
        for index, child in enumerate(value):
            yield from markers(child, f"{path}[{index}]")


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
        return "names no step before the '.'"
    try:
        jmespath.compile(marker.expression)
    except JMESPathError as error:
        return f"not a JMESPath expression: {str(error).splitlines()[0]}"
    except RecursionError:
        return "not a JMESPath expression: nested too deeply"
    return None


def bind(args: Mapping[str, Any], outputs: Mapping[str, Any], secret: Callable[[str], Any]) -> Bound:
    """Fill in references and secrets.

    Args:
        args: The arguments as the plan states them.
        outputs: Outputs by step. An absent step, and every part that equals `UNKNOWN`, is not known yet.
        secret: A function that resolves the name of a secret; it may return `UNKNOWN`.

    Raises:
        RefError: If a reference reads a known output and finds nothing.
    """
    unknown: list[str] = []

    def fill(value: Any, path: str) -> Any:
        if isinstance(value, Mapping):
            if len(value) == 1 and (kind := next(iter(value))) in (REF, SECRET):
                found = secret(value[SECRET]) if kind == SECRET else _look_up(Marker(path, kind, value[REF]), outputs)
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


def _look_up(marker: Marker, outputs: Mapping[str, Any]) -> Any:
    output = outputs.get(marker.step, UNKNOWN)
    if output == UNKNOWN:
        return UNKNOWN
    partly_known = contains_unknown(output)
    if partly_known and not _PLAIN_PATH.fullmatch(marker.expression):
        return UNKNOWN  # a function, filter or projection over an unknown value has no result yet
    try:
        found = jmespath.search(marker.expression, output)
    except (ValueError, TypeError, ArithmeticError, RecursionError) as error:  # JMESPathError is a ValueError
        raise RefError(f"{marker.path}: $ref {marker.text!r} cannot be evaluated: {error}") from error
    if found is not None:
        return found
    if partly_known:
        return UNKNOWN
    raise RefError(
        f"{marker.path}: $ref {marker.text!r} found nothing in the output of step {marker.step!r} "
        f"(top-level keys: {', '.join(sorted(output)) if isinstance(output, dict) else type(output).__name__})"
    )
