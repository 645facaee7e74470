"""The schemas of an OpenAPI 3 document as JSON Schemas of draft 2020-12."""

from collections.abc import Mapping
from typing import Any

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


class SchemaOf:
    """The schemas that one operation uses, with the components that they refer to.

    Args:
        document: The OpenAPI document.
    """

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._document = document
        self._old = str(document.get("openapi", "")).startswith("3.0")
        self._used: dict[str, Any] = {}

    def resolved(self, value: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return a parameter or a body, behind its `$ref` if it is one.

        Raises:
            ContractError: If the `$ref` leads nowhere in this document.
        """
        if "$ref" not in value:
            return value
        found: Any = self._document
        for part in str(value["$ref"]).removeprefix("#/").split("/"):
            found = found.get(part.replace("~1", "/").replace("~0", "~")) if isinstance(found, Mapping) else None
        if not isinstance(found, Mapping) or "$ref" in found:
            raise ContractError(f"{value['$ref']!r} leads nowhere in this document")
        return found

    def converted(self, schema: Any) -> Any:
        """Return a schema as draft 2020-12 has it; what it refers to is in `definitions`.

        Raises:
            ContractError: If a `$ref` leads nowhere in the components of this document.
        """
        if isinstance(schema, list):
            return [self.converted(each) for each in schema]
        if not isinstance(schema, Mapping):
            return schema
        if "$ref" in schema:
            return {"$ref": f"#/$defs/{self._component(str(schema['$ref']))}"}
        made = {key: self._value(key, value) for key, value in schema.items() if key not in _LEFT_OUT}
        return self._modern(schema, made) if self._old else made

    def definitions(self) -> dict[str, Any]:
        """Return `$defs` with all components that were used; nothing if there are none."""
        return {"$defs": dict(self._used)} if self._used else {}

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
        name = ref.removeprefix(_SCHEMAS)
        components = self._document.get("components", {}).get("schemas", {})
        if not ref.startswith(_SCHEMAS) or name not in components:
            raise ContractError(f"{ref!r} leads to no schema in the components of this document")
        if name not in self._used:
            self._used[name] = {}  # a schema may refer to itself
            self._used[name] = self.converted(components[name])
        return name
