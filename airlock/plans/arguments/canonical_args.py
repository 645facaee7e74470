"""The canonical form of a call's arguments: what the tool's own model makes of them, once.

The same call in another spelling has the same canonical arguments: `"100"`, `100` and `1e2` for a number, an optional
argument left out or given at its default, one instant in two time zones. This form is sealed, shown, claimed and called.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from airlock.base.canonical import canonical_json
from airlock.base.text import shorten
from airlock.plans.arguments.canonical_field import (
    CanonicalField,
    NotCanonical,
    accepted_names,
    fields_of,
    has_default_of_its_own,
    key_of,
)
from airlock.plans.arguments.normal_form import normal_form, numbers_alike
from airlock.plans.refs import REF, SECRET, Bound, Marker, bind, contains_unknown, markers


@dataclass(frozen=True)
class Open:
    """The place of a value that is filled in later, in arguments that are made canonical before.

    Only a marker of the plan becomes one. An output may hold any data, a `{"$secret": ...}` too.
    """

    kind: str
    """`$ref` or `$secret`."""
    text: Any


def canonical(model: type[BaseModel], args: Mapping[str, Any]) -> dict[str, Any]:
    """Return the canonical form of arguments as a plan states them, each `$ref` and `$secret` kept in its place.

    Arguments that do not fit the model stay as they are: other checks refuse them, and name the field.

    Raises:
        NotCanonical: If the model does not accept its own canonical form as the same arguments.
    """
    opened = {name: _opened(value) for name, value in args.items()}
    made = {name: filled(value, _as_marker) for name, value in _canonical(model, opened).items()}
    if Counter(map(_about, markers(made))) != Counter(map(_about, markers(args))):
        raise NotCanonical("", "the tool's model makes a $ref or $secret out of other text, or drops one")
    return made


def bind_canonical(model: type[BaseModel], args: Mapping[str, Any], outputs: Mapping[str, Any]) -> Bound:
    """Return the canonical arguments of a call with its references filled in, and an `Open` for each secret.

    Args:
        model: The argument model of the tool.
        args: The arguments as admission made them canonical.
        outputs: The outputs by step, as in `airlock.plans.refs.bind`.

    Raises:
        RefError: If a reference reads a known output and finds nothing.
        NotCanonical: As in `canonical`.
    """
    bound = bind_open(args, outputs)
    return replace(bound, args=_canonical(model, bound.args))


def bind_open(args: Mapping[str, Any], outputs: Mapping[str, Any]) -> Bound:
    """Return arguments with their references filled in, as they are, and an `Open` for each secret."""
    return bind(args, outputs, lambda name: Open(SECRET, name))


def filled(value: Any, fill: Callable[[Open], Any]) -> Any:
    """Return a value with every `Open` replaced."""
    if isinstance(value, Open):
        return fill(value)
    if isinstance(value, Mapping):
        return {key: filled(child, fill) for key, child in value.items()}
    return [filled(child, fill) for child in value] if isinstance(value, list | tuple) else value


def identity(model: type[BaseModel], args: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of canonical arguments that tells one call from another: without optional ones at their default.

    An argument that a later version of the tool adds therefore does not make the calls of before other calls.
    """
    defaults = {field.key: field.default for field in fields_of(model).values() if field.has_default}
    plain = {name: filled(value, _as_marker) for name, value in args.items()}
    return {
        name: numbers_alike(value)
        for name, value in plain.items()
        if name not in defaults or _compared(value) != _compared(defaults[name])
    }


def round_trip_problems(model: type[BaseModel]) -> tuple[str, ...]:
    """Return what keeps the arguments of a model from having a canonical form, one sentence each.

    Looks at aliases, defaults and examples; only a real call has the rest.
    """
    found: list[str] = []
    for name, info in model.model_fields.items():
        if info.exclude:
            found.append(f"argument {name!r} is declared with exclude=True, so that no approver would see it: remove that")
        elif (key := key_of(name, info)) not in (name, *accepted_names(info)):
            found.append(f"argument {name!r} is written as {key!r}, but not read under that name: give it one `alias`")
    if found:
        return tuple(found)
    for name, info in model.model_fields.items():
        try:
            found += _value_problems(name, info, fields_of(model)[name])
        except NotCanonical as error:
            found.append(f"argument {name!r} {error.why}")
    extra = model.model_config.get("json_schema_extra")
    examples = extra.get("examples", ()) if isinstance(extra, Mapping) else ()
    for example in examples if isinstance(examples, list | tuple) else ():
        try:
            canonical(model, example if isinstance(example, Mapping) else {})
        except NotCanonical as error:
            found.append(f"in an example, {error}")
    return tuple(found)


def canonical_names(model: type[BaseModel]) -> dict[str, str]:
    """Return the name of each argument in canonical arguments by every name under which a plan may state it."""
    return {
        spelling: key_of(name, info)
        for name, info in model.model_fields.items()
        for spelling in (name, key_of(name, info), *accepted_names(info))
    }


def validated(model: type[BaseModel], args: Mapping[str, Any]) -> BaseModel:
    """Return the model of canonical arguments, under whichever name the canonical form has a field.

    Raises:
        ValidationError: If they do not fit.
    """
    return model.model_validate(dict(args), by_alias=True, by_name=True)


