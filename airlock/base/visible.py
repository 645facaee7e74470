"""Text that shows everything it holds: what draws nothing, or imitates other text, is written as an escape or marked.

The marks stand between ⟨ and ⟩. A text that holds one of these itself has it escaped, so that no text can fake a mark.
"""

import re
import unicodedata
from functools import lru_cache

from airlock.base.scripts import mixed, words

OPEN, CLOSE = "\N{MATHEMATICAL LEFT ANGLE BRACKET}", "\N{MATHEMATICAL RIGHT ANGLE BRACKET}"
MAX_MARKS = 2
"""Combining marks that one letter may carry; few languages stack more. Further ones are escaped."""
MAX_SPACES = 2
"""Spaces in a row that stay as they are. More could draw lines and columns of their own."""
_LISTED = 5
"""Characters that one mark of a word names."""

# Default_Ignorable_Code_Point of Unicode's DerivedCoreProperties.txt, which `unicodedata` does not hold. The ranges
# include the unassigned code points that Unicode keeps for characters of this kind, so the table does not age.
_IGNORABLE = (
    (0x00AD, 0x00AD), (0x034F, 0x034F), (0x061C, 0x061C), (0x115F, 0x1160), (0x17B4, 0x17B5), (0x180B, 0x180F),
    (0x200B, 0x200F), (0x202A, 0x202E), (0x2060, 0x206F), (0x3164, 0x3164), (0xFE00, 0xFE0F), (0xFEFF, 0xFEFF),
    (0xFFA0, 0xFFA0), (0xFFF0, 0xFFF8), (0x1BCA0, 0x1BCA3), (0x1D173, 0x1D17A), (0xE0000, 0xE0FFF),
)  # fmt: skip
_BLANK = frozenset("\u2800\U00016fe4\U0001d159")
"""Characters that are neither spaces nor ignorable by Unicode, and yet draw nothing: Braille, Khitan, a null notehead."""
_SPACES = re.compile(f" {{{MAX_SPACES + 1},}}")
_ADDRESS = re.compile(r"((?:https?|ftp|file)(?=://)|mailto):", re.IGNORECASE)
FILLED_IN = re.compile(r"\{(?=(?:namespace|workflowId|runId)\})")
"""The beginning of a text in the place of which Temporal's UI shows a name of the run."""


@lru_cache(maxsize=4_096)
def is_invisible(character: str) -> bool:
    """Return True if a character draws nothing of its own: control, format, ignorable and blank characters.

    Spaces and line ends are not meant, though `visible` escapes all of them but the plain space.
    """
    code = ord(character)
    if any(first <= code <= last for first, last in _IGNORABLE) or character in _BLANK:
        return True
    return unicodedata.category(character) in ("Cc", "Cf") and not character.isspace()


def escaped(character: str) -> str:
    """Return the visible form of one character: ⟨U+200B⟩."""
    return f"{OPEN}U+{ord(character):04X}{CLOSE}"


def visible(text: str) -> str:
    """Return a text in which every character can be seen, on one line.

    Invisible characters, line ends, unusual spaces and stacked accents become ⟨U+XXXX⟩, and runs of spaces ⟨n spaces⟩.
    A word that mixes alphabets or look-alikes is followed by ⟨mixed: Cyrillic ... U+0430⟩. Apply it once, to foreign text.
    """
    if text.isascii() and text.isprintable():  # the usual case: a large plan has tens of thousands of texts
        return _SPACES.sub(_count, text)
    shown: list[str] = []
    end = 0
    for word in words(text):
        shown.append(_plain(text[end : word.end]))
        if foreign := mixed(word.text):
            shown.append(_mark(foreign))
        end = word.end
    shown.append(_plain(text[end:]))
    return _SPACES.sub(_count, "".join(shown))


def printable(line: str) -> str:
    """Replace what is left of control and formatting characters in a line that is made of visible texts."""
    if line.isascii() and line.isprintable():
        return line
    return "".join(
        character if character.isprintable() and not is_invisible(character) else "\N{REPLACEMENT CHARACTER}"
        for character in line
    )


def inline(text: str) -> str:
    """Escape a text for Markdown: nothing in it becomes a link, an image or mark-up, and all of it can be seen.

    Temporal's UI makes links of bare addresses and fills in `{namespace}` and its like; a mark in them stops both.
    """
    shown = re.sub(r"([\\\[\]()<>!*_#])", r"\\\1", visible(text).replace("|", "/").replace("`", "'"))
    return FILLED_IN.sub(escaped("{"), _ADDRESS.sub(lambda scheme: scheme[1] + escaped(":"), shown))


def marks(text: str) -> tuple[str, ...]:
    """Return what is marked in a text, each thing once, in its order; empty for a text that hides nothing."""
    plain = text.replace("\r\n", "\n").replace("\n", " ").replace("\t", " ")  # line ends of a letter are no finding
    return tuple(dict.fromkeys(found for found in _MARK.findall(visible(plain)) if "spaces" not in found))


_MARK = re.compile(f"{OPEN}([^{CLOSE}]*){CLOSE}")


def _plain(text: str) -> str:
    return "".join(escaped(character) if escape else character for character, escape in _judged(text))


def _judged(text: str) -> list[tuple[str, bool]]:
    """Return each character with True if it must be escaped."""
    found: list[tuple[str, bool]] = []
    stacked = MAX_MARKS  # an accent without a letter of its own would sit on our quotation mark
    for character in text:
        if unicodedata.category(character)[0] == "M" and not is_invisible(character):
            stacked += 1
            found.append((character, stacked > MAX_MARKS))
            continue
        escape = character in (OPEN, CLOSE) or not character.isprintable() or is_invisible(character)
        stacked = 0 if character.isalnum() and not escape else MAX_MARKS
        found.append((character, escape))
    return found


def _count(run: "re.Match[str]") -> str:
    return f"{OPEN}{len(run[0])} spaces{CLOSE}"


def _mark(foreign: tuple[tuple[str, str], ...]) -> str:
    listed = ", ".join(f"{kind} {character} U+{ord(character):04X}" for kind, character in foreign[:_LISTED])
    more = f" and {len(foreign) - _LISTED} more" if len(foreign) > _LISTED else ""
    return f"{OPEN}mixed: {listed}{more}{CLOSE}"
