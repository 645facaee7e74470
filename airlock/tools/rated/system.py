"""One system with tools: what it says of them, what the operator's section says of it, and the way to it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from airlock.admission.configuration.tool_entries import ToolEntry
from airlock.plans.shared import Shared
from airlock.tools.rated.definitions import Definition, Definitions
from airlock.tools.rated.session import Reach


@dataclass(frozen=True)
class RatedSystem:
    """A system whose tools are offered as the operator's entries rate them."""

    section: str
    """The section of `airlock.toml`: `mcp` or `openapi`."""
    name: str
    shown: str
    """The kind and the name, for messages: `MCP server 'files'`."""
    definitions: Definitions
    entries: Mapping[str, ToolEntry]
    entry_model: type[ToolEntry]
    way: Any
    """The keys that decide which system a call reaches, and what its answers mean, as JSON; of secrets their names."""
    reach: Reach
    output: Callable[[Definition], Any]
    """Returns the type of the output of a tool."""
    open_answer: Callable[[Definition], Any]
    """Returns the answer of a mock that knows nothing."""
    sent: Callable[[Definition, Mapping[str, Any]], str] = lambda _definition, _args: ""
    """Returns what a preview says, beside the arguments, of what a call sends; empty if that is nothing."""
    secrets: tuple[str, ...] = ()
    rehearses: bool = True
    """False if rehearsing workers must not reach it."""
    errors_have_no_effect: bool = False
    shared: tuple[Shared[Any], ...] = ()
    settings: type[BaseModel] | None = None
    levels: int = 1
    """The levels of the arguments that a mapping makes, from which what is null is left out."""

    def entry(self, tool: str) -> ToolEntry:
        """Return the entry of a tool; an empty one if the operator wrote none."""
        return self.entries.get(tool) or self.entry_model()

    def where(self, tool: str) -> str:
        """Return the place of the entry of a tool in `airlock.toml`."""
        return f"{self.section}.{self.name}.tools.{tool}"
