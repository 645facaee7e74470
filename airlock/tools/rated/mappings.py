"""JMESPath expressions of `[mcp.<server>]`: arguments and answers made of what a call knows. All are checked at start."""

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import jmespath
from jmespath.exceptions import JMESPathError

from airlock.base.errors import ContractError, ToolFailed

_FIRST_ONLY = frozenset(
    ("index_expression", "projection", "value_projection", "filter_projection", "flatten", "pipe", "slice", "subexpression")
)
"""Kinds of nodes whose later parts look at what the first one has found, not at the whole scope."""

_LITERALS = ("null", "true", "false")
_EMPTY = re.compile(r"\s*\{\s*\}\s*")
"""An object without keys, which JMESPath knows as a literal only: nothing else can be meant by it."""


class Expression:
    """One expression.

    Args:
        text: JMESPath.
        scope: The names that it may begin with; empty if it looks at an answer, of which nothing is known.

    Raises:
        ContractError: If it is no JMESPath, or begins with another name.
    """

    def __init__(self, text: str, scope: Collection[str] = ()) -> None:
        self.text = text
        self._empty = _EMPTY.fullmatch(text) is not None
        try:
            self._compiled = jmespath.compile("`{}`" if self._empty else text)
        except JMESPathError as error:
            raise ContractError(f"{text!r} is no JMESPath: {str(error).splitlines()[0]}") from None
        self.paths = frozenset(_paths(self._compiled.parsed))
        """The names, each with the field below it, from which it reads: `("args", "path")`."""
        if scope and (unknown := sorted({path[0] for path in self.paths} - set(scope))):
            known = f"there is only: {', '.join(scope)}"
            literal = f"a literal is written as `{unknown[0]}`, in backticks" if unknown[0] in _LITERALS else known
            raise ContractError(f"{text!r} reads {unknown[0]!r}, but {literal}")

    def fields(self, name: str) -> tuple[str, ...]:
        """Return the fields of `args`, or of another name, that it reads."""
        return tuple(sorted({path[1] for path in self.paths if path[0] == name and len(path) > 1}))

    def reads(self, name: str) -> bool:
        """Return True if it reads anything of a name."""
        return any(path[0] == name for path in self.paths)

    def keys(self) -> tuple[str, ...] | None:
        """Return the keys of the object that it makes; None unless it is written as `{key: ..., ...}` or `{}`."""
        if self._empty:
            return ()
        parsed = self._compiled.parsed
        if parsed["type"] != "multi_select_dict":
            return None
        return tuple(each["value"] for each in parsed["children"])

    def search(self, scope: Mapping[str, Any] | Any) -> Any:
        """Return what it finds.

        Raises:
            ToolFailed: If it cannot be computed, such as a function of a wrong type.
        """
        try:
            return self._compiled.search(scope)
        except (JMESPathError, TypeError, ValueError, ArithmeticError) as error:
            raise ToolFailed(f"{self.text!r} cannot be computed: {str(error).splitlines()[0]}") from None

    def arguments(self, scope: Mapping[str, Any], levels: int = 1) -> dict[str, Any]:
        """Return the object that it makes, without what is null in some levels of it.

        Raises:
            ToolFailed: If it makes anything else.
        """
        made = self.search(scope)
        if not isinstance(made, dict):
            raise ToolFailed(f"{self.text!r} makes no object of arguments")
        return _without_nulls(made, levels)


def _without_nulls(made: dict[str, Any], levels: int) -> dict[str, Any]:
    return {
        key: _without_nulls(value, levels - 1) if isinstance(value, dict) and levels > 1 else value
        for key, value in made.items()
        if value is not None
    }


def _paths(node: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    kind, children = node["type"], node.get("children", [])
    if kind == "field":
        yield (node["value"],)
    elif kind == "subexpression" and children[0]["type"] == children[1]["type"] == "field":
        yield (children[0]["value"], children[1]["value"])
    elif kind in _FIRST_ONLY:
        yield from _paths(children[0])
    elif kind not in ("expref", "literal"):
        for child in children:
            yield from _paths(child)
