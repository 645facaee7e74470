"""JSON that a person wrote: its value, or what is wrong with it, where, and the fix."""

import json
import re
from typing import Any

_NOT_JSON = re.compile(r"(True|False|None|yes|no|undefined|nan|inf)\b")
_YAML = re.compile(r"---|- |[\w-]+:(\s|\Z)")
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_QUOTES = 'put names and texts in double quotes: "..."'
_FAULTS = {
    "Expecting ',' delimiter": ("a comma is missing, or a bracket", "put a comma between two entries; close each [ and {"),
    "Expecting ':' delimiter": ("a colon is missing", "put a colon between a name and its value"),
    "Expecting property name": ("a name is missing", 'put the name in double quotes: "name": ...'),
    "Extra data": ("something follows the end", "leave one JSON document"),
    "Invalid control character": ("a text holds a line break or a tab", r"write \n or \t in the text, or end the text"),
    "Invalid \\": ("a backslash stands for nothing", r"write a backslash as \\"),
    "Expecting value": ("a value is missing", 'write a text in quotes, a number, true, false, null, [...] or {...}'),
}  # fmt: skip
"""The fault in words and its fix, by the beginning of the message of Python's own parser."""


class JsonFault(ValueError):
    """Text that is not JSON."""

    def __init__(self, message: str, fix: str) -> None:
        self.message = message
        self.fix = fix
        super().__init__(f"{message} (fix: {fix})")


def parse_json(data: bytes) -> Any:
    """Return the value of a JSON text in UTF-8, with or without a byte order mark.

    Raises:
        JsonFault: If it is not one, or an object in it has one key twice: a reader could see another value than counts.
    """
    if data.startswith(_UTF_16) or b"\0" in data[:2]:
        raise JsonFault("is UTF-16, not UTF-8", "save it as UTF-8")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise JsonFault(f"is not UTF-8: line {line:,} holds other bytes", "save it as UTF-8") from error
    if not text.strip():
        raise JsonFault("is empty", "write JSON: {...}")
    try:
        return json.loads(text, object_pairs_hook=_without_repeats)
    except JsonFault:
        raise
    except json.JSONDecodeError as error:
        raise _fault(text, error) from error
    except RecursionError as error:
        raise JsonFault("is not JSON that can be read: it is nested too deeply", "flatten it") from error
    except ValueError as error:  # numbers of thousands of digits
        raise JsonFault(f"is not JSON that can be read: {error}", "write a shorter number") from error


def _fault(text: str, error: json.JSONDecodeError) -> JsonFault:
    before, rest = text[: error.pos].rstrip(), text[error.pos :]
    if not before and _YAML.match(rest.lstrip()):
        return JsonFault("is YAML, not JSON", 'write it as JSON: {"name": "value", "list": [1, 2]}')
    position = error.pos
    if error.msg.startswith("Illegal trailing comma"):  # from Python 3.13 on
        fault, fix = "a comma stands after the last entry", "remove that comma"
    elif before.endswith(",") and rest[:1] in ("}", "]"):
        position, fault, fix = len(before) - 1, "a comma stands after the last entry", "remove that comma"
    else:
        fault, fix = _by_text(rest) or _by_message(error.msg)
    line = text.count("\n", 0, position) + 1
    column = position - text.rfind("\n", 0, position)
    return JsonFault(f"is not JSON: line {line:,}, column {column:,}: {fault}", fix)


def _by_text(rest: str) -> tuple[str, str] | None:
    """Return fault and fix where the text itself tells which habit of another language it follows."""
    if not rest.strip():
        return "the text ends too early", "close each text, each [ and each {"
    if rest.startswith("'"):
        return "a single quote stands there", _QUOTES
    if rest.startswith(("//", "/*", "#")):
        return "a comment stands there", "remove it: JSON has no comments"
    if word := _NOT_JSON.match(rest):
        return f"{word[0]} is no JSON", "write true, false, null, or a text in double quotes"
    return None


def _by_message(message: str) -> tuple[str, str]:
    if message.startswith("Unterminated string"):
        return "the text that begins there has no end", 'end it with a double quote: "'
    return next((said for start, said in _FAULTS.items() if message.startswith(start)), (message, "correct the syntax"))


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        repeated = next(key for key in keys if keys.count(key) > 1)
        raise JsonFault(f"the key {repeated!r} is repeated in one object", f"leave {repeated!r} once")
    return found
