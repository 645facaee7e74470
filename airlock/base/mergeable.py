"""Counts that can be added: two monitors together count exactly what one monitor would have counted."""

from collections.abc import Sequence
from typing import Any, Self

from pydantic import SerializerFunctionWrapHandler, model_serializer

from airlock.base.model import WireModel


class Mergeable(WireModel):
    """A model of whole numbers, dictionaries of them, and other such models; every default is zero.

    Addition is associative, commutative and exact: no field is a float, whose sum would depend on the order. Zeros are left
    out on the wire.
    """

    def __add__(self, other: Self) -> Self:
        """Return the sum, field by field."""
        theirs = other.__dict__
        # most fields of most counts are zero; the rest may be shared, since nothing here is ever changed in place
        summed = {name: _plus(value, more) for name, value in self.__dict__.items() if (more := theirs[name])}
        changed = {name: value for name, value in summed.items() if value is not self.__dict__[name]}
        return self.model_copy(update=changed) if changed else self

    @classmethod
    def total(cls, parts: Sequence[Self]) -> Self:
        """Return the sum of all parts; for many parts this costs a fraction of adding them one by one."""
        if not parts:
            return cls()
        if len(parts) == 1:
            return parts[0]
        summed = {name: _total([getattr(part, name) for part in parts]) for name in cls.model_fields}
        return parts[0].model_copy(update=summed)

    @model_serializer(mode="wrap")
    def _without_zeros(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: value for name, value in handler(self).items() if value}


def _total(values: Sequence[Any]) -> Any:
    first = values[0]
    if isinstance(first, dict):
        by_key: dict[Any, list[Any]] = {}
        for value in values:
            for key, inner in value.items():
                by_key.setdefault(key, []).append(inner)
        return {key: _total(found) for key, found in by_key.items()}
    return type(first).total(values) if isinstance(first, Mergeable) else sum(values)


def _plus(one: Any, other: Any) -> Any:
    if isinstance(one, dict):
        if not one or not other:
            return one or other
        added = {key: _plus(value, other[key]) if key in other else value for key, value in one.items()}
        return added | {key: value for key, value in other.items() if key not in one}
    return one + other
