"""A JSON Schema of an object that another system wrote: what it says, whether it can be checked safely, and its checks."""

from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from copy import deepcopy
from functools import lru_cache
from itertools import islice
from typing import Annotated, Any

import jsonschema
from jsonschema.exceptions import SchemaError
from jsonschema.validators import extend, validator_for
from pydantic import StringConstraints, TypeAdapter, ValidationError
from pydantic_core import PydanticCustomError
from referencing.jsonschema import EMPTY_REGISTRY

from airlock.base.canonical import require_bounded
from airlock.base.errors import ContractError
from airlock.base.text import shorten
from airlock.base.text_form import form_in_words
from airlock.plans.arguments.normal_form import numbers_alike
from airlock.plans.arguments.schema_places import SchemaPlaces
from airlock.plans.arguments.text_formats import FORMATS

MAX_REFS = 100_000
"""The `$ref`s that one check follows at most. A schema that refers to itself twice doubles its work with each level."""
_SHOWN = 5
"""Errors of one value that are told."""
_left: ContextVar[int] = ContextVar("airlock_schema_refs_left", default=MAX_REFS)

Error = tuple[tuple[str | int, ...], PydanticCustomError | str, Any]


class TooMuchWork(Exception):
    """The check of a value follows more than `MAX_REFS` references."""


class JsonSchema:
    """One schema, checked.

    Args:
        schema: The schema.
        foreign: True for a schema of another system, which decides about arguments itself: one that states no type is of
            an object; a default that does not fit is left out, so that the system fills in its own; and a pattern that
            cannot be checked in linear time becomes a remark, `x-pattern`, that the system alone checks.

    Raises:
        ContractError: If it is no schema of an object, or has what cannot be checked safely; the message names the place.
    """

    def __init__(self, schema: Mapping[str, Any], *, foreign: bool = False) -> None:
        if not isinstance(schema, Mapping):
            raise ContractError(f"a schema of arguments is an object, not of type {type(schema).__name__}")
        try:
            require_bounded(schema)
        except ValueError as error:
            raise ContractError(f"the schema of the arguments cannot be used: {error}") from None
        self.document: dict[str, Any] = deepcopy(dict(schema))
        if foreign:
            self.document.setdefault("type", "object")
        draft = _draft(self.document)
        try:
            draft.check_schema(self.document)
        except SchemaError as error:
            raise ContractError(f"at {_pointer(error.absolute_path)}: {shorten(error.message, 200)}") from None
        if self.document.get("type") != "object":
            raise ContractError('at #: the arguments of a tool are an object: add "type": "object"')
        self._places = SchemaPlaces(self.document)
        if foreign:
            self._places.excuse(pattern_of)
        self._places.require_safe(pattern_of)
        self._checker = _checker(draft)
        self.properties: dict[str, Any] = self.document.get("properties", {})
        self.required = frozenset(self.document.get("required", ())) & self.properties.keys()
        closed = self.document.get("additionalProperties", True) is False
        self.is_open = not closed or bool(self.document.get("patternProperties"))
        for pointer in [pointer for pointer, default in self._places.defaults() if not self._fits(pointer, default)]:
            if not foreign:
                raise ContractError(f"at {pointer}/default: the default does not fit its own schema")
            del self._places.at(pointer)["default"]

    def _fits(self, pointer: str, default: Any) -> bool:
        rest = {key: value for key, value in self._places.at(pointer).items() if key != "default"}
        return not any(self._problems(rest, default))

    def description_of(self, key: str) -> str | None:
        """Return what the schema says about a property."""
        said = self.properties[key].get("description") if isinstance(self.properties[key], dict) else None
        return said if isinstance(said, str) else None

    def default_of(self, key: str) -> tuple[Any] | None:
        """Return the default of a property, in its canonical form, or None if it has none."""
        found = self._places.default_of(self.properties[key])
        return found and (self.canonical_property(key, found[0]),)

    def canonical_property(self, key: str, value: Any) -> Any:
        """Return the one form of a property's value: whole numbers without a fraction, defaults of what is inside."""
        return self._places.filled(self.properties[key], numbers_alike(value))

    def problems_of_property(self, key: str, value: Any) -> Iterator[Error]:
        """Return what is wrong with a property's value, as errors of pydantic with places inside it."""
        return self._problems(self.properties[key], value)

    def problems(self, value: Mapping[str, Any]) -> Iterator[Error]:
        """Return what is wrong with all arguments together."""
        return self._problems(self.document, value)

    def _problems(self, schema: Any, value: Any) -> Iterator[Error]:
        # the references of a part lead into the whole document
        whole = self._checker(self.document, registry=EMPTY_REGISTRY, format_checker=FORMATS)
        before = _left.set(MAX_REFS)
        try:
            require_bounded(value)
            found = [error for each in islice(whole.descend(value, schema), _SHOWN) for error in _errors(each)]
        except ArithmeticError:
            found = [((), PydanticCustomError("json_schema", "holds a number that is too large to be checked", {}), value)]
        except ValueError as error:
            found = [((), PydanticCustomError("json_schema", "{why}", {"why": str(error)}), value)]
        except (TooMuchWork, RecursionError):
            found = [((), PydanticCustomError("json_schema", "it is nested too deeply for its schema", {}), value)]
        finally:
            _left.reset(before)
        return iter(found)


