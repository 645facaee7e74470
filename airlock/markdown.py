"""Texts of others inside the Markdown that the Temporal UI shows."""

import re

from airlock.preview import printable


def inline(text: str) -> str:
    """A text inside Markdown: nothing in it becomes a link, an image or mark-up."""
    return re.sub(r"([\\\[\]()<>!*_#])", r"\\\1", printable(text).replace("|", "/").replace("`", "'"))
