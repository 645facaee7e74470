"""The formats of texts that a JSON Schema may ask for; one that is not here is a remark to the reader, not a check."""

import re
from datetime import datetime
from urllib.parse import urlsplit

from jsonschema import Draft202012Validator, FormatChecker

_INSTANT = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)

FORMATS = FormatChecker(formats=())
"""The checks, none of which runs an expression out of a value."""
FORMATS.checkers = {
    name: check
    for name, check in Draft202012Validator.FORMAT_CHECKER.checkers.items()
    if name in ("date", "email", "idn-email", "ipv4", "ipv6", "time", "uuid")
}


@FORMATS.checks("date-time", raises=ValueError)
def is_instant(value: object) -> bool:
    """Return True for a date with a time and an offset."""
    if not isinstance(value, str):
        return True
    if not _INSTANT.fullmatch(value):
        return False
    datetime.fromisoformat(f"{value[:10]}T{value[11:19]}")
    return True


@FORMATS.checks("uri", raises=ValueError)
def is_uri(value: object) -> bool:
    """Return True for a text with a scheme and without white space."""
    if not isinstance(value, str):
        return True
    return bool(urlsplit(value).scheme) and not re.search(r"\s", value)
