"""The schemas of an OpenAPI 3 document as JSON Schemas of draft 2020-12."""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from airlock.base.errors import ContractError

_SCHEMAS = "#/components/schemas/"
_LEFT_OUT = (
    "discriminator",
    "xml",
    "externalDocs",
    "example",
    "examples",
    "deprecated",
    "readOnly",
    "writeOnly",
    "nullable",
)
"""Keywords of OpenAPI that say nothing about what is valid, or are translated."""
_LONGEST_CHAIN = 20
"""References that lead to a reference, one after the other."""


class SchemaOf:
    """The schemas that one operation uses, with the components that they refer to.

    Args:
        document: The OpenAPI document.
        answers: True for schemas of answers, False for those of requests: a property may belong to one of them only.
    """

    def __init__(self, document: Mapping[str, Any], *, answers: bool = False) -> None:
        self._document = document
        self._old = str(document.get("openapi", "")).startswith("3.0")
        self._foreign = "writeOnly" if answers else "readOnly"
        self._used: dict[str, Any] = {}
        self._names: dict[str, str] = {}

    def resolved(self, value: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return a parameter or a body, behind its `$ref` if it is one.

        Raises:
            ContractError: If the `$ref` leads nowhere in this document.
        """
        for _ in range(_LONGEST_CHAIN):
            if "$ref" not in value:
                return value
            value = self._at(str(value["$ref"]))
        raise ContractError(f"{value.get('$ref')!r} leads to itself")

    def converted(self, schema: Any) -> Any:
        """Return a schema as draft 2020-12 has it; what it refers to is in `definitions`.

        Raises:
            ContractError: If a `$ref` leads nowhere in this document.
        """
        if isinstance(schema, list):
            return [self.converted(each) for each in schema]
        if not isinstance(schema, Mapping):
            return schema
        kept = {key: value for key, value in schema.items() if key not in _LEFT_OUT and not key.startswith("x-")}
        if "$ref" not in schema:
            return self._modern(schema, self._parts(schema, kept)) if self._old else self._parts(schema, kept)
        target = {"$ref": f"#/$defs/{self._component(str(kept.pop('$ref')))}"}
        # version 3.0 ignores what stands beside a reference, 3.1 does not
        return target if self._old else {**self._parts(schema, kept), **target}

    def definitions(self) -> dict[str, Any]:
        """Return `$defs` with all components that were used; nothing if there are none."""
        return {"$defs": dict(self._used)} if self._used else {}

    def _parts(self, schema: Mapping[str, Any], kept: Mapping[str, Any]) -> dict[str, Any]:
        made = {key: self._value(key, value) for key, value in kept.items()}
        properties, required = schema.get("properties"), made.get("required")
        if isinstance(properties, Mapping) and isinstance(required, list):
            made["required"] = [name for name in required if not self._is_foreign(properties.get(name))]
        return made

    def _is_foreign(self, part: Any) -> bool:
        """Return True for a property that the other direction has only, so that it cannot be required in this one."""
        return isinstance(part, Mapping) and part.get(self._foreign) is True

    def _value(self, key: str, value: Any) -> Any:
        if key in ("enum", "const", "default", "required"):
            return value
        if key in ("properties", "patternProperties", "$defs") and isinstance(value, Mapping):
            return {name: self.converted(each) for name, each in value.items()}  # names may be those of keywords
        return self.converted(value)

    def _modern(self, schema: Mapping[str, Any], made: dict[str, Any]) -> dict[str, Any]:
        """Translate what 3.0 took from an early draft: `nullable`, and limits that are exclusive by a flag."""
        for flag, limit in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
            exclusive = made.get(flag)
            if isinstance(exclusive, bool):
                del made[flag]
                if exclusive and limit in made:
                    made[flag] = made.pop(limit)
        if schema.get("nullable") is True:
            if "enum" in made and None not in made["enum"]:
                made["enum"] = [*made["enum"], None]
            if isinstance(made.get("type"), str):
                made["type"] = [made["type"], "null"]
            elif "type" not in made:
                return {"anyOf": [made, {"type": "null"}]}
        return made

    def _component(self, ref: str) -> str:
        """Return the name in `$defs` of what a `$ref` leads to."""
        if ref in self._names:
            return self._names[ref]
        found = self._at(ref)
        plain = re.sub(r"[^A-Za-z0-9._-]", "_", unquote(ref.removeprefix(_SCHEMAS).removeprefix("#/"))) or "all"
        name, number = plain, 2
        while name in self._used:
            name, number = f"{plain}_{number}", number + 1
        self._names[ref] = name
        self._used[name] = {}  # a schema may refer to itself
        self._used[name] = self.converted(found)
        return name

    def _at(self, ref: str) -> Mapping[str, Any]:
        if not ref.startswith("#/"):
            raise ContractError(f"{ref!r} leads out of this document, and nothing else is read: bundle it into one first")
        found: Any = self._document
        for part in ref[2:].split("/"):
            name = unquote(part).replace("~1", "/").replace("~0", "~")
            found = found.get(name) if isinstance(found, Mapping) else _item(found, name)
        if not isinstance(found, Mapping):
            raise ContractError(f"{ref!r} leads nowhere in this document")
        return found


def _item(found: Any, name: str) -> Any:
    return found[int(name)] if isinstance(found, list) and name.isdecimal() and int(name) < len(found) else None
