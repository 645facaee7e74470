"""The digest of all that decides what a call of a tool does, beside the fields of its contract and its own definition."""

from collections.abc import Iterator

from airlock.admission.configuration.tool_entries import Mapped, ToolEntry
from airlock.base.canonical import digest
from airlock.tools.rated.system import RatedSystem


def entry_digest(system: RatedSystem, entry: ToolEntry) -> str:
    """Return the digest of an entry's mappings, of the way to its system, and of the definitions of the tools it names.

    Without it, an operator could change the undo or the target of a call between its approval and the call. What the entry
    promises stands in the contract itself.
    """
    mappings = entry.model_dump(mode="json", include=set(type(entry).model_fields))
    tools = sorted(set(named_tools(entry)))
    named = {tool: system.definitions[tool].model_dump() for tool in tools}
    failed = {tool: found.model_dump() for tool in tools if (found := system.entry(tool).failed)}
    return digest([system.way, mappings, named, *([failed] if failed else [])])


def named_tools(entry: ToolEntry) -> Iterator[str]:
    """Yield the tools that an entry names."""
    for mapped in (entry.dry_run, entry.observe, *entry.compensate, entry.probe):
        if isinstance(mapped, Mapped):
            yield mapped.tool
