"""Text for storage and display: bounded, on one line, and unable to imitate other text. See `visible` too."""

MAX_OUTPUT_BYTES = 65_536
"""The largest output of one call, in bytes of JSON; the run's history and its continue-as-new carry it."""
MAX_TEXT = 500
"""The longest free text of a tool that is stored, in characters; longer text is cut."""


def shorten(text: str, limit: int = MAX_TEXT) -> str:
    """Return a text as one line of at most `limit` characters; half of a surrogate pair, invalid in JSON, becomes `?`."""
    line = " ".join(text.encode("utf-8", "replace").decode().split())
    return line if len(line) <= limit else line[: limit - 1] + "…"
