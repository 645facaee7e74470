"""The places in a JSON Schema: its parts, where its references lead, and the defaults that it fills in."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from airlock.base.errors import ContractError
from airlock.plans.arguments.normal_form import numbers_alike
from airlock.plans.graph import cycles

_ONE = (
    "items", "additionalItems", "additionalProperties", "propertyNames", "contains", "not", "if", "then", "else",
    "unevaluatedItems", "unevaluatedProperties", "contentSchema",
)  # fmt: skip
_LIST = ("allOf", "anyOf", "oneOf", "items", "prefixItems")
_NAMED = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas", "dependencies")
_SAME_VALUE = ("allOf", "anyOf", "oneOf", "not", "if", "then", "else", "dependentSchemas", "dependencies")
"""The keywords whose parts are about the same value: a circle of these would never end."""
_REFUSED = {
    "$dynamicRef": "use a $ref to a place in the schema",
    "$recursiveRef": "use a $ref to a place in the schema",
    "$anchor": "use a $ref to a place in the schema",
}


class SchemaPlaces:
    """The parts of a schema by their JSON pointers.

    Args:
        document: The schema, which fits its own draft.
    """

    def __init__(self, document: dict[str, Any]) -> None:
        self._document = document
        self._parts: dict[str, Any] = dict(_parts("#", document))

    def at(self, pointer: str) -> Any:
        """Return the part at a pointer."""
        return self._parts[pointer]

    def excuse(self, pattern: Callable[[str], object]) -> None:
        """Make a remark, `x-pattern`, of each `pattern` that cannot be checked.

        Args:
            pattern: Raises ValueError for a regular expression that cannot be checked in linear time.
        """
        for part in self._parts.values():
            if isinstance(part, dict) and isinstance(part.get("pattern"), str):
                try:
                    pattern(part["pattern"])
                except ValueError:
                    part["x-pattern"] = part.pop("pattern")

    def require_safe(self, pattern: Callable[[str], object]) -> None:
        """Refuse what cannot be checked safely.

        Args:
            pattern: Raises ValueError for a regular expression that cannot be checked in linear time.

        Raises:
            ContractError: With the place: a reference out of the schema, a circle without end, an unusable expression.
        """
        same: dict[str, tuple[str, ...]] = {}
        filled: dict[str, tuple[str, ...]] = {}
        for pointer, part in self._parts.items():
            if not isinstance(part, dict):
                continue
            self._require_known(pointer, part)
            for place, text in _expressions(part):
                try:
                    pattern(text)
                except ValueError as error:
                    why = f"the expression cannot be checked in linear time: {error}"
                    raise ContractError(f"at {pointer}/{place}: {why}") from None
            target = (part["$ref"],) if "$ref" in part else ()
            below = [child for child, _ in _children(pointer, part) if _keyword(child, pointer) in _SAME_VALUE]
            same[pointer] = (*target, *below)
            inside = [child for child, _ in _children(pointer, part) if _keyword(child, pointer) == "properties"]
            led = [child for child in inside if self.default_of(self._parts[child])]
            filled[pointer] = (*target, *(child for child in below if _keyword(child, pointer) == "allOf"), *led)
        for graph, why in ((same, "refers to itself"), (filled, "has a default that leads to itself")):
            known = {name: tuple(other for other in others if other in graph) for name, others in graph.items()}
            if circle := cycles(known):
                raise ContractError(f"at {circle[0][0]}: the schema {why}: {' -> '.join(circle[0])}")

    def _require_known(self, pointer: str, part: Mapping[str, Any]) -> None:
        if "patternProperties" in part and "unevaluatedProperties" in part:
            where = f"{pointer}/unevaluatedProperties"
            raise ContractError(f"at {where}: it is not supported beside patternProperties: use additionalProperties")
        for keyword, fix in _REFUSED.items():
            if keyword in part:
                raise ContractError(f"at {pointer}/{keyword}: {keyword} is not supported: {fix}")
        if pointer != "#" and ("$id" in part or (isinstance(part.get("id"), str) and "$ref" in part)):
            raise ContractError(f"at {pointer}: a part with an id of its own is not supported: remove the id")
        target = part.get("$ref")
        if target is not None and target not in self._parts:
            outside = "leads out of this schema, and nothing is fetched"
            where = "names no part of this schema" if target.startswith("#") else outside
            raise ContractError(f"at {pointer}/$ref: {target!r} {where}: write #/$defs/<name>")

    def defaults(self) -> Iterator[tuple[str, Any]]:
        """Return every default with the place of its part, in its canonical form."""
        for pointer, part in self._parts.items():
            if isinstance(part, dict) and "default" in part:
                yield pointer, self.filled(part, numbers_alike(part["default"]))

    def default_of(self, part: Any) -> tuple[Any] | None:
        """Return the default of a part, its own or that of what it refers to, or None."""
        for _ in range(len(self._parts)):
            if not isinstance(part, dict):
                return None
            if "default" in part:
                return (numbers_alike(part["default"]),)
            part = self._parts.get(part.get("$ref", ""))
        return None

    def filled(self, part: Any, value: Any) -> Any:
        """Return a value with the defaults of what is inside it, except for those of alternatives (anyOf, oneOf, if)."""
        if not isinstance(part, dict) or not isinstance(value, dict | list):
            return value
        for same in (self._parts.get(part.get("$ref", "")), *part.get("allOf", ())):
            value = self.filled(same, value)
        if isinstance(value, dict):
            return self._filled_object(part, value)
        items = part.get("items")
        ahead, rest = part.get("prefixItems", []), items
        if isinstance(items, list):  # before draft 2020-12
            ahead, rest = items, part.get("additionalItems")
        return [self.filled(ahead[i] if i < len(ahead) else rest, each) for i, each in enumerate(value)]

    def _filled_object(self, part: Mapping[str, Any], value: dict[str, Any]) -> dict[str, Any]:
        properties, others = part.get("properties", {}), part.get("additionalProperties")
        made = {name: self.filled(properties.get(name, others), each) for name, each in value.items()}
        for name, each in properties.items():
            required = name in part.get("required", ())
            if name not in made and not required and (found := self.default_of(each)):
                made[name] = self.filled(each, found[0])
        return made


def _parts(pointer: str, part: Any) -> Iterator[tuple[str, Any]]:
    yield pointer, part
    if isinstance(part, dict):
        for child, inside in _children(pointer, part):
            yield from _parts(child, inside)


def _children(pointer: str, part: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for keyword in _ONE:
        if isinstance(part.get(keyword), dict | bool):
            yield f"{pointer}/{keyword}", part[keyword]
    for keyword in _LIST:
        if isinstance(part.get(keyword), list):
            yield from ((f"{pointer}/{keyword}/{index}", each) for index, each in enumerate(part[keyword]))
    for keyword in _NAMED:
        for name, each in (part.get(keyword) or {}).items():
            if isinstance(each, dict | bool):
                yield f"{pointer}/{keyword}/{name.replace('~', '~0').replace('/', '~1')}", each


def _expressions(part: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the regular expressions of a part, each with its keyword."""
    if "pattern" in part:
        yield "pattern", part["pattern"]
    yield from (("patternProperties", text) for text in part.get("patternProperties") or {})


def _keyword(child: str, pointer: str) -> str:
    return child[len(pointer) + 1 :].partition("/")[0]
