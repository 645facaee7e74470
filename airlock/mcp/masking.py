"""Answers for agents: names of secrets are hidden, and large values are left out."""

import json
import re
from collections.abc import Mapping
from typing import Any

from airlock.plans.refs import SECRET

HIDDEN = "(hidden)"
_REDACTED = re.compile(r"\(secret [^()\n]{1,200}\)")
"""The mark that a worker leaves in the place of a secret, with its name."""
MAX_VALUE = 20_000
"""Characters of JSON of one output in an answer; a model reads all of them."""


def masked(value: Any) -> Any:
    """Return a JSON value in which no secret is named, however deep its name stands."""
    if isinstance(value, str):
        return _REDACTED.sub(HIDDEN, value)
    if isinstance(value, Mapping):
        return {key: HIDDEN if key == SECRET else masked(inner) for key, inner in value.items()}
    return [masked(inner) for inner in value] if isinstance(value, list | tuple) else value


def bounded(value: Any) -> Any:
    """Return a value, or a note in its place if it is too long for an answer."""
    size = len(json.dumps(value, ensure_ascii=False, default=str))
    if size > MAX_VALUE:
        return {"left_out": f"{size:,} characters of JSON: more than the {MAX_VALUE:,} that one answer shows"}
    return value
