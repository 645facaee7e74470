"""`mcp`: Airlock as an MCP server, for agents that propose plans."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from airlock.cli.output import OK, AsJson, Refusal, command, emit, emit_line, say
from airlock.cli.servers.stopping import until_stopped
from airlock.cli.settings import ConfigOption, read_catalogue

_PORT = 8765


@command
def mcp(
    agent: Annotated[
        str | None, typer.Option("--agent", metavar="NAME", help="The agent that proposes: every step is a call of its own.")
    ] = None,
    http: Annotated[bool, typer.Option("--http", help="Serve streamable HTTP instead of stdin and stdout.")] = False,
    host: Annotated[
        str, typer.Option("--host", metavar="ADDRESS", help="The address to listen on, with --http.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", min=0, max=65_535, help="The port, with --http; 0 takes a free one.")
    ] = _PORT,
    tokens: Annotated[
        Path | None, typer.Option("--tokens", metavar="FILE", help="The bearer tokens that are let in, each with its agent.")
    ] = None,
    allow_host: Annotated[
        list[str] | None, typer.Option("--allow-host", metavar="NAME[:PORT]", help="A further Host header that is let in.")
    ] = None,
    new_token: Annotated[
        bool, typer.Option("--new-token", help="Make a token for --agent, add it to --tokens, and end.")
    ] = False,
    config: ConfigOption = None,
    as_json: AsJson = False,
) -> int:
    """Serve agents over MCP: they propose plans, people approve.

    Over stdin and stdout it speaks for the agent named by --agent. Over HTTP each bearer token speaks for its own agent; on
    a loopback address --agent may take the place of tokens. It can never approve, unlock or settle anything.
    """
    _require_extra()
    if new_token:
        return _new_token(agent, tokens, as_json)
    if (tokens is None) == (agent is None):
        said = "give the agent with --agent NAME" if agent is None else "either --agent or --tokens: a token names its agent"
        raise typer.BadParameter(said, param_hint="'--agent'")
    if agent is not None:
        from airlock.mcp.tokens import require_name

        require_name(agent, "--agent")
    if http:
        return asyncio.run(_serve_http(agent, host, port, tokens, tuple(allow_host or ()), config, as_json))
    if tokens is not None:
        raise typer.BadParameter("tokens are for --http", param_hint="'--tokens'")
    return asyncio.run(_serve_stdio(str(agent), config))


def _require_extra() -> None:
    if find_spec("mcp") is None:
        raise Refusal("the extra for MCP is not installed: pip install 'airlock-temporal[mcp]'")


def _new_token(agent: str | None, tokens: Path | None, as_json: bool) -> int:
    from airlock.mcp.tokens import add_token

    if agent is None or tokens is None:
        raise typer.BadParameter("needs --agent NAME and --tokens FILE", param_hint="'--new-token'")
    token = add_token(tokens, agent)
    if as_json:
        emit({"agent": agent, "tokens": str(tokens), "token": token})
    else:
        say(token)
        say(f"It speaks for {agent}, and is shown only now; {tokens} holds its hash.", style="dim")
    return OK


async def _serve_stdio(agent: str, config: Path | None) -> int:
    from airlock.mcp.callers import Callers
    from airlock.mcp.desk import Desk
    from airlock.mcp.server import make_server

    with contextlib.redirect_stdout(sys.stderr):  # stdout is the wire: no module of a catalogue may print into it
        server = make_server(Desk(read_catalogue(config)), Callers(agent))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # a thread waits for stdin and cannot be cancelled; the process holds nothing that would be lost
        loop.add_signal_handler(number, os._exit, OK)
    await server.run_stdio_async()
    return OK


async def _serve_http(
    agent: str | None,
    host: str,
    port: int,
    tokens: Path | None,
    allowed: tuple[str, ...],
    config: Path | None,
    as_json: bool,
) -> int:
    from airlock.mcp.callers import Callers
    from airlock.mcp.desk import Desk
    from airlock.mcp.http import PATH, application, require_safe
    from airlock.mcp.server import make_server
    from airlock.mcp.tokens import read_tokens
    from airlock.serving import serve

    require_safe(host, tokens, allowed)
    if tokens is not None:
        read_tokens(tokens)
    app = application(make_server(Desk(read_catalogue(config)), Callers(agent)), host, tokens, allowed)

    async def run(is_up: Callable[[], None]) -> None:
        def listening(taken: int) -> None:
            is_up()
            url = f"http://{f'[{host}]' if ':' in host else host}:{taken}{PATH}"
            if as_json:
                emit_line({"url": url, "agent": agent, "tokens": str(tokens) if tokens else None})
            else:
                say(f"airlock mcp listens at {url}; Ctrl-C ends it")

        await serve(app, host, port, listening)

    return await until_stopped(run, as_json=as_json)
