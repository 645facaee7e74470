"""Answers for agents: names of secrets are hidden, and large values are left out."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from airlock.base.text import quoted
from airlock.plans.refs import SECRET

HIDDEN = "(hidden)"
_REDACTED = re.compile(r"\(secret [^()\n]{1,200}\)")
"""The mark that a worker leaves in the place of a secret, with its name."""
MAX_WORDS = 2_000
"""Characters of one text in quotes."""
MAX_TEXTS = 20
"""Reasons of one step that an answer shows."""
MAX_VALUE = 20_000
"""Characters of JSON of one output in an answer; a model reads all of them."""


def masked(value: Any) -> Any:
    """Return a JSON value in which no secret is named, however deep its name stands."""
    if isinstance(value, str):
        return _REDACTED.sub(HIDDEN, value)
    if isinstance(value, Mapping):
        return {key: HIDDEN if key == SECRET else masked(inner) for key, inner in value.items()}
    return [masked(inner) for inner in value] if isinstance(value, list | tuple) else value


def foreign(text: str) -> str:
    """Return a text that a person or another system may have written in quotes, as one line; an empty one as it is."""
    return quoted(text, MAX_WORDS) if text else ""


def all_foreign(texts: Sequence[str]) -> tuple[str, ...]:
    """Return some such texts in quotes; of more than an answer shows, it says how many are left out."""
    shown = tuple(foreign(text) for text in texts[:MAX_TEXTS])
    return (*shown, f"(and {len(texts) - MAX_TEXTS} more)") if len(texts) > MAX_TEXTS else shown


def bounded(value: Any) -> Any:
    """Return a value, or a note in its place if it is too long for an answer."""
    size = len(json.dumps(value, ensure_ascii=False, default=str))
    if size > MAX_VALUE:
        return {"left_out": f"{size:,} characters of JSON: more than the {MAX_VALUE:,} that one answer shows"}
    return value
