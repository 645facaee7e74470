"""Calls of tools of the same system that an entry names: to observe, to undo, to probe."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from airlock.base.errors import ToolFailed
from airlock.plans.arguments.schema_arguments import SchemaArguments
from airlock.tools.rated.mappings import Expression


@dataclass(frozen=True)
class MappedCall:
    """A call of a tool of the same system, ready to be made."""

    tool: str
    model: type[SchemaArguments]
    args: Expression
    levels: int
    """The levels of the arguments from which what is null is left out."""

    def given(self, scope: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments, checked by the tool's own schema.

        Raises:
            ToolFailed: If they cannot be made, or do not fit.
        """
        made = self.args.arguments(scope, self.levels)
        try:
            return self.model.model_validate(made).given()
        except ValidationError as error:
            places = ", ".join(".".join(map(str, item["loc"])) or "the arguments" for item in error.errors()[:5])
            raise ToolFailed(f"what {self.args.text!r} makes does not fit {self.tool}: {places}") from None


@dataclass(frozen=True)
class Observed(MappedCall):
    """The read of the state that a call depends on."""

    state: Expression
    absent: str | None


@dataclass(frozen=True)
class Undoing(MappedCall):
    """The call that undoes another one, for some states before it."""

    when: Expression | None

    def fits(self, scope: Mapping[str, Any]) -> bool:
        """Return True if this is the undo for a call."""
        return self.when is None or self.when.search(scope) is True


@dataclass(frozen=True)
class Probed(MappedCall):
    """The read that tells whether a call took effect."""

    happened: Expression
