"""One argument of a tool's model: its name, its default, and its canonical form without the other arguments."""

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, PlainValidator, TypeAdapter, ValidationError, WrapValidator
from pydantic.fields import FieldInfo
from pydantic_core import PydanticSerializationError

from airlock.base.canonical import canonical_json
from airlock.base.errors import ToolFailed
from airlock.plans.arguments.normal_form import normal_form

LEFT_OUT = object()
"""A mark in an argument's annotation: optional without a default, so that canonical arguments may be without it."""
_VALIDATORS = {"before": BeforeValidator, "after": AfterValidator, "plain": PlainValidator, "wrap": WrapValidator}


class NotCanonical(ToolFailed):
    """Arguments that would not come back as they are from their own canonical form.

    Args:
        field: The argument; empty if it is not known which.
        why: The reason, without any value.
    """

    def __init__(self, field: str, why: str) -> None:
        self.field = field
        self.why = why
        super().__init__(f"the argument {field!r} {why}" if field else f"the arguments together: {why}")


@dataclass(frozen=True)
class CanonicalField:
    """One argument of a model, checked and written without the others."""

    key: str
    adapter: TypeAdapter[Any] | None
    """None if only the whole model writes this field."""
    has_default: bool = False
    default: Any = None

    def canonical(self, value: Any) -> Any:
        """Return the canonical form of one value.

        Raises:
            ValidationError: If it does not fit.
            NotCanonical: If it does not come back as it is.
        """
        assert self.adapter is not None
        made = self.adapter.validate_python(value)
        written = self._dumped(made)
        try:
            again = self.adapter.validate_python(written)
        except ValidationError:
            raise NotCanonical(self.key, "does not accept its own value as it is written") from None
        if again != made or self._dumped(again) != written:
            raise NotCanonical(self.key, "is another value after it is written and read again")
        return written

    def _dumped(self, made: Any) -> Any:
        assert self.adapter is not None
        how: dict[str, Any] = {"by_alias": True, "round_trip": True, "warnings": "error"}
        try:
            written = normal_form(self.adapter.dump_python(made, **how), self.adapter.dump_python(made, mode="json", **how))
            canonical_json(written)
        except (PydanticSerializationError, TypeError, ValueError) as error:
            raise NotCanonical(self.key, f"cannot be written as JSON ({type(error).__name__})") from None
        return written


@lru_cache(maxsize=512)
def fields_of(model: type[BaseModel]) -> dict[str, CanonicalField]:
    """Return the arguments of a model by the names of its fields."""
    decorators = model.__pydantic_decorators__
    checks = list(decorators.field_validators.values())
    alone = {name for found in decorators.field_serializers.values() for name in found.info.fields}
    fields: dict[str, CanonicalField] = {}
    for name, info in model.model_fields.items():
        own = [each for each in checks if name in each.info.fields or "*" in each.info.fields]
        kind: Any = info.rebuild_annotation()
        for each in own:
            kind = Annotated[kind, _VALIDATORS[each.info.mode](each.func)]
        plain = not ({name, "*"} & alone) and not model.model_config.get("json_encoders")
        field = CanonicalField(key_of(name, info), _adapter(kind, model) if plain else None)
        fields[name] = _with_default(field, info)
    return fields


def key_of(name: str, info: FieldInfo) -> str:
    """Return the name of an argument in canonical arguments."""
    return info.serialization_alias or info.alias or name


def accepted_names(info: FieldInfo) -> tuple[str, ...]:
    """Return the aliases under which a plan may state an argument."""
    choices = getattr(info.validation_alias, "choices", (info.validation_alias, info.alias))
    return tuple(choice for choice in choices if isinstance(choice, str))


def _adapter(kind: Any, model: type[BaseModel]) -> TypeAdapter[Any] | None:
    config = {key: value for key, value in model.model_config.items() if key in _CONFIG}
    try:
        return TypeAdapter(kind, config=config)  # type: ignore[arg-type]
    except Exception:  # noqa: BLE001  # a model has a configuration of its own, and a type may refuse to stand alone
        try:
            return TypeAdapter(kind)
        except Exception:  # noqa: BLE001
            return None


_CONFIG = (
    "strict", "str_strip_whitespace", "str_to_lower", "str_to_upper", "str_min_length", "str_max_length",
    "coerce_numbers_to_str", "arbitrary_types_allowed", "use_enum_values", "allow_inf_nan", "ser_json_bytes",
    "val_json_bytes", "ser_json_timedelta", "ser_json_temporal", "val_temporal_unit", "ser_json_inf_nan",
)  # fmt: skip


def has_default_of_its_own(info: FieldInfo) -> bool:
    """Return True if an argument that is left out means a value, which does not depend on the other arguments."""
    return not (info.is_required() or info.default_factory_takes_validated_data or LEFT_OUT in info.metadata)


def _with_default(field: CanonicalField, info: FieldInfo) -> CanonicalField:
    if field.adapter is None or not has_default_of_its_own(info):
        return field
    try:
        value = info.get_default(call_default_factory=True)
        return replace(field, has_default=True, default=field.canonical(value))
    except Exception:  # noqa: BLE001  # `round_trip_problems` tells the author; a plan must then state the argument
        return field
