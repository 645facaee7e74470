"""Words that mix alphabets, or hold look-alikes of ASCII letters and digits (after Unicode Technical Standard 39).

The script of a letter is read from its Unicode name (`CYRILLIC SMALL LETTER A`), which the standard library has. That is
exact for alphabets; a test compares it with Unicode's own table.
"""

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

_EAST_ASIAN = (
    frozenset({"Latin", "Han", "Hiragana", "Katakana"}),
    frozenset({"Latin", "Han", "Bopomofo"}),
    frozenset({"Latin", "Han", "Hangul"}),
)
"""Sets of scripts that one word of Japanese, Chinese or Korean may mix: "highly restrictive" in UTS 39."""
_LOOK_ALIKES = frozenset(
    "АВЕЅІЈКМНОРСТУХҮӀԌԚԜЬаеорсухіїјѕһӏԁԛԝѵүг"  # Cyrillic that looks like Latin
    "ΑΒΕΖΗΙΚΜΝΟΡΤΥΧϹϳοινυρακϲγ"  # Greek
    "ՕօսոհցգԼՏք"  # Armenian
)
_LATIN_TWINS = frozenset("ɑɡɪʏᴀʙᴄᴅᴇꜰɢʜᴊᴋʟᴍɴᴏᴘʀꜱᴛᴜᴠᴡᴢǀ")
"""Letters of Latin itself that look like ASCII letters: of phonetic alphabets, small capitals, a click that is a stroke."""
_COMMON = ("Modifier", "Mathematical", "Fullwidth", "Halfwidth", "Superscript", "Subscript", "Double-struck", "Script")
_OTHER_NAMES = {
    "Cjk": "Han", "Ideographic": "Han", "Hangzhou": "Han", "Hentaigana": "Hiragana", "Turned": "Latin", "Roman": "Latin",
}  # fmt: skip
"""The few first words of names that are not the script."""
_SEPARATORS = (
    "[\u2024\u3002\uff61\ufe52\u2215\u2044\u29f8\u2571\u27cb\u2236\u02d0\ua789\ufe55\u0589\u05c3\ufe6b"
    "\u2010\u2011\u02d7\ufe63\u037e]"
)
_SEPARATOR = re.compile(rf"(?<=[A-Za-z]){_SEPARATORS}(?=[A-Za-z0-9.@/-])|(?<=[0-9.@/-]){_SEPARATORS}(?=[A-Za-z])")
"""Look-alikes of the ASCII separators of addresses, paths and commands, hyphens among them, beside ASCII letters.

A sentence or a fraction has others, such as a dash."""
_CHUNK = re.compile(r"\S+")
_ADDRESS = re.compile(r"\w@\w|://|\w\.\w")
"""An address is one word with all its separators: in `jo@xyz.com` with a Cyrillic
`xyz` no part mixes alphabets, and yet the whole does."""


class Word(NamedTuple):
    """A word of a text, with the position after its end."""

    text: str
    end: int


def words(text: str) -> Iterator[Word]:
    """Yield the words of a text that are not all ASCII: runs of letters, marks and digits, and whole addresses."""
    for chunk in _CHUNK.finditer(text):
        if chunk[0].isascii():
            continue
        if _ADDRESS.search(chunk[0]) or _SEPARATOR.search(chunk[0]):
            yield Word(chunk[0], chunk.end())
            continue
        start = chunk.start()
        for position in range(chunk.start(), chunk.end() + 1):
            if position < chunk.end() and _belongs(text[position]):
                continue
            if position > start and not text[start:position].isascii():
                yield Word(text[start:position], position)
            start = position + 1


def mixed(word: str) -> tuple[tuple[str, str], ...]:
    """Return the characters of a word that imitate others, each once, with their kind; empty for an honest word.

    These are the letters of other alphabets than Latin in a word that also has Latin ones (or than the first one's), digits
    and letters in full width or mathematical form, digits of other scripts, look-alikes of ASCII letters beside digits, and
    look-alikes of the separators of an address.
    """
    found = {character: kind for character in word if (kind := _imitation(character))}
    found |= dict.fromkeys(_SEPARATOR.findall(word), "separator")
    letters = {character: script for character in word if (script := script_of(character))}
    scripts = set(letters.values())
    if len(scripts) > 1 and not any(scripts <= allowed for allowed in _EAST_ASIAN):
        own = "Latin" if "Latin" in scripts else next(iter(letters.values()))
        found |= {character: script for character, script in letters.items() if script != own}
    elif "Latin" not in scripts and any(character.isdigit() for character in word) and set(letters) <= _LOOK_ALIKES:
        found |= letters  # a number of a bank account, a card or a part
    return tuple((found[character], character) for character in dict.fromkeys(word) if character in found)


@lru_cache(maxsize=4_096)
def script_of(character: str) -> str:
    """Return the script of a letter, such as `Latin` or `Cyrillic`; empty for everything that all scripts share."""
    if character.isascii():
        return "Latin" if character.isalpha() else ""
    if unicodedata.category(character) not in ("Ll", "Lu", "Lt", "Lo"):
        return ""
    plain = unicodedata.normalize("NFKC", character).strip()
    first = unicodedata.name(plain[:1] or character, "").partition(" ")[0].capitalize()
    if plain.isascii() or first in _COMMON:
        return ""  # judged as an imitation, or shared by all
    return _OTHER_NAMES.get(first, first)


@lru_cache(maxsize=4_096)
def _imitation(character: str) -> str:
    if character.isascii():
        return ""
    name = unicodedata.name(character, "")
    if name.startswith("FULLWIDTH"):
        return "full-width"
    if name.startswith("MATHEMATICAL") and character.isalnum():
        return "mathematical"
    if character in _LATIN_TWINS:
        return "look-alike"
    letter = character.isalpha() or unicodedata.category(character) == "Nl"
    if letter and unicodedata.category(character) != "Lm" and _same_in_ascii(character):
        return "look-alike"  # such as the sign for kelvin, or a Roman numeral
    return "digit" if unicodedata.category(character) == "Nd" else ""


def _same_in_ascii(character: str) -> bool:
    plain = unicodedata.normalize("NFKC", character).strip()
    return len(plain) == 1 and plain.isascii() and character not in "ªº"


def _belongs(character: str) -> bool:
    return character.isalnum() or unicodedata.category(character)[0] == "M" or "\uff01" <= character <= "\uff5e"
