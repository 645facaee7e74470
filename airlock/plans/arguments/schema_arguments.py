"""An argument model of a JSON Schema, for tools that another system describes.

The library `jsonschema` checks the values, and pydantic carries them: names, defaults and errors are those of a model that
is written by hand.
"""

from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from keyword import iskeyword
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, create_model, model_serializer
from pydantic import model_validator as check_together
from pydantic_core import InitErrorDetails

from airlock.plans.arguments.canonical_field import LEFT_OUT
from airlock.plans.arguments.json_schema import JsonSchema


class SchemaArguments(BaseModel):
    """The arguments of a tool whose model was made of a JSON Schema; `given` returns them as the schema names them."""

    def given(self) -> dict[str, Any]:
        """Return the arguments as JSON: those that the plan states, and defaults of the schema."""
        return self.model_dump(by_alias=True)

    @model_serializer(mode="wrap")
    def _without_absent(self, write: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
        # to a schema, an argument that is left out is another one than null
        absent = [name for name, info in type(self).model_fields.items() if LEFT_OUT in info.metadata]
        left_out = {name for name in absent if name not in self.model_fields_set}
        aliases = {type(self).model_fields[name].alias for name in left_out}
        return {name: value for name, value in write(self).items() if name not in left_out and name not in aliases}


def arguments_of(schema: Mapping[str, Any], name: str = "Arguments", *, foreign: bool = False) -> type[SchemaArguments]:
    """Return the argument model of a JSON Schema of an object.

    Args:
        schema: The schema. `$schema` names its draft, 2020-12 unless given. A `$ref` leads to a place in it.
        name: The name of the model.
        foreign: True for a schema of another system, see `JsonSchema`.

    Raises:
        ContractError: If it is no schema of an object, or has what cannot be checked safely; the message names the place.
    """
    rules = JsonSchema(schema, foreign=foreign)

    class Made(SchemaArguments):
        model_config = ConfigDict(extra="allow" if rules.is_open else "forbid")

        @classmethod
        def model_json_schema(cls, *_args: Any, **_how: Any) -> dict[str, Any]:
            """Return the schema as it was given."""
            return deepcopy(rules.document)

        @check_together(mode="after")
        def _fits(self) -> "Made":
            _raise(rules.problems(self.given()))
            return self

    Made.__doc__ = str(rules.document.get("description") or f"Arguments of {name}.")
    fields: dict[str, Any] = {}
    for key in rules.properties:
        fields[_field_name(key, {*rules.properties, *fields})] = _field(rules, key)
    return create_model(name, __base__=Made, __doc__=Made.__doc__, **fields)


def _field(rules: JsonSchema, key: str) -> tuple[Any, Any]:
    def check(value: Any) -> Any:
        made = rules.canonical_property(key, value)
        _raise(rules.problems_of_property(key, made))
        return made

    about: dict[str, Any] = {"alias": key, "description": rules.description_of(key)}
    kind = Annotated[Any, BeforeValidator(check)]
    if key in rules.required:
        return kind, Field(**about)
    found = rules.default_of(key)
    if found is None:
        return Annotated[kind, LEFT_OUT], Field(default=None, **about)
    return kind, Field(default_factory=lambda: deepcopy(found[0]), **about)


def _field_name(key: str, taken: set[str]) -> str:
    """Return the property's own name where Python and pydantic allow it, else one close to it."""
    name = "".join(each if each.isascii() and (each.isalnum() or each == "_") else "_" for each in key).lstrip("_")
    name = name if name.isidentifier() and not iskeyword(name) else f"{name}_" if iskeyword(name) else f"field_{name}"
    while hasattr(SchemaArguments, name) or name.startswith("model_") or (name != key and name in taken):
        name = f"{name}_" if not name.startswith("model_") else f"field_{name}"
    return name


def _raise(problems: Iterator[tuple[tuple[str | int, ...], Any, Any]]) -> None:
    details = [InitErrorDetails(type=kind, loc=place, input=value) for place, kind, value in problems]
    if details:
        raise ValidationError.from_exception_data("arguments", details)
