"""One spelling for values that JSON can write in several ways: decimals, instants, sets, and numbers in a comparison."""

from collections.abc import Mapping, Set
from datetime import UTC, datetime
from decimal import Context, Decimal
from typing import Any

from pydantic import TypeAdapter

from airlock.base.canonical import canonical_json

_EXACT = 2**53
"""The whole numbers below this one are the same as `float` and as `int`."""
_PLACES = 60
"""Digits before or after the point up to which a decimal is written without an exponent."""
_DATETIME = TypeAdapter(datetime)


def normal_form(value: Any, written: Any) -> Any:
    """Return the one JSON form of a value.

    Decimals have no trailing zeros, instants with an offset are in UTC, and sets are sorted.

    Args:
        value: The value, with objects of models as dictionaries.
        written: The same value as JSON, as its model writes it. What a model writes in a way of its own stays so.
    """
    if isinstance(value, Decimal) and written == str(value):
        return _decimal(value)
    if isinstance(value, datetime) and value.tzinfo is not None and written == _DATETIME.dump_python(value, mode="json"):
        return _in_utc(value, written)
    if not isinstance(written, dict | list) or not hasattr(value, "__len__") or len(value) != len(written):
        return written
    if isinstance(value, Mapping) and isinstance(written, dict):
        return {key: normal_form(child, written[key]) for child, key in zip(value.values(), written, strict=True)}
    if isinstance(value, Set) and isinstance(written, list):
        return sorted(map(normal_form, value, written), key=canonical_json)  # its order depends on the hash seed
    if isinstance(value, list | tuple) and isinstance(written, list):
        return list(map(normal_form, value, written))
    return written


def numbers_alike(written: Any) -> Any:
    """Return a JSON value with whole numbers without a fraction: to JSON 100 and 100.0 are one number.

    Only for comparisons. A tool whose model leaves the type open may tell them apart, and gets what the plan says.
    """
    if isinstance(written, float):
        return int(written) if written.is_integer() and abs(written) < _EXACT else written
    if isinstance(written, Mapping):
        return {key: numbers_alike(child) for key, child in written.items()}
    return [numbers_alike(child) for child in written] if isinstance(written, list | tuple) else written


def _decimal(value: Decimal) -> str:
    if not value.is_finite():
        return str(value)
    if not value:
        return "0"
    plain = value.normalize(Context(prec=len(value.as_tuple().digits)))
    return format(plain, "f") if abs(plain.adjusted()) <= _PLACES else str(plain)


def _in_utc(value: datetime, written: str) -> str:
    try:
        return str(_DATETIME.dump_python(value.astimezone(UTC), mode="json"))
    except OverflowError:  # in the year 1 or 9999
        return written
