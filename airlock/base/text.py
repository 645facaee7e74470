"""Text for storage and display: bounded, on one line, and unable to imitate other text. See `visible` too."""

import json
from collections.abc import Sequence

MAX_OUTPUT_BYTES = 65_536
"""The largest output of one call, in bytes of JSON; the run's history and its continue-as-new carry it."""
MAX_TEXT = 500
"""The longest free text of a tool that is stored, in characters; longer text is cut."""


MAX_LISTED = 10
"""Names in a phrase; of more, the number of the others is stated."""


def count(number: int, noun: str) -> str:
    """Return a number of things in words: `1 step`, `2 steps`. The noun is one whose plural ends with an s."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def listed(names: Sequence[str]) -> str:
    """Return names as a phrase (`a, b and c`); of many, the first few and the number of the others."""
    if len(names) > MAX_LISTED:
        return f"{', '.join(names[:MAX_LISTED])} and {len(names) - MAX_LISTED} more"
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def quoted(text: str, limit: int = MAX_TEXT) -> str:
    """Return a text in quotes, as one line of at most about `limit` characters, so that a reader sees where it ends."""
    return json.dumps(shorten(text, limit), ensure_ascii=False)


def shorten(text: str, limit: int = MAX_TEXT) -> str:
    """Return a text as one line of at most `limit` characters; half of a surrogate pair, invalid in JSON, becomes `?`."""
    line = " ".join(text.encode("utf-8", "replace").decode().split())
    return line if len(line) <= limit else line[: limit - 1] + "…"
