"""The words of a CEL expression, and the fields that it reads: enough to say so before it is evaluated, and no parser.

CEL itself parses expressions. What is found here may only be too much: a field that the expression never comes to.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

MACROS: Final = frozenset({"all", "exists", "exists_one", "filter", "map"})
"""The functions that go through a list or an object, and name a variable for its elements."""
TYPES: Final = frozenset({"bool", "bytes", "double", "int", "list", "map", "string", "type", "uint"})
WORDS: Final = frozenset({"true", "false", "null", "in"}) | TYPES
"""Words that are neither variables nor functions: literals, one operator, and types."""

_TOKEN: Final = re.compile(
    r"""
    (?P<space>\s+|//[^\n]*)
  | (?P<text>(?:[bB]?[rR]|[rR][bB])(?:'{3}.*?'{3}|"{3}.*?"{3}|'[^'\n]*'|"[^"\n]*")
      | [bB]?(?:'{3}(?:\\.|[^\\])*?'{3}|"{3}(?:\\.|[^\\])*?"{3}|'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"))
  | (?P<number>0[xX][0-9a-fA-F]+[uU]?|(?:\d+\.\d+|\d+|\.\d+)(?:[eE][+-]?\d+)?[uU]?)
  | (?P<name>[A-Za-z_][A-Za-z0-9_]*)
  | (?P<sign>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_PLAIN_TEXT: Final = re.compile(r"""(['"])([^'"\\]+)\1""")


@dataclass(frozen=True)
class Token:
    """One word or sign of an expression."""

    kind: str
    """`text`, `number`, `name` or `sign`."""
    text: str
    start: int
    end: int


@dataclass(frozen=True)
class Read:
    """A value that an expression reads, such as `step.args.amount`."""

    path: tuple[str, ...]
    """The variable, and the names after it; a position in a list, or a computed key, ends the path."""
    start: int
    end: int

    def reads(self, place: Sequence[str]) -> bool:
        """Return True if the value at a place belongs to what is read: it is the same, a part of it, or it holds it."""
        return all(mine == other for mine, other in zip(self.path, place, strict=False))


def tokens(expression: str) -> tuple[Token, ...]:
    """Return the words and signs of an expression, without spaces and comments."""
    return tuple(
        Token(found.lastgroup or "", found[0], found.start(), found.end())
        for found in _TOKEN.finditer(expression)
        if found.lastgroup != "space"
    )


def reads(found: Sequence[Token]) -> tuple[Read, ...]:
    """Return every variable that an expression reads, with the names after it, in order."""
    return tuple(_reads(found))


def _reads(found: Sequence[Token]) -> Iterator[Read]:
    for at, token in enumerate(found):
        if token.kind != "name" or token.text in WORDS or _text(found, at - 1) == "." or _text(found, at + 1) == "(":
            continue
        path, end = [token.text], at
        while (step := _next_name(found, end)) is not None:
            path.append(step[0])
            end = step[1]
        yield Read(tuple(path), token.start, found[end].end)


def _next_name(found: Sequence[Token], end: int) -> tuple[str, int] | None:
    """Return the name that is read after a token, with the position of its last token; None if there is none."""
    if _text(found, end + 1) == "." and end + 2 < len(found) and found[end + 2].kind == "name":
        # a name before a parenthesis is a function
        return None if _text(found, end + 3) == "(" else (found[end + 2].text, end + 2)
    if _text(found, end + 1) == "[" and _text(found, end + 3) == "]" and found[end + 2].kind == "text":
        plain = _PLAIN_TEXT.fullmatch(found[end + 2].text)
        return None if plain is None else (plain[2], end + 3)
    return None


def calls(found: Sequence[Token]) -> tuple[str, ...]:
    """Return the functions and macros that an expression calls, in order."""
    names = (token.text for at, token in enumerate(found) if token.kind == "name" and _text(found, at + 1) == "(")
    return tuple(name for name in names if name != "in")


def bound(found: Sequence[Token]) -> frozenset[str]:
    """Return the names that macros give to the elements they go through."""
    return frozenset(found[at + 2].text for at in _macros(found) if at + 2 < len(found))


def deepest_macro(found: Sequence[Token]) -> int:
    """Return how many macros stand inside each other at most; the time that they take multiplies."""
    deepest, open_macros, depth = 0, list[int](), 0
    macros = set(_macros(found))
    for at, token in enumerate(found):
        if token.kind != "sign":
            continue
        if token.text in "([{":
            depth += 1
            if token.text == "(" and at - 1 in macros:
                open_macros.append(depth)
                deepest = max(deepest, len(open_macros))
        elif token.text in ")]}":
            if open_macros and open_macros[-1] == depth:
                open_macros.pop()
            depth -= 1
    return deepest


def macro_spans(found: Sequence[Token]) -> tuple[tuple[int, int, int], ...]:
    """Return where the brackets of each macro begin and end, and the words and signs between them."""
    spans = []
    for at in _macros(found):
        depth, end = 0, at + 1
        while end < len(found):
            depth += _text(found, end) in ("(", "[", "{")
            depth -= _text(found, end) in (")", "]", "}")
            if not depth:
                break
            end += 1
        last = found[min(end, len(found) - 1)]
        spans.append((found[at + 1].start, last.end, end - at))
    return tuple(spans)


def slow_match(found: Sequence[Token]) -> str:
    """Return what is wrong with a use of `matches`, in words; empty if each has a pattern in quotes and no list around it.

    CEL reads the pattern again each time. A repetition of 64 letters takes 40 ms, and a list has thousands of elements.
    """
    for at, token in enumerate(found):
        if token.kind != "name" or token.text != "matches" or _text(found, at + 1) != "(":
            continue
        if _text(found, at - 1) != "." or found[at + 2].kind != "text" or _text(found, at + 3) != ")":
            return "calls matches() with a pattern that is not one text in quotes: write TEXT.matches('PATTERN')"
        if _open_macros(found[:at]):
            return (
                "calls matches() for each element of a list, which takes too long on large arguments: "
                "use startsWith, endsWith or contains there"
            )
    return ""


def _open_macros(found: Sequence[Token]) -> int:
    """Return how many macros are open at the end of some tokens."""
    macros, open_brackets = set(_macros(found)), list[bool]()
    for at, token in enumerate(found):
        if token.kind != "sign":
            continue
        if token.text in "([{":
            open_brackets.append(token.text == "(" and at - 1 in macros)
        elif token.text in ")]}" and open_brackets:
            open_brackets.pop()
    return sum(open_brackets)


def deepest_bracket(found: Sequence[Token]) -> int:
    """Return how many brackets, and signs before a value, stand inside each other at most."""
    deepest = depth = signs = 0
    for token in found:
        if token.kind == "sign" and token.text in "([{":
            depth += 1
        elif token.kind == "sign" and token.text in ")]}":
            depth -= 1
        signs = signs + 1 if token.text in ("!", "-") else 0
        deepest = max(deepest, depth + signs)
    return deepest


def _macros(found: Sequence[Token]) -> Iterator[int]:
    """Yield the position of the name of each macro."""
    for at, token in enumerate(found):
        if token.text in MACROS and _text(found, at - 1) == "." and _text(found, at + 1) == "(":
            yield at


def _text(found: Sequence[Token], at: int) -> str:
    return found[at].text if 0 <= at < len(found) and found[at].kind != "text" else ""
