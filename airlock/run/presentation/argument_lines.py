"""Arguments as lines of text: whole for a call that writes, so that nothing can be approved unseen."""

import json
import re
import unicodedata
from collections.abc import Iterator, Mapping

from airlock.base.visible import CLOSE, OPEN, visible

WIDTH = 160
"""Characters of a value on one line; a longer one is cut, or goes on in lines of its own."""
_WRAPPED = 120
"""Characters of a wrapped line."""
_UNIT = re.compile(f"{OPEN}[^{CLOSE}]*{CLOSE}|.", re.DOTALL)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")


def argument_lines(name: str, value: object, indent: str, *, whole: bool, mark: str = "") -> Iterator[str]:
    """Yield an argument as lines, each character of it in its visible form.

    Args:
        name: The argument.
        value: Its value, of JSON.
        indent: The beginning of each line.
        whole: True to show all of it, a list with one line for each item and a text with one for each of its lines; False
            to cut a long value in the middle.
        mark: A remark behind the value or its heading.
    """
    if whole:
        yield from _whole(key_name(name), value, indent, mark)
    else:
        yield f"{indent}{key_name(name)} = {short(value)}{mark}"


def short(value: object) -> str:
    """Return a value as JSON in which everything can be seen; a long one is cut in the middle."""
    text = json_text(value)
    if len(text) <= WIDTH:
        return visible(text)
    return f"{visible(text[: WIDTH - 60])} … {visible(text[-60:])} ({len(text)} characters, all of them sealed)"


def _whole(path: str, value: object, indent: str, mark: str) -> Iterator[str]:
    """Yield a value with its path; containers go into their items one by one, without recursion into deep ones."""
    waiting: list[tuple[str, object, str]] = [(path, value, mark)]
    while waiting:
        path, value, mark = waiting.pop()
        text = json_text(value)
        if len(text) <= WIDTH:
            yield f"{indent}{path} = {visible(text)}{mark}"
        elif isinstance(value, str):
            yield from _text(path, value, indent, mark)
        elif isinstance(value, Mapping):
            yield f"{indent}{path}: an object of {len(value)}{mark}"
            waiting += [(f"{path}.{key_name(key)}", value[key], "") for key in sorted(value, reverse=True)]
        elif isinstance(value, list | tuple):
            yield f"{indent}{path}: a list of {len(value)}{mark}"
            waiting += [(f"{path}[{number}]", value[number], "") for number in reversed(range(len(value)))]
        else:  # a number with very many digits
            yield f"{indent}{path} = {visible(text)}{mark}"


def _text(path: str, text: str, indent: str, mark: str) -> Iterator[str]:
    """Yield a long text: each of its lines with a number, wrapped ones with an empty number, all behind a bar."""
    lines = text.split("\n")
    yield f"{indent}{path}: a text of {len(text):,} characters in {len(lines):,} line{'s' * (len(lines) != 1)}{mark}"
    gutter = len(str(len(lines)))
    for number, line in enumerate(lines, 1):
        label = str(number)
        for part in _wrapped(with_its_end(line)):
            yield f"{indent}  {label:>{gutter}}│{part}"
            label = ""


def with_its_end(line: str) -> str:
    """Return a line in its visible form; spaces at its end, which cannot be seen there, are counted."""
    kept = line.rstrip(" ")
    spaces = len(line) - len(kept)
    return visible(kept) + (f"{OPEN}{spaces} space{'s' * (spaces != 1)}{CLOSE}" if spaces else "")


def _wrapped(shown: str) -> Iterator[str]:
    """Yield a visible text in parts, behind spaces where there are any; a mark or a letter with accents stays whole."""
    part: list[str] = []
    length = space = 0
    for unit in _UNIT.findall(shown):
        if length + len(unit) > _WRAPPED and part and unicodedata.category(unit[0])[0] != "M":
            cut = space if space > len(part) // 2 else len(part)
            yield "".join(part[:cut])
            part, space = part[cut:], 0
            length = sum(map(len, part))
        part.append(unit)
        length += len(unit)
        space = len(part) if unit == " " else space
    yield "".join(part)


def key_name(name: str) -> str:
    """Return a key of an object: a plain word as it is, any other one as JSON in which everything can be seen."""
    return name if _NAME.fullmatch(name) else visible(json_text(name))


def json_text(value: object) -> str:
    """Return a value as JSON on one line, with its characters as they are."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True)
