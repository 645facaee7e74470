"""The name that was probably meant by one that does not exist."""

import difflib
import re
from collections.abc import Iterable

_ALIKE = 0.75
"""The ratio of difflib from which two names count as spellings of one."""
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
    close = difflib.get_close_matches(_plain(name), forms, n=1, cutoff=_ALIKE)
    return forms[close[0]] if close else None


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
    return otherwise or f"use one of: {', '.join(known[:_LISTED]) or '(there is none)'}{more}"


def _plain(name: str) -> str:
    return re.sub(r"[\s_.-]+", "_", name.casefold())


def _without_digits(name: str) -> str:
    return re.sub(r"\d+", "0", name)
