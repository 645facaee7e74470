"""The output schema of a tool in a form that catalogue and plans can walk, whatever the server has written."""

from collections.abc import Mapping
from typing import Any

MAX_PARTS = 5_000
"""Parts of a schema, each counted as often as a reference leads to it; what is beyond them is open."""
MAX_LEVELS = 50
_BY_NAME = ("properties", "patternProperties")
_LISTS = ("anyOf", "oneOf", "prefixItems")
_ONE = ("items", "additionalProperties")


def without_refs(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return a schema with the places that its references lead to. What refers to itself, or elsewhere, is open."""
    return _Walk(schema).part(schema, frozenset(), 0)


class _Walk:
    def __init__(self, document: Mapping[str, Any]) -> None:
        self._document, self._left = document, MAX_PARTS

    def part(self, schema: Any, within: frozenset[str], level: int) -> dict[str, Any]:
        self._left -= 1
        if not isinstance(schema, Mapping) or self._left < 0 or level > MAX_LEVELS:
            return {}
        if "$ref" in schema:
            target = schema["$ref"]
            if not isinstance(target, str) or target in within:
                return {}
            return self.part(self._at(target), within | {target}, level + 1)
        made: dict[str, Any] = {}
        for key, value in schema.items():
            if key in _BY_NAME and isinstance(value, Mapping):
                made[key] = {name: self.part(each, within, level + 1) for name, each in value.items()}
            elif key in _LISTS and isinstance(value, list):
                made[key] = [self.part(each, within, level + 1) for each in value]
            elif key in _ONE and isinstance(value, Mapping):
                made[key] = self.part(value, within, level + 1)
            elif isinstance(value, bool) if key in _ONE else key not in (*_BY_NAME, *_LISTS) and _is_plain(value):
                made[key] = value
        return made

    def _at(self, target: str) -> Any:
        if target != "#" and not target.startswith("#/"):
            return None
        here: Any = self._document
        for part in target.split("/")[1:]:
            name = part.replace("~1", "/").replace("~0", "~")
            here = here.get(name) if isinstance(here, Mapping) else None
        return here


def _is_plain(value: Any) -> bool:
    return not isinstance(value, Mapping | list) or (
        isinstance(value, list) and not any(isinstance(each, Mapping | list) for each in value)
    )
