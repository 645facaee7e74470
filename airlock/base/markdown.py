"""Foreign text in Markdown: as code, in which nothing is mark-up, and which wraps at its spaces.

Temporal's UI reads a dialect of its own (gomarkdown), and fills in `{namespace}`, `{workflowId}` and `{runId}` before. So
nothing here relies on a fence of several backticks, on emphasis around foreign text, or on lists within lists.
"""

import re

from airlock.base.visible import CLOSE, FILLED_IN, OPEN, escaped

_SPACES = re.compile(" {2,}")


def code(text: str) -> str:
    """Return one line of text as inline code; no text can end the code, become a link, or be filled in.

    A backtick, and the brace of a text that the UI would fill in, are written as marks.
    """
    marked = FILLED_IN.sub(escaped("{"), text.replace("`", escaped("`")))
    return f"`{marked}`" if marked.strip(" ") else ""


def cell(text: str) -> str:
    """Return one line of text as code in a cell of a table."""
    return code(text).replace("|", escaped("|"))


def block(text: str, language: str) -> list[str]:
    """Return the lines of a block of code, for texts of ours: its lines are not wrapped, and no backtick may be in it."""
    return [f"```{language}", text, "```"]


def spaced(text: str) -> str:
    """Return a text with runs of spaces counted, because a page draws them as one."""
    return _SPACES.sub(lambda run: f"{OPEN}{len(run[0])} spaces{CLOSE}", text)
