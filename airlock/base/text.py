"""Text that is stored or shown: bounded, on one line, and unable to pass for other text."""

import re

MAX_OUTPUT_BYTES = 65_536
"""The largest output of one call, in bytes of JSON; a run's history and its continue-as-new carry it."""
MAX_TEXT = 500
"""Free text from tools is cut to this many characters before it is stored."""
_BLANK_LETTERS = "\u115f\u1160\u3164\uffa0\u2800"  # counted as printable, shown as nothing


def shorten(text: str, limit: int = MAX_TEXT) -> str:
    """Return a text of at most `limit` characters, on one line.

    Half of a surrogate pair, which JSON cannot carry, becomes `?`.
    """
    line = " ".join(text.encode("utf-8", "replace").decode().split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def printable(line: str) -> str:
    """Return a line without control and formatting characters: an agent's text must not fake lines or hide others."""
    if line.isascii() and line.isprintable():  # most are, and a large plan has tens of thousands
        return line
    return "".join(
        character if character.isprintable() and character not in _BLANK_LETTERS else "\N{REPLACEMENT CHARACTER}"
        for character in line
    )


def inline(text: str) -> str:
    """Return a text inside Markdown: nothing in it becomes a link, an image or mark-up."""
    return re.sub(r"([\\\[\]()<>!*_#])", r"\\\1", printable(text).replace("|", "/").replace("`", "'"))
