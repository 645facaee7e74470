"""Foreign text in Markdown: as code, in which nothing is mark-up, and which wraps at its spaces."""

import re

_SPACES = re.compile(" {2,}")


def code(text: str) -> str:
    """Return one line of text as inline code, character by character; no text can end the code, or become a link.

    The fence is longer than any run of backticks in the text.
    """
    if not text:
        return ""
    fence = "`" * (max((len(run) for run in re.findall("`+", text)), default=0) + 1)
    # a space at each end is taken off again by Markdown, and keeps a backtick of the text away from the fence
    pad = " " if text[0] in "` " or text[-1] in "` " else ""
    return f"{fence}{pad}{text}{pad}{fence}"


def block(text: str, language: str) -> list[str]:
    """Return the lines of a block of code. Its fence is longer than any run of backticks in the text."""
    fence = "`" * max(3, *(len(run) + 1 for run in re.findall("`+", text)), 3)
    return [f"{fence}{language}", text, fence]


def spaced(text: str) -> str:
    """Return a text with runs of spaces counted, because a page draws them as one."""
    return _SPACES.sub(
        lambda run: f"\N{MATHEMATICAL LEFT ANGLE BRACKET}{len(run[0])} spaces\N{MATHEMATICAL RIGHT ANGLE BRACKET}", text
    )
