"""`console`: a page in the browser for the people who decide."""

import asyncio
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer

from airlock.admission.configuration.console_config import ConsoleConfig
from airlock.base.errors import Problem
from airlock.cli.output import AsJson, Refusal, command, emit_line, say, warn
from airlock.cli.servers.stopping import until_stopped
from airlock.cli.settings import ConfigOption
from airlock.tools.operator_file import DEFAULT_CONFIG, find_config

_NEEDED = ("starlette", "uvicorn", "jinja2", "python_multipart", "sse_starlette", "authlib", "webauthn")
_HTTPS_BEHIND = 8_780


@command
def console(
    host: Annotated[str, typer.Option("--host", metavar="ADDRESS", help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int | None,
        typer.Option("--port", min=1, max=65_535, help="The port; unless given, that of url, or 8780 behind https."),
    ] = None,
    config: ConfigOption = None,
    as_json: AsJson = False,
) -> int:
    """Serve the console: what waits, and the decision about it.

    People sign in with a passkey of the policy, or at the identity provider of [console.oidc]. Its address is url in the
    section [console]; beyond this machine it is https, behind a proxy that ends TLS.
    """
    if missing := [name for name in _NEEDED if find_spec(name) is None]:
        raise Refusal(f"{', '.join(missing)} missing: pip install 'airlock-temporal[console]'")
    path = find_config(config)
    if path is None:
        problem = Problem(
            where="--config",
            message=f"there is no {DEFAULT_CONFIG}",
            fix="name the operator's file: it says who may sign in",
        )
        raise Refusal("the console needs the operator's file", [problem])
    return asyncio.run(_serve(host, port, path, as_json))


async def _serve(host: str, port: int | None, path: Path, as_json: bool) -> int:
    from airlock.client import Airlock
    from airlock.console.app import application
    from airlock.console.context import Console
    from airlock.console.people import People
    from airlock.serving import serve

    people = People(path)
    chosen = _port(people.console, host, port)
    if not people.can_enter and not as_json:
        warn(f"no passkey is registered for {people.console.url}, and there is no [console.oidc]: make a passkey first")
    made = Console(await Airlock.connect(), people)

    async def run(is_up: Callable[[], None]) -> None:
        def listening(_: int) -> None:
            is_up()
            if as_json:
                emit_line({"url": people.console.url})
            else:
                say(f"airlock console listens at {people.console.url}; Ctrl-C ends it")

        await serve(application(made), host, chosen, listening, made.watch.close)

    return await until_stopped(run, as_json=as_json)


def _port(config: ConsoleConfig, host: str, port: int | None) -> int:
    """Return the port to listen on.

    Raises:
        Refusal: If browsers would not find the console there, or others could listen in.
    """
    from airlock.serving import is_loopback

    if config.secure:
        return port or _HTTPS_BEHIND
    if not is_loopback(host):
        problem = Problem(
            where="console.url", message=f"is {config.url}", fix="write an https:// address, and end TLS in front of it"
        )
        raise Refusal(f"{host} can be reached by others, and plain http would show them everything", [problem])
    own = urlsplit(config.url).port or 80
    if port not in (None, own):
        problem = Problem(where="--port", message=f"is not the port of {config.url}", fix=f'url = "http://localhost:{port}"')
        raise Refusal("browsers would look for the console elsewhere", [problem])
    return own