def _draft(document: Mapping[str, Any]) -> Any:
    named = document.get("$schema", jsonschema.Draft202012Validator.META_SCHEMA["$id"])
    draft = validator_for({"$schema": named}, default=jsonschema.Draft3Validator) if isinstance(named, str) else None
    if draft in (None, jsonschema.Draft3Validator):
        raise ContractError(f"at #/$schema: {shorten(str(named), 100)!r} is no draft from 4 to 2020-12")
    return draft


def pattern_of(text: str) -> TypeAdapter[str]:
    """Return the check of a regular expression, by the engine of pydantic's models: it takes linear time.

    Raises:
        ValueError: If that engine cannot do it, as with look-ahead and back-references.
    """
    try:
        made = _pattern(text)
    except Exception as error:  # noqa: BLE001  # pydantic raises an error of its core
        raise ValueError(str(error).splitlines()[-1].strip() if str(error) else type(error).__name__) from None
    return made


@lru_cache(maxsize=2048)
def _pattern(text: str) -> TypeAdapter[str]:
    return TypeAdapter(Annotated[str, StringConstraints(pattern=text)])


def _matches(text: str, value: str) -> bool:
    try:
        pattern_of(text).validate_python(value)
    except ValidationError:
        return False
    return True


def _match(_checker: Any, text: str, value: Any, _schema: Any) -> Iterator[jsonschema.ValidationError]:
    if isinstance(value, str) and not _matches(text, value):
        yield jsonschema.ValidationError("does not match")


def _by_pattern(checker: Any, wanted: Mapping[str, Any], value: Any, _schema: Any) -> Iterator[jsonschema.ValidationError]:
    """Check properties whose names match an expression; the library would match by an engine that may never end."""
    for text, part in wanted.items() if isinstance(value, dict) else ():
        for name in [name for name in value if _matches(text, name)]:
            yield from checker.descend(value[name], part, path=name, schema_path=text)


def _additional(checker: Any, wanted: Any, value: Any, schema: Any) -> Iterator[jsonschema.ValidationError]:
    names = _unknown(value, schema) if isinstance(value, dict) else []
    if isinstance(wanted, dict):
        for name in names:
            yield from checker.descend(value[name], wanted, path=name)
    elif names and wanted is False:
        yield jsonschema.ValidationError("has properties that are not there")


def _unknown(value: Mapping[str, Any], schema: Mapping[str, Any]) -> list[str]:
    """Return the properties of a value that its schema names neither itself nor by an expression."""
    known, texts = schema.get("properties", {}), schema.get("patternProperties", {})
    return [name for name in value if name not in known and not any(_matches(text, name) for text in texts)]


def _required(_checker: Any, wanted: Any, value: Any, _schema: Any) -> Iterator[jsonschema.ValidationError]:
    # the library has one error for each missing property, which does not say as data which one
    if isinstance(value, dict) and any(name not in value for name in wanted):
        yield jsonschema.ValidationError("is incomplete")


@lru_cache(maxsize=8)
def _checker(draft: Any) -> Any:
    follow: Callable[..., Any] = draft.VALIDATORS["$ref"]

    def counted(checker: Any, target: str, value: Any, schema: Any) -> Any:
        if (left := _left.get() - 1) < 0:
            raise TooMuchWork
        _left.set(left)
        return follow(checker, target, value, schema)

    own = {
        "pattern": _match,
        "required": _required,
        "patternProperties": _by_pattern,
        "additionalProperties": _additional,
        "$ref": counted,
    }
    return extend(draft, own)  # type: ignore[no-untyped-call]


def _errors(error: Any) -> Iterator[Error]:
    """Return one error of the library as errors of pydantic. No value is quoted: it may be a secret."""
    place, keyword, wanted, value = tuple(error.absolute_path), error.validator, error.validator_value, error.instance
    if keyword == "required":
        for name in [name for name in wanted if name not in value][:_SHOWN]:
            yield (*place, name), "missing", value
    elif keyword == "additionalProperties" and wanted is False:
        for name in _unknown(value, error.schema)[:_SHOWN]:
            yield (*place, name), "extra_forbidden", value[name]
    else:
        usual = f"does not satisfy {keyword} of its schema: {{}}"
        said = "is not allowed" if keyword is None else _SAID.get(keyword, usual).format(_short(wanted))
        said += f": {form}" if keyword == "pattern" and (form := form_in_words(str(wanted))) else ""
        yield place, PydanticCustomError("json_schema", "{why}", {"why": said}), value


def _short(wanted: Any) -> str:
    listed = wanted if isinstance(wanted, list) else [wanted]
    return shorten(" or ".join(repr(each) if isinstance(each, str) else str(each) for each in listed), 200)


_SAID = {
    "type": "must be of type {}",
    "enum": "must be one of {}",
    "const": "must be {}",
    "minimum": "must be at least {}",
    "maximum": "must be at most {}",
    "exclusiveMinimum": "must be more than {}",
    "exclusiveMaximum": "must be less than {}",
    "multipleOf": "must be a multiple of {}",
    "minLength": "must have at least {} characters",
    "maxLength": "must have at most {} characters",
    "pattern": "must match {}",
    "format": "must have the format {}",
    "minItems": "must have at least {} items",
    "maxItems": "must have at most {} items",
    "uniqueItems": "must not hold one item twice",
    "minProperties": "must have at least {} values",
    "maxProperties": "must have at most {} values",
    "anyOf": "fits none of the forms that its schema allows",
    "oneOf": "must fit exactly one of the forms that its schema allows",
    "not": "has a form that its schema rules out",
}


def _pointer(path: Any) -> str:
    return "/".join(["#", *map(str, path)])
