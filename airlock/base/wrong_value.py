"""The fault of a value in a file and its fix, in the words of a person who writes JSON or TOML."""

from collections.abc import Mapping
from typing import Any

from airlock.base.errors import plain_message
from airlock.base.text import count
from airlock.base.text_form import form_in_words

OBJECT = "an object {...}"
"""The holder of named values in JSON."""
TABLE = "a table of keys"
"""The holder of named values in TOML."""

_TEXT, _WHOLE, _NUMBER, _TRUTH = "a text", "a whole number", "a number", "true or false"
_LIST = "a list"
_NAMED = "named"
"""The mark of what JSON and TOML call by different words."""

_WANTED = {
    "string_type": _TEXT,
    "path_type": _TEXT,
    "int_type": _WHOLE,
    "int_parsing": _WHOLE,
    "int_from_float": _WHOLE,
    "float_type": _NUMBER,
    "float_parsing": _NUMBER,
    "bool_type": _TRUTH,
    "bool_parsing": _TRUTH,
    "tuple_type": _LIST,
    "list_type": _LIST,
    "set_type": _LIST,
    "frozen_set_type": _LIST,
    "dict_type": _NAMED,
    "mapping_type": _NAMED,
    "model_type": _NAMED,
    "model_attributes_type": _NAMED,
}
"""The kind of value that is wanted, by pydantic's type of the error."""
_EXAMPLES = {_TEXT: 'a text in quotes: "..."', _LIST: 'a list: ["...", "..."]', _TRUTH: "true or false, without quotes"}
"""The way in which a kind of value is written, where its name does not say so."""
_WITHOUT_FIX = {"missing": "is missing", "extra_forbidden": "is unknown here"}
"""The fault in words where only the reader of the file knows the fix, by pydantic's type of the error."""
_BOUNDS = {
    "greater_than_equal": ("ge", "less than", "at least"),
    "greater_than": ("gt", "not more than", "more than"),
    "less_than_equal": ("le", "more than", "at most"),
    "less_than": ("lt", "not less than", "less than"),
}
"""The name of the bound, the fault in words, and the wanted relation in words, by pydantic's type of the error."""


def wrong_value(item: Mapping[str, Any], named: str = OBJECT) -> tuple[str, str]:
    """Return what is wrong with a value, and what to write instead; an empty text where only the message knows.

    The value itself is never quoted: it may be a secret.

    Args:
        item: An error of a `ValidationError`, with its input.
        named: What holds named values in the format of the file: `OBJECT` or `TABLE`.
    """
    kind, given, limits = str(item["type"]), item.get("input"), item.get("ctx", {})
    if kind in _WANTED:
        wanted = named if _WANTED[kind] == _NAMED else _WANTED[kind]
        return f"is {_kind(given, named)}, not {wanted}", f"write {_EXAMPLES.get(wanted, wanted)}"
    if kind in ("enum", "literal_error"):
        expected = str(limits["expected"])
        found = "another text" if isinstance(given, str) else _kind(given, named)
        return f"is {found}, not {expected}", f"write {expected}"
    if kind in _BOUNDS:
        name, fault, wanted = _BOUNDS[kind]
        limit = f"{limits[name]:,g}"
        return f"is {fault} {limit}", f"write a number of {wanted} {limit}"
    if kind == "finite_number":
        return "is no number that one can count to", "write a number, without inf and nan"
    if kind == "too_short":
        least = int(limits["min_length"])
        return ("is empty" if not limits["actual_length"] else "has too few entries"), f"give at least {_entries(least)}"
    if kind == "too_long":
        return "has too many entries", f"give at most {_entries(int(limits['max_length']))}"
    if kind == "string_too_short":
        least = int(limits["min_length"])
        fault = "is empty" if not str(given).strip() else "is too short"
        return fault, f"write a text of at least {count(least, 'character')}"
    if kind == "string_too_long":
        return "is too long", f"write a text of at most {int(limits['max_length']):,} characters"
    if kind == "string_pattern_mismatch":
        return "has another form than it must have", f"write {_form(str(limits['pattern']))}"
    return _WITHOUT_FIX.get(kind) or plain_message(item), ""


def _form(pattern: str) -> str:
    return form_in_words(pattern) or f"a text that the regular expression {pattern} matches"


def _entries(number: int) -> str:
    return "one entry" if number == 1 else f"{number:,} entries"


def _kind(value: object, named: str) -> str:
    """Return the kind of a value in words."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return _TRUTH
    if isinstance(value, float):
        return _NUMBER if value.is_integer() else "a number with a fraction"
    kinds: tuple[tuple[type | tuple[type, ...], str], ...] = (
        (str, _TEXT),
        (int, _WHOLE),
        ((list, tuple), _LIST),
        (Mapping, named),
    )
    return next((words for kind, words in kinds if isinstance(value, kind)), "a date or a time")  # TOML has these
