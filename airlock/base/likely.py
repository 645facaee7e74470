"""The name that was probably meant by one that does not exist."""

import difflib
import re
from collections.abc import Iterable

_ALIKE = 0.75
"""The ratio of difflib from which two names count as spellings of one."""
_SHORTEST_END = 4
"""Characters from which the end of a name stands for the whole: `file_write` for `mcp__airlock__file_write`."""
_LISTED = 20
"""Names that a text lists at most."""


def likely(name: str, names: Iterable[str]) -> str | None:
    """Return the name among some that was probably meant, or None.

    Names that differ in their digits only are different names: `worker-001` is no mistake for `worker-002`.
    """
    forms: dict[str, str] = {}
    for known in names:
        if _without_digits(known) != _without_digits(name):
            forms.setdefault(_plain(known), known)
    close = difflib.get_close_matches(_plain(name), forms, n=1, cutoff=_ALIKE) or _same_words(_plain(name), forms)
    return forms[close[0]] if close else None


def _same_words(name: str, forms: Iterable[str]) -> list[str]:
    """Return the one name that has the same words in another order, or more or fewer of them at its beginning."""
    words = sorted(name.split("_"))
    found = [form for form in forms if sorted(form.split("_")) == words or _is_end(form, name) or _is_end(name, form)]
    return found if len(found) == 1 else []


def _is_end(end: str, name: str) -> bool:
    return len(end) >= _SHORTEST_END and name.endswith(f"_{end}")


def likely_fix(name: str, names: Iterable[str], otherwise: str = "") -> str:
    """Return a fix that names the likely name, or the names that there are.

    Args:
        name: The name that does not exist.
        names: Those that do.
        otherwise: The fix if none of them is likely; unless given, a list of them.
    """
    known = tuple(names)
    if close := likely(name, known):
        return f"did you mean {close!r}?"
    more = f" and {len(known) - _LISTED} more" if len(known) > _LISTED else ""
    words = set(_plain(name).split("_"))
    akin = sorted(known, key=lambda each: -len(words.intersection(_plain(each).split("_")))) if more else known
    return otherwise or f"use one of: {', '.join(akin[:_LISTED]) or '(there is none)'}{more}"


def _plain(name: str) -> str:
    return re.sub(r"[\s_.-]+", "_", name.casefold())


def _without_digits(name: str) -> str:
    return re.sub(r"\d+", "0", name)
