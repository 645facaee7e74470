"""The details of a run as the Temporal UI reads them: parsed by an implementation of CommonMark that is not ours."""

import json
import re
import shlex

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
    """Return the code of every line of the preview, in its order. Each is one piece of code, and nothing else but `step`."""
    inlines = [token for token in _PARSER.parse(text) if token.type == "inline"]
    headings = [token.content for token in inlines]
    if "**Preview**" not in headings:
        return []
    shown = inlines[headings.index("**Preview**") + 1 : headings.index("step")]
    return [_only_code(token) for token in shown]


def _only_code(token: Token) -> str:
    pieces = [(each.type, each.content) for each in token.children or () if (each.type, each.content) != ("text", "")]
    heading = [("strong_open", ""), ("text", "step"), ("strong_close", ""), ("text", " ")]
    held = pieces[len(heading) :] if pieces[: len(heading)] == heading else pieces
    assert [kind for kind, _ in held] == ["code_inline"], pieces
    return held[0][1]


def same(line: str) -> str:
    """Return a line of a preview as it can be compared: without its indentation, and with all spaces written as such."""
    text = line.replace("⟨U+0060⟩", "`").replace("⟨U+007B⟩", "{").lstrip(" ")
    return re.sub(r"⟨(\d+) spaces?⟩", lambda run: " " * int(run[1]), text)


def command(text: str) -> str:
    """Return the command of a page as one line, with its JSON on one line too; empty if there is none."""
    found = [held for language, held in blocks(text) if language == "sh"]
    if not found:
        return ""
    *words, message = shlex.split(found[0].replace("\\\n", ""))
    return shlex.join([*words, json.dumps(json.loads(message))])
