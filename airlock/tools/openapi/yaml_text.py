"""YAML of a document, read as the core schema of YAML 1.2 says, within bounds.

PyYAML reads YAML 1.1: `no` is false there, `12:30` a number and `2024-01-01` a date. So only its parser is used here.
"""

import math
import re
from typing import Any

from airlock.base.errors import ContractError
from airlock.base.text import shorten

Node = Any
"""A node of the library, which is imported when it is needed only."""
MAX_NODES = 2_000_000
"""Values in a document, each counted as often as an alias repeats it: a few lines of aliases could make billions."""
MAX_LEVELS = 100
_NULL = ("", "~", "null", "Null", "NULL")
_BOOLEANS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_WHOLE = re.compile(r"[-+]?[0-9]{1,300}|0o[0-7]{1,300}|0x[0-9a-fA-F]{1,300}")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]{1,3})?")
_TEXT = "tag:yaml.org,2002:str"
_KINDS = {_TEXT, "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"}


def parse_yaml(data: bytes) -> Any:
    """Return the value of a YAML text in UTF-8 that holds one document.

    Raises:
        ContractError: If it is none, or too large, or cannot stand for JSON; the message names the line.
    """
    try:
        import yaml
    except ModuleNotFoundError as error:
        raise ContractError("a document in YAML needs an extra: pip install 'airlock-temporal[yaml]'") from error
    try:
        _require_shallow(yaml, data)
        node = yaml.compose(data, Loader=getattr(yaml, "CBaseLoader", yaml.BaseLoader))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise ContractError(f"is no YAML: {where}{shorten(str(error.problem or error.context), 200)}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ContractError(f"is no YAML: {shorten(str(error), 200)}") from error
    return None if node is None else _Reader().value(node, 0)


def _require_shallow(yaml: Any, data: bytes) -> None:
    """Refuse deep nesting before the library composes it, which it does by calling itself."""
    level = 0
    for event in yaml.parse(data, Loader=getattr(yaml, "CBaseLoader", yaml.BaseLoader)):
        level += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if level > MAX_LEVELS:
            raise ContractError(f"is nested deeper than {MAX_LEVELS} levels at line {event.start_mark.line + 1}")


class _Reader:
    def __init__(self) -> None:
        self._left = MAX_NODES

    def value(self, node: Node, level: int) -> Any:
        self._left -= 1
        if self._left < 0:
            raise ContractError(f"has more than {MAX_NODES:,} values, counting what its aliases repeat")
        if level > MAX_LEVELS:  # an alias may lead to what it stands in
            raise ContractError(f"is nested deeper than {MAX_LEVELS} levels {_at(node)}")
        if node.tag not in _KINDS:
            raise ContractError(f"has the tag {shorten(node.tag, 60)!r} {_at(node)}: write the value without a tag")
        if node.id == "sequence":
            return [self.value(each, level + 1) for each in node.value]
        if node.id == "mapping":
            return self._mapping(node, level)
        return node.value if node.style else _plain(node)

    def _mapping(self, node: Node, level: int) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for key, value in node.value:
            # a key is a name, as in JSON: 200 and no are texts there
            if key.id != "scalar":
                raise ContractError(f"has a key that is no text {_at(key)}")
            if key.value == "<<" and not key.style:
                raise ContractError(f"has a merge key << {_at(key)}, which YAML 1.2 has not: write the values out")
            if key.value in made:
                raise ContractError(f"has the key {shorten(key.value, 60)!r} twice in one object {_at(key)}")
            made[key.value] = self.value(value, level + 1)
        return made


def _plain(node: Node) -> Any:
    text = node.value
    if text in _NULL:
        return None
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    if _WHOLE.fullmatch(text):
        return int(text, 8 if text.startswith("0o") else 16 if text.startswith("0x") else 10)
    if _FLOAT.fullmatch(text) and math.isfinite(number := float(text)):
        return number
    return text


def _at(node: Node) -> str:
    return f"at line {node.start_mark.line + 1}"
