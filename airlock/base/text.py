"""Text for storage and display: bounded, on one line, and unable to imitate other text."""

import re

MAX_OUTPUT_BYTES = 65_536
"""The largest output of one call, in bytes of JSON; the run's history and its continue-as-new carry it."""
MAX_TEXT = 500
"""The longest free text of a tool that is stored, in characters; longer text is cut."""
_BLANK_LETTERS = "\u115f\u1160\u3164\uffa0\u2800"  # printable by Unicode, but displayed as nothing


def shorten(text: str, limit: int = MAX_TEXT) -> str:
    """Return a text as one line of at most `limit` characters; half of a surrogate pair, invalid in JSON, becomes `?`."""
    line = " ".join(text.encode("utf-8", "replace").decode().split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def printable(line: str) -> str:
    """Replace control and formatting characters: an agent's text must not fake lines or hide others."""
    if line.isascii() and line.isprintable():  # the usual case: a large plan has tens of thousands of lines
        return line
    return "".join(
        character if character.isprintable() and character not in _BLANK_LETTERS else "\N{REPLACEMENT CHARACTER}"
        for character in line
    )


def inline(text: str) -> str:
    """Escape a text for Markdown: nothing in it becomes a link, an image or mark-up."""
    return re.sub(r"([\\\[\]()<>!*_#])", r"\\\1", printable(text).replace("|", "/").replace("`", "'"))
