"""Texts of plans in messages: as in previews everything in them can be seen, and nothing in them is a link or a mention."""

import re

from airlock.base.visible import escaped, visible

MAX_TEXT = 600
"""Characters of one text in a message."""
# receivers make links of bare names of hosts too, such as evil.test/approve
_DOTTED = re.compile(r"(?<=[^\W_])(?:\.(?=[^\W\d_]{2})|[\u3002\uff0e\uff61](?=[A-Za-z]{2}))|(?<=\d)\.(?=\d+\.\d+\.\d)")
_SCHEME = re.compile(r":(?=//)|(?<=mailto):|(?<=tel):|(?<=javascript):|(?<=data):", re.IGNORECASE)
_MENTION = re.compile(r"(?<![\w.])@(?=\w)")
_MARKUP = re.compile(r"[<>`]")


def foreign(text: str, limit: int = MAX_TEXT) -> str:
    """Return a text of a plan as one line for a message; what does not fit says so.

    The colon of a scheme, the dot of a host's name, the @ of a mention, angle brackets and backticks are written as marks.
    """
    shown = visible(" ".join(text.split()))
    for found in (_SCHEME, _DOTTED, _MENTION, _MARKUP):
        shown = found.sub(lambda character: escaped(character[0]), shown)
    if len(shown) <= limit:
        return shown
    return f"{shown[:limit]} … ({len(shown) - limit} more characters are not shown here)"
