"""`tools`: the catalogue, and `tools import`: the careful entries for all tools of an MCP server."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from airlock.admission.configuration.config import Config, parse_config
from airlock.admission.configuration.mcp_config import McpServer
from airlock.admission.configuration.openapi_config import OpenApiService
from airlock.base.likely import likely_fix
from airlock.base.text import count, shorten
from airlock.base.visible import visible
from airlock.cli.check import tools as show_catalogue
from airlock.cli.output import OK, AsJson, Refusal, command, emit, say
from airlock.cli.settings import ConfigOption
from airlock.tools.operator_file import find_config, read_config
from airlock.tools.secret_source import secret_of
from airlock.tools.web import READ_METHODS

if TYPE_CHECKING:
    from airlock.tools.rated.definitions import Definition

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
    server: Annotated[
        str, typer.Argument(metavar="SERVER", help="The name in [mcp.SERVER] or [openapi.SERVER] of airlock.toml.")
    ],
    config: ConfigOption = None,
    definitions: Annotated[
        Path | None,
        typer.Option(
            "--definitions",
            metavar="FILE",
            help="Write there what the server says of its tools, to pin it; for OpenAPI, the document.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Ask an MCP server for its tools, or read an OpenAPI document, and print an entry for each tool.

    Each is HIGH and irreversible, with what is suggested as comments. Append the entries to airlock.toml, and rate each
    tool yourself: what a server says of itself is not trusted.
    """
    section, found = _section(config, server)
    imported = _of_server(server, found) if isinstance(found, McpServer) else _of_service(server, found)
    if definitions is not None:
        if definitions.suffix == ".json" and not imported.text.lstrip().startswith((b"{", b"[")):
            raise Refusal("the document is YAML: let the name of the file end in .yaml")
        definitions.parent.mkdir(parents=True, exist_ok=True)
        definitions.write_bytes(imported.text)
    if as_json:
        emit({"server": server, "definitions": [each.model_dump() for each in imported.definitions.values()]})
        return OK
    shown = f"{imported.kind} {server}"
    say(f"# {count(len(imported.definitions), 'tool')} of the {shown}; an argument with * is required")
    if definitions is not None:
        say(f'# written to {definitions}; in [{section}.{server}]: {imported.key} = "{definitions}"')
    for each in imported.definitions.values():
        say("")
        rated, refused = each.name in found.tools, imported.refused.get(each.name, "")
        for line in entry_lines(f"{section}.{server}", each.model_dump(), rated=rated, refused=refused):
            say(line)
        if needed := imported.unmet.get(each.name):
            say(f"# it needs credentials, {_shown(needed)}: give a secret in [{section}.{server}.security], or in headers")
    for name in sorted(imported.refused.keys() - imported.definitions.keys()):
        say("")
        say(f"# {_shown(name)} is not offered: {_shown(imported.refused[name])}")
    return OK


@dataclass(frozen=True)
class _Imported:
    """The tools that a server tells, or a document describes."""

    kind: str
    key: str
    """The key of the section that names the file."""
    definitions: Mapping[str, "Definition"]
    refused: Mapping[str, str]
    text: bytes
    unmet: Mapping[str, str] = field(default_factory=dict)
    """The credentials that operations need, and for which there is no secret."""


def _of_server(name: str, server: McpServer) -> _Imported:
    try:
        from airlock.tools.mcp.servers import ask_definitions
    except ModuleNotFoundError as error:
        raise Refusal("MCP servers need an extra: pip install 'airlock-temporal[mcp]'") from error
    from airlock.tools.rated.definitions import definitions_text
    from airlock.tools.rated.own_model import unusable

    asked = ask_definitions(name, server, secret_of)
    refused = {each.name: why for each in asked.values() if (why := unusable(each.name, each.input_schema))}
    return _Imported("MCP server", "definitions", asked, refused, definitions_text(asked).encode())


def _of_service(name: str, service: OpenApiService) -> _Imported:
    from airlock.tools.openapi.services import described
    from airlock.tools.rated.own_model import unusable

    read = described(name, service)
    refused = {each.name: why for each in read.usable.values() if (why := unusable(each.name, each.input_schema))}
    return _Imported("OpenAPI service", "document", read.usable, {**read.refused, **refused}, read.text, read.unmet)


def _section(config: Path | None, server: str) -> tuple[str, McpServer | OpenApiService]:
    path = find_config(config)
    found: Config = parse_config("", {}) if path is None else read_config(path)
    if server in found.mcp:
        return "mcp", found.mcp[server]
    if server in found.openapi:
        return "openapi", found.openapi[server]
    names = (*found.mcp, *found.openapi)
    known = likely_fix(server, names, f"there are: {', '.join(names)}")
    there = f"; {known}" if names else ""
    write = 'write one with command = "..." and args = [...], or with url = "https://..."'
    raise Refusal(
        f"{path or 'airlock.toml'} has no section [mcp.{server}]{there}; {write}; "
        f'an OpenAPI document is named by [openapi.{server}] with document = "..."'
    )


def entry_lines(server: str, definition: dict[str, Any], *, rated: bool = False, refused: str = "") -> Iterator[str]:
    """Yield the lines of the careful entry for one tool. They are TOML, whatever the server has written.

    Args:
        server: The section of the server, such as `mcp.files`.
        definition: What the server says of the tool.
        rated: True if airlock.toml has an entry for it: then all lines are comments.
        refused: Why the tool cannot be offered: then there is no entry, because airlock.toml could not have one.
    """
    lead = "# " if rated else ""
    name, hints = definition["name"], definition["annotations"]
    words = dict.fromkeys(definition[key] for key in ("title", "description") if definition[key])
    for line in (_shown(": ".join(words)), f"arguments: {_arguments(definition['input_schema'])}"):
        yield f"# {line}"
    if refused:
        yield f"# {_shown(name)} is not offered: {_shown(refused)}"
        return
    if rated:
        yield "# airlock.toml has an entry for this tool; the careful one would be:"
    yield f"{lead}[{server}.tools.{name if _BARE.fullmatch(name) else json.dumps(name)}]"
    yield f'{lead}risk = "HIGH"'
    yield f'{lead}reversibility = "irreversible"'
    for suggestion in _suggestions(definition, hints):
        yield f"# {suggestion}"


def _suggestions(definition: dict[str, Any], hints: dict[str, Any]) -> Iterator[str]:
    """Yield what the server suggests, as comments: an operator takes it over, or does not."""
    if method := definition.get("method"):
        if method in READ_METHODS:
            yield f'{method} only reads, as HTTP defines it: risk = "LOW", reversibility = "read_only"'
    elif hints.get("read_only_hint") is True:
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
