"""The words of a server about its tools, as they are pinned: each definition, and the set of them."""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field, JsonValue, TypeAdapter, ValidationError

from airlock.base.canonical import canonical_json, differences, digest, require_bounded
from airlock.base.errors import AirlockError
from airlock.base.model import FileModel
from airlock.base.text import listed, shorten
from airlock.base.visible import visible

MAX_TOOLS = 500
"""Tools of one server."""
MAX_DEFINITIONS_BYTES = 2_000_000
"""The size of all definitions of one server as JSON."""
_SHOWN = 120
"""Characters of a value that a difference shows."""
_INDEX = re.compile(r"\[[0-9]{1,6}\]")
"""An index in a path; a key of a server may hold brackets, too."""


class UnusableDefinitions(AirlockError):
    """Definitions that cannot be read, or are too large."""


class Definition(FileModel):
    """The definition of one tool, all of which is pinned."""

    name: str
    title: str | None = None
    description: str | None = None
    input_schema: dict[str, JsonValue]
    output_schema: dict[str, JsonValue] | None = None
    annotations: dict[str, JsonValue] = Field(default_factory=dict)
    """The claims of the server about its tool. They are never trusted, only shown to the operator."""


Definitions = Mapping[str, Definition]
"""The definitions of one server, by name."""
_FILE = TypeAdapter(list[Definition])


def definitions_of(found: Sequence[Definition]) -> dict[str, Definition]:
    """Return definitions by name, sorted.

    Raises:
        UnusableDefinitions: If there are too many, or two of one name, or if they are too large.
    """
    if len(found) > MAX_TOOLS:
        raise UnusableDefinitions(f"it has more than {MAX_TOOLS} tools")
    by_name = {each.name: each for each in sorted(found, key=lambda each: each.name)}
    if len(by_name) != len(found):
        twice = next(name for name, count in Counter(each.name for each in found).items() if count > 1)
        raise UnusableDefinitions(f"it has two tools of one name: {visible(shorten(twice, _SHOWN))}")
    try:
        require_bounded([each.model_dump() for each in found])
        size = len(canonical_json([each.model_dump() for each in found]))
    except ValueError as error:
        raise UnusableDefinitions(f"its definitions cannot be kept: {error}") from None
    if size > MAX_DEFINITIONS_BYTES:
        raise UnusableDefinitions(f"its definitions have more than {MAX_DEFINITIONS_BYTES:,} bytes")
    return by_name


def pin(definitions: Definitions, name: str) -> str:
    """Return the digest of a tool's definition and of the names of all tools beside it, 64 hex digits.

    The names belong to it: a server that renames its tools would otherwise keep every pin.
    """
    return digest([definitions[name].model_dump(), sorted(definitions)])


def changes(pinned: Definitions, found: Definitions, name: str) -> str:
    """Return what a server says otherwise than when it was pinned, as far as it concerns one tool; empty if nothing."""
    before, now = pinned[name], found.get(name)
    told: list[str] = []
    if now is None:
        told.append(f"it has no tool {name!r} any more")
    elif now != before:
        told += _changed(before.model_dump(), now.model_dump())
    if new := sorted(found.keys() - pinned.keys()):
        told.append(f"it has tools that it had not: {listed(new)}")
    if gone := sorted(pinned.keys() - found.keys() - {name}):
        told.append(f"it has no longer: {listed(gone)}")
    return "; ".join(told)


def _changed(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    paths = differences(before, now)
    return [f"{path} was {_at(before, path)}, and is {_at(now, path)}" for path in paths[:3]] + (
        [f"and {len(paths) - 3} more differences"] if len(paths) > 3 else []
    )


def _at(value: Any, path: str) -> str:
    for part in path.replace("[", ".[").split("."):
        if isinstance(value, list) and _INDEX.fullmatch(part) and int(part[1:-1]) < len(value):
            value = value[int(part[1:-1])]
        elif isinstance(value, Mapping) and part in value:
            value = value[part]
        elif part != "":
            return "absent"
    return shorten(json.dumps(value, ensure_ascii=True), _SHOWN)


def read_definitions(path: Path) -> dict[str, Definition]:
    """Read a file that `airlock tools import` has written.

    Raises:
        UnusableDefinitions: If it cannot be read or is no such file.
    """
    try:
        return definitions_of(_FILE.validate_json(path.read_bytes()))
    except OSError as error:
        raise UnusableDefinitions(f"{path}: {error.strerror or error}") from error
    except ValidationError as error:
        raise UnusableDefinitions(f"{path} is no file of definitions: {error.errors()[0]['msg']}") from error


def definitions_text(definitions: Definitions) -> str:
    """Return the text of a file of definitions, one that differs only where they do."""
    return json.dumps([each.model_dump(exclude_none=True) for each in definitions.values()], indent=1, sort_keys=True) + "\n"
