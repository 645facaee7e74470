"""`tools`: the catalogue, and `tools import`: the careful entries for all tools of an MCP server."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from airlock.admission.config import Config, parse_config
from airlock.admission.mcp_config import McpServer
from airlock.base.likely import likely_fix
from airlock.base.text import count, shorten
from airlock.base.visible import visible
from airlock.cli.check import tools as show_catalogue
from airlock.cli.output import OK, AsJson, Refusal, command, emit, say
from airlock.cli.settings import ConfigOption
from airlock.tools.operator_file import find_config, read_config
from airlock.tools.secret_source import secret_of

tools = typer.Typer(
    rich_markup_mode=None,
    invoke_without_command=True,
    help="Show the catalogue: every tool with its contract.",
)
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_DRY = re.compile(r"dry[_-]?run|preview|validate[_-]?only|what[_-]?if|simulate", re.IGNORECASE)


@tools.callback()
def show(
    context: typer.Context,
    config: ConfigOption = None,
    graph: Annotated[
        bool, typer.Option("--graph", help="Show which tool needs which other before it, as a Mermaid diagram.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show the catalogue: every tool with its contract.

    The tools are those that a worker with this configuration offers. `tools import` writes entries for an MCP server's.
    """
    if context.invoked_subcommand is None:
        show_catalogue(config=config, graph=graph, as_json=as_json)


@tools.command("import")
@command
def import_(
    server: Annotated[str, typer.Argument(metavar="SERVER", help="The name in [mcp.SERVER] of airlock.toml.")],
    config: ConfigOption = None,
    definitions: Annotated[
        Path | None,
        typer.Option(
            "--definitions",
            metavar="FILE",
            help="Write there what the server says of its tools, to pin it.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Ask an MCP server for its tools, and print an entry for each: HIGH, irreversible, with what is suggested as comments.

    Append the entries to airlock.toml, and rate each tool yourself: what a server says of itself is not trusted.
    """
    found = _section(config, server)
    try:
        from airlock.tools.mcp.definitions import definitions_text
        from airlock.tools.mcp.entries import unusable
        from airlock.tools.mcp.servers import ask_definitions
    except ModuleNotFoundError as error:
        raise Refusal("MCP servers need an extra: pip install 'airlock-temporal[mcp]'") from error
    asked = ask_definitions(server, found, secret_of)
    if definitions is not None:
        definitions.parent.mkdir(parents=True, exist_ok=True)
        definitions.write_text(definitions_text(asked), encoding="utf-8")
    if as_json:
        emit({"server": server, "definitions": [each.model_dump() for each in asked.values()]})
        return OK
    say(f"# {count(len(asked), 'tool')} of the MCP server {server}; an argument with * is required")
    if definitions is not None:
        say(f'# written to {definitions}; in [mcp.{server}]: definitions = "{definitions}"')
    for each in asked.values():
        say("")
        refused = unusable(each.name, each.input_schema)
        for line in entry_lines(server, each.model_dump(), rated=each.name in found.tools, refused=refused):
            say(line)
    return OK


def _section(config: Path | None, server: str) -> McpServer:
    path = find_config(config)
    found: Config = parse_config("", {}) if path is None else read_config(path)
    if server not in found.mcp:
        known = likely_fix(server, found.mcp, f"there are: {', '.join(found.mcp)}")
        there = f"; {known}" if found.mcp else ""
        write = 'write one with command = "..." and args = [...], or with url = "https://..."'
        raise Refusal(f"{path or 'airlock.toml'} has no section [mcp.{server}]{there}; {write}")
    return found.mcp[server]


def entry_lines(server: str, definition: dict[str, Any], *, rated: bool = False, refused: str = "") -> Iterator[str]:
    """Yield the lines of the careful entry for one tool. They are TOML, whatever the server has written.

    Args:
        server: The name of the server.
        definition: What the server says of the tool.
        rated: True if airlock.toml has an entry for it: then all lines are comments.
        refused: Why the tool cannot be offered: then there is no entry, because airlock.toml could not have one.
    """
    lead = "# " if rated else ""
    name, hints = definition["name"], definition["annotations"]
    said = definition["title"] or definition["description"] or ""
    for line in (_shown(said), f"arguments: {_arguments(definition['input_schema'])}"):
        yield f"# {line}"
    if refused:
        yield f"# {_shown(name)} is not offered: {_shown(refused)}"
        return
    if rated:
        yield "# airlock.toml has an entry for this tool; the careful one would be:"
    yield f"{lead}[mcp.{server}.tools.{name if _BARE.fullmatch(name) else json.dumps(name)}]"
    yield f'{lead}risk = "HIGH"'
    yield f'{lead}reversibility = "irreversible"'
    for suggestion in _suggestions(definition, hints):
        yield f"# {suggestion}"


def _suggestions(definition: dict[str, Any], hints: dict[str, Any]) -> Iterator[str]:
    """Yield what the server suggests, as comments: an operator takes it over, or does not."""
    if hints.get("read_only_hint") is True:
        yield 'the server says that it only reads: risk = "LOW", reversibility = "read_only"'
    else:
        if hints.get("destructive_hint") is False:
            yield 'the server says that it destroys nothing: risk = "MEDIUM"'
        if hints.get("idempotent_hint") is True:
            yield "the server says that a second call changes nothing more: idempotent = true"
        if not hints:
            yield "the server says nothing about what it does"
    for name in _properties(definition["input_schema"]):
        if _DRY.search(name):
            yield f"it may preview itself: dry_run = {{ argument = {json.dumps(_shown(name))}, value = true }}"


def _arguments(schema: dict[str, Any]) -> str:
    required = schema.get("required")
    needed = required if isinstance(required, list) else []
    return ", ".join(f"{_shown(name)}{'*' if name in needed else ''}" for name in _properties(schema)) or "none"


def _properties(schema: dict[str, Any]) -> list[str]:
    found = schema.get("properties")  # the server's word, which may be anything
    return list(found) if isinstance(found, dict) else []


def _shown(text: str) -> str:
    return visible(shorten(text, 160))
