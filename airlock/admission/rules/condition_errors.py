"""The errors of conditions in words. They hold no value of a step: they are shown, sealed and exported."""

import re
from typing import Final

_FUNCTION: Final = re.compile(r"(?:Function|variable or function:) '(\w+)'")
_WORDS: Final[dict[type[BaseException], str]] = {
    TypeError: "it compares or combines values of types that do not fit",
    IndexError: "it reads a position that the list does not have",
    OverflowError: "a number is too large",
    ZeroDivisionError: "it divides by zero",
}


def in_words(error: BaseException, condition: str) -> str:
    """Return why a condition could not be evaluated.

    Args:
        error: The error of CEL.
        condition: The condition, in which the name of a missing key may stand.
    """
    if isinstance(error, KeyError):
        name = str(error.args[0]) if error.args else ""
        return f"there is no {name!r}" if name and name in condition else "it reads a key that is not there"
    for kind, words in _WORDS.items():
        if isinstance(error, kind):
            return words
    found = _FUNCTION.search(str(error))
    return f"{found[1]} cannot take such a value" if found else f"it cannot be evaluated ({type(error).__name__})"
