"""The shape of a tool's output, as its declaration states it: the fields that a `$ref` can find there."""

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter
from pydantic.errors import PydanticUserError
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue

Part = str | int
Schema = Mapping[str, Any]

_NAMED = 20
"""Fields that one message names."""
_ALTERNATIVES = 20
"""Levels of alternatives within alternatives."""
_DEPTH = 5
_PATHS = 500
"""Paths below an output among which a similar one is looked for."""
_MOST_PARTS = 20
"""Parts of a path for which a similar one is looked for."""
_PLAIN = re.compile(r"[A-Za-z_][\w-]*", re.ASCII)


class _Serialized(GenerateJsonSchema):
    """The schema of what is really written: a serializer that declares no result may return anything."""

    def ser_schema(self, schema: Any) -> JsonSchemaValue | None:
        found = super().ser_schema(schema)
        return {} if found is None and schema.get("type") != "none" else found


@dataclass(frozen=True)
class Nowhere:
    """A path that no output of the declared shape has."""

    why: str
    """The missing part, as the end of a sentence about the output."""
    likely: tuple[Part, ...] | None
    """A similar path that the output has; None if there is none."""
    known: tuple[str, ...]
    """The first fields in the place of the unknown one."""


class OutputShape:
    """The declared shape of an output. Where the declaration leaves the output open, every path is possible.

    Args:
        output: The type that the tool declares for its output.
    """

    def __init__(self, output: TypeAdapter[Any]) -> None:
        self._roots: tuple[Schema, ...] = ()
        try:
            # an output is written by field name or by alias, as its model is configured: both are accepted
            schemas = [
                output.json_schema(mode="serialization", by_alias=alias, schema_generator=_Serialized)
                for alias in (False, True)
            ]
        except (PydanticUserError, ValueError):
            return  # a type that JSON Schema cannot describe is as good as none
        self._roots = tuple(schemas)

    def lacks(self, parts: Sequence[Part], *, suggest: bool = True) -> Nowhere | None:
        """Return what is wrong with a path of names and positions; None if an output may have it.

        Args:
            parts: The path.
            suggest: True to look for a similar path.
        """
        failures = [failure for root in self._roots if (failure := _Walk(root).lacks(parts, suggest=suggest))]
        return failures[0] if failures and len(failures) == len(self._roots) else None


def as_path(parts: Sequence[Part]) -> str:
    """Return parts as they are written behind a step in a `$ref`."""
    return "".join(_written(part) for part in parts)


def _written(part: Part) -> str:
    if isinstance(part, int):
        return f"[{part}]"
    return f".{part}" if _PLAIN.fullmatch(part) else f'."{part}"'


class _Walk:
    """A walk through one JSON Schema."""

    def __init__(self, root: Schema) -> None:
        self._root = root
        self._definitions: Schema = root.get("$defs", {})

    def lacks(self, parts: Sequence[Part], *, suggest: bool = False) -> Nowhere | None:
        """Return the first part that the schema does not allow; None if it allows all."""
        here = list(self._branches(self._root))
        for position, part in enumerate(parts):
            below = [branch for schema in here for child in _children(schema, part) for branch in self._branches(child)]
            if not below:
                return self._nowhere(parts, position, here, suggest)
            here = below
        return None

    def _branches(self, schema: Schema, depth: int = 0) -> Iterator[Schema]:
        """Yield the alternatives of a schema, none of which is a reference or a union."""
        if depth > _ALTERNATIVES:
            yield {}  # a type that is its own alternative; it excludes nothing
            return
        if "$ref" in schema:
            yield from self._branches(self._definitions.get(str(schema["$ref"]).rpartition("/")[2], {}), depth + 1)
        elif alternatives := schema.get("anyOf") or schema.get("oneOf"):
            for alternative in alternatives:
                yield from self._branches(alternative, depth + 1)
        else:
            yield schema

    def _nowhere(self, parts: Sequence[Part], position: int, here: Sequence[Schema], suggest: bool) -> Nowhere:
        part, before = parts[position], tuple(parts[:position])
        place = f" in {as_path(before).removeprefix('.')!r}" if before else ""
        fields = tuple(dict.fromkeys(name for schema in here for name in schema.get("properties", {})))
        kinds = sorted({str(schema.get("type", "value")) for schema in here if schema.get("type") != "null"})
        if isinstance(part, int):
            why = f"has no position {part}{place}, which is of type {' or '.join(kinds) or 'null'}"
        else:
            why = f"has no field {part!r}{place}"
        likely = self._likely(parts, position, fields) if suggest else None
        return Nowhere(why, likely, fields[:_NAMED])

    def _likely(self, parts: Sequence[Part], position: int, fields: Sequence[str]) -> tuple[Part, ...] | None:
        part = parts[position]
        if not isinstance(part, str) or len(parts) > _MOST_PARTS:
            return None
        spelled = {name.casefold(): name for name in fields}
        close = [spelled[name] for name in difflib.get_close_matches(part.casefold(), spelled)]
        for name in close:
            path = (*parts[:position], name, *parts[position + 1 :])
            if self.lacks(path) is None:
                return path
        within = (*parts[:position], 0, *parts[position:])
        if self.lacks(within[: position + 2]) is None:
            return within if self.lacks(within) is None else within[: position + 2]
        # the name is right perhaps, and only its place is not
        elsewhere = [path for path in self._paths() if path[-1] == parts[-1]] if fields else []
        if elsewhere:
            return elsewhere[0]
        return (*parts[:position], close[0]) if close else None

    def _paths(self) -> Iterator[tuple[Part, ...]]:
        """Yield the paths of the first fields, the shortest first."""
        level: list[tuple[tuple[Part, ...], Schema]] = [((), schema) for schema in self._branches(self._root)]
        left = _PATHS
        for _ in range(_DEPTH):
            below: list[tuple[tuple[Part, ...], Schema]] = []
            for path, schema in level:
                parts: list[Part] = [*schema.get("properties", {}), *([0] if schema.get("type") == "array" else [])]
                for part in parts:
                    left -= 1
                    if left < 0:
                        return
                    yield (*path, part)
                    children = [branch for child in _children(schema, part) for branch in self._branches(child)]
                    below += [((*path, part), child) for child in children]
            level = below


def _children(schema: Schema, part: Part) -> list[Schema]:
    """Return the schema under a name or a position; an empty list if nothing can be there."""
    kind = schema.get("type")
    if kind == "object" and isinstance(part, str):
        fields = schema.get("properties", {})
        if part in fields:
            return [fields[part]]
        more = schema.get("additionalProperties", False if fields else "properties" not in schema)
        patterns = list(schema.get("patternProperties", {}).values())
        return patterns + ([] if more is False else [{} if more is True else more])
    if kind == "array" and isinstance(part, int):
        first = schema.get("prefixItems", [])
        if not first:
            return [schema.get("items", {})]
        fixed = schema.get("maxItems") == len(first)
        if fixed:
            return [first[part]] if -len(first) <= part < len(first) else []
        return [first[part]] if 0 <= part < len(first) else [schema.get("items", {})]
    return [] if isinstance(kind, str) or "const" in schema or "enum" in schema else [{}]
