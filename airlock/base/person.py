"""Names of people and agents: every spelling of a name is the same person."""

import unicodedata
from collections.abc import Iterable
from functools import lru_cache

from airlock.base.names import RESERVED
from airlock.base.scripts import mixed, words
from airlock.base.text import shorten
from airlock.base.visible import is_invisible

OWN_NAME = "YOUR-NAME"
"""Place of a person's own name in a printed command; no decision counts under it."""
OTHER_NAME = "ANOTHER-NAME"
"""The same, where the person who asked cannot decide."""
KEY_FILE = "KEY-FILE"
"""Place of a person's own key file in a printed command."""
_ALIKE = str.maketrans(
    dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe58\ufe63\uff0d", "-")
    | dict.fromkeys("\u2018\u2019\u02bc\uff07", "'")
)
"""Dashes and apostrophes that look like those of a keyboard."""
_LONGEST_NAME = 200
"""Characters of a name; goals and searches are folded too, and not remembered."""


def folded(name: str) -> str:
    """Return the one form of all spellings of a name: capitals, full width, accents, dashes and invisible characters.

    White space at the ends does not count, and any between is one space. Empty for a name of which nothing can be seen.
    """
    # the same few names are compared again and again: with each vote, for each step
    return _folded_name(name) if len(name) <= _LONGEST_NAME else _folded(name)


def _folded(name: str) -> str:
    before, name = "", name
    while before != name:  # folding a letter can free an accent that then composes with the letter before
        before = name
        name = "".join(character for character in name if not is_invisible(character))
        name = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
        name = " ".join(name.translate(_ALIKE).split())
    return name


_folded_name = lru_cache(maxsize=4_096)(_folded)


def same_person(one: str, other: str) -> bool:
    """Return True if two names are spellings of one."""
    return one == other or folded(one) == folded(other)


def name_problem(name: str) -> str:
    """Return the reason why a person may not decide under a name, in words that follow `by: `; empty for a fit name.

    A name that mixes alphabets looks like another person's, and another spelling of `airlock` like Airlock itself.
    """
    form = folded(name)
    if not form:
        return "no character of this name can be seen; write your own name"
    if form in RESERVED:
        return f"{', '.join(RESERVED)} are not people; write your own name"
    if form in (folded(OWN_NAME), folded(OTHER_NAME)):
        return f"{name!r} stands where a name belongs; write your own name"
    seen = "".join(character for character in name if not is_invisible(character))
    for word in words(seen):
        foreign = [f"{kind} {letter} U+{ord(letter):04X}" for kind, letter in mixed(word.text) if kind[0].isupper()]
        if foreign:
            return f"{shorten(word.text, 60)!r} mixes alphabets ({', '.join(foreign[:5])}); write the name in one"
    return ""


def spellings(names: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Return the spellings of each person among some names, by the folded name."""
    found: dict[str, tuple[str, ...]] = {}
    for name in names:
        found[folded(name)] = (*found.get(folded(name), ()), name)
    return found
