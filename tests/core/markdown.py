"""The details of a run as the Temporal UI reads them: parsed by an implementation of CommonMark that is not ours."""

import re
from collections.abc import Iterator

from markdown_it import MarkdownIt
from markdown_it.token import Token

_PARSER = MarkdownIt("commonmark").enable("table")


def tokens(text: str) -> list[Token]:
    """Return all tokens of a Markdown text, those inside of paragraphs too."""
    return [inner for token in _PARSER.parse(text) for inner in (token, *(token.children or ()))]


def blocks(text: str) -> list[tuple[str, str]]:
    """Return the language and the text of every block of code."""
    return [(token.info, token.content.rstrip("\n")) for token in tokens(text) if token.type == "fence"]


def items(text: str) -> list[str]:
    """Return the code of every item of a list, in its order. An item is one piece of code and nothing else."""
    return list(_items(text))


def _items(text: str) -> Iterator[str]:
    depth = 0
    for token in _PARSER.parse(text):
        depth += {"list_item_open": 1, "list_item_close": -1}.get(token.type, 0)
        if depth and token.type == "inline":
            held = [
                each
                for each in token.children or ()
                if each.type not in ("strong_open", "strong_close") and each.markup + each.content
            ]
            assert [each.type for each in held] == ["code_inline"], held
            yield held[0].content


def same(line: str) -> str:
    """Return a line of a preview as it can be compared: without its indentation, and with all spaces written as such."""
    return re.sub(r"⟨(\d+) spaces?⟩", lambda run: " " * int(run[1]), line.lstrip(" "))


def one_line(text: str) -> str:
    """Return a command as one line."""
    return text.replace(" \\\n  ", " ")