def _canonical(model: type[BaseModel], args: Mapping[str, Any]) -> dict[str, Any]:
    if any(_is_open(value) for value in args.values()):
        return _field_by_field(model, args)
    try:
        made = validated(model, args)
    except ValidationError:
        return _field_by_field(model, args)
    except Exception as error:  # noqa: BLE001  # validators of a tool raise any exception
        raise NotCanonical("", f"their check ended with {type(error).__name__}") from None
    try:
        written = _dumped(made)
        again = validated(model, written)
        same = _dumped(again) == written
    except ValidationError as error:
        where = next((str(item["loc"][0]) for item in error.errors(include_url=False) if item["loc"]), "")
        raise NotCanonical(where, "does not accept its own value as it is written") from None
    except NotCanonical:
        raise
    except Exception as error:  # noqa: BLE001  # serializers of a tool raise any exception
        raise NotCanonical(_unwritable(made), f"cannot be written as JSON ({type(error).__name__})") from None
    changed = [name for name, value in vars(made).items() if vars(again).get(name) != value]
    if changed or not same or made.__pydantic_extra__ != again.__pydantic_extra__:
        where = key_of(changed[0], model.model_fields[changed[0]]) if changed and changed[0] in model.model_fields else ""
        raise NotCanonical(where, "is another value after it is written and read again")
    return written


def _dumped(made: BaseModel) -> dict[str, Any]:
    how: dict[str, Any] = {"by_alias": True, "round_trip": True, "warnings": "error"}
    written: dict[str, Any] = normal_form(made.model_dump(**how), made.model_dump(mode="json", **how))
    canonical_json(written)
    return written


def _unwritable(made: BaseModel) -> str:
    for name, info in type(made).model_fields.items():
        try:
            canonical_json(made.model_dump(mode="json", include={name}, warnings="error"))
        except Exception:  # noqa: BLE001
            return key_of(name, info)
    return ""


def _value_problems(name: str, info: FieldInfo, field: CanonicalField) -> Iterator[str]:
    if field.adapter is None:
        return
    if has_default_of_its_own(info):
        try:
            made = [field.canonical(info.get_default(call_default_factory=True)) for _ in range(3)]
        except ValidationError:
            yield f"the default of argument {name!r} does not fit its own type: correct the annotation or the default"
            return
        if any(canonical_json(value) != canonical_json(made[0]) for value in made):
            yield f"the default of argument {name!r} is another one each time: let the tool's function make that value"
    for example in info.examples or ():
        try:
            field.canonical(example)
        except ValidationError:
            continue


def _field_by_field(model: type[BaseModel], args: Mapping[str, Any]) -> dict[str, Any]:
    """Return arguments of which some are not known yet, or do not fit, each known one in its canonical form."""
    by_spelling = {
        spelling: field
        for name, field in fields_of(model).items()
        for spelling in (name, field.key, *accepted_names(model.model_fields[name]))
    }
    found: dict[str, Any] = {}
    for name, value in args.items():
        field = by_spelling.get(name)
        if field is None or field.key in found:
            found[name] = value
        else:
            found[field.key] = _alone(field, value)
    missing = {
        field.key: field.default for field in fields_of(model).values() if field.has_default and field.key not in found
    }
    return found | missing


def _alone(field: CanonicalField, value: Any) -> Any:
    if field.adapter is None or contains_unknown(value) or any(each.kind == REF for _, each in _opens(value)):
        return value
    places = dict(_opens(value))
    try:
        written = field.canonical(filled(value, _stand_in))
        for keys, secret in places.items():
            written = _put_back(written, keys, secret)
    except NotCanonical:
        if places:
            return value
        raise
    except Exception:  # noqa: BLE001  # it does not fit: the check of the whole model says so, and names the field
        return value
    return written


def _put_back(value: Any, keys: tuple[Any, ...], secret: Open) -> Any:
    if not keys:
        if value != _stand_in(secret):
            raise LookupError("the model changed the text that stood for the secret")
        return secret
    inside = _put_back(value[keys[0]], keys[1:], secret)
    if isinstance(value, list):
        return [*value[: keys[0]], inside, *value[keys[0] + 1 :]]
    return {**value, keys[0]: inside}


def _opens(value: Any, keys: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Open]]:
    if isinstance(value, Open):
        yield keys, value
    elif isinstance(value, Mapping):
        for key, child in value.items():
            yield from _opens(child, (*keys, key))
    elif isinstance(value, list | tuple):
        for index, child in enumerate(value):
            yield from _opens(child, (*keys, index))


def _is_open(value: Any) -> bool:
    return contains_unknown(value) or next(_opens(value), None) is not None


def _opened(value: Any) -> Any:
    if isinstance(value, Mapping):
        if len(value) == 1 and (kind := next(iter(value))) in (REF, SECRET):
            return Open(kind, value[kind])
        return {key: _opened(child) for key, child in value.items()}
    return [_opened(child) for child in value] if isinstance(value, list | tuple) else value


def _compared(value: Any) -> str:
    return canonical_json(numbers_alike(value))


def _about(marker: Marker) -> tuple[str, str]:
    return marker.kind, str(marker.text)


def _as_marker(place: Open) -> dict[str, Any]:
    return {place.kind: place.text}


def _stand_in(place: Open) -> str:
    return f"(secret {shorten(str(place.text), 100)})"
