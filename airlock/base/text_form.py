"""The form of a text that a regular expression describes, in words: which characters, and how many of each."""

import re
from collections.abc import Iterator

_PART = re.compile(
    r"(?P<set>\[\^?(?:\\.|[^\\\]])+\])|(?P<escaped>\\.)|(?P<any>\.)|(?P<plain>[^\\\[\](){}|*+?^$.])",
    re.DOTALL,
)
_TIMES = re.compile(r"(?P<sign>[*+?])|\{(?P<least>\d+)(?P<comma>,)?(?P<most>\d*)\}")
_MEMBER = re.compile(r"(?P<range>[^\\-]-[^\\-])|(?P<escaped>\\.)|(?P<plain>[^\\])", re.DOTALL)
_CLASSES = {r"\d": "0-9", r"\w": "letters, digits, '_'", r"\s": "white space"}
_ANY = "characters"
_NUMBERS = {"*": "any number", "+": "1 or more", "?": "at most one"}
_BREAKS = {r"\r": "line breaks", r"\n": "line breaks", r"\t": "tabs", "\r": "line breaks", "\n": "line breaks"}
_PLAIN_ESCAPES = re.compile(r"\\[^A-Za-z0-9]", re.DOTALL)


def form_in_words(pattern: str) -> str:
    """Return the form that a regular expression wants, as in `one of a-z, then 0 to 63 of a-z, 0-9 or '-'`.

    Empty for an expression of other parts than single characters, sets of characters and their numbers, or one that does not
    fix both ends: its text says more than half a sentence would.
    """
    if not pattern.startswith("^") or not (ends := re.search(r"(?<!\\)(\$|\\Z)\Z", pattern)):
        return ""
    parts = _parts(pattern[1 : ends.start()])
    return "" if parts is None else ", then ".join(parts)


def _parts(rest: str) -> list[str] | None:
    """Return each part in words; None if one of them has none."""
    found: list[str] = []
    exact = ""
    while rest:
        part = _PART.match(rest)
        if part is None:
            return None
        rest = rest[part.end() :]
        times = _TIMES.match(rest)
        if times is not None:
            rest = rest[times.end() :]
            if rest[:1] in ("?", "+"):
                return None  # lazy and possessive
        characters = _characters(part[0])
        if characters is None:
            return None
        if times is None and _is_one(characters):
            exact += characters[1:-1]
            continue
        found += [f"'{exact}'"] * bool(exact) + [_counted(characters, times)]
        exact = ""
    return found + [f"'{exact}'"] * bool(exact)


def _is_one(characters: str) -> bool:
    """Return True for the words of one character that is stated."""
    return len(characters) == 3 and characters[0] == characters[-1] == "'"


def _counted(characters: str, times: "re.Match[str] | None") -> str:
    if times is not None and times["sign"] == "?" and _is_one(characters):
        return f"an optional {characters}"
    if times is None:
        number = "one"
    elif times["sign"]:
        number = _NUMBERS[times["sign"]]
    else:
        number = times["least"]
        if times["comma"]:
            number += f" to {times['most']}" if times["most"] else " or more"
    if not characters.startswith(_ANY):
        return f"{number} of {characters}"
    if number.endswith("one"):
        return f"{number} {characters.replace(_ANY, 'character', 1)}"
    return f"{number} of {characters}" if number == "any number" else f"{number} {characters}"


def _characters(part: str) -> str | None:
    """Return the characters that a part allows; None for an escape or a set without words."""
    if part == ".":
        return f"{_ANY} except line breaks"
    if not part.startswith("["):
        return _word(part)
    negated = part.startswith("[^")
    inside = part[2 if negated else 1 : -1]
    words = list(_members(inside))
    if None in words or "[" in inside.replace(r"\[", "") or "&&" in inside:
        return None  # a set of sets
    unique = list(dict.fromkeys(word for word in words if word is not None))
    joined = " or ".join([", ".join(unique[:-1]), unique[-1]] if len(unique) > 1 else unique)
    return f"{_ANY} except {joined}" if negated else joined


def _members(inside: str) -> Iterator[str | None]:
    for member in _MEMBER.finditer(inside):
        yield member["range"] or _word(member[0])


def _word(character: str) -> str | None:
    if known := _CLASSES.get(character) or _BREAKS.get(character):
        return known
    if character.startswith("\\"):
        return f"'{character[1]}'" if _PLAIN_ESCAPES.fullmatch(character) else None
    return f"'{character}'" if character.isprintable() else None
