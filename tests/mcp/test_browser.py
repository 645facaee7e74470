"""A browser as a tool: a page is filled in and submitted in a real Chromium, and undone by what the page offers."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import parse_qs

import pytest
from temporalio.testing import WorkflowEnvironment

from airlock.admission.configuration.config import parse_config
from airlock.run.outcome import Outcome
from airlock.tools.mcp.servers import ask_definitions
from airlock.tools.rated.definitions import definitions_text
from devtools.chromium import chromium
from tests.mcp.plans import desk, step
from tests.mcp.test_real_servers import NODE, node, section
from tests.threaded_server import threaded_server

ENTRIES = """
[mcp.web.tools.browser_navigate]
risk = "LOW"
reversibility = "read_only"
[mcp.web.tools.browser_evaluate]
risk = "LOW"
reversibility = "read_only"
[mcp.web.tools.browser_type]
risk = "LOW"
reversibility = "reversible"
compensate = { tool = "browser_type", args = "{target: args.target, text: ''}" }
[mcp.web.tools.browser_click]
risk = "MEDIUM"
reversibility = "compensable"
compensate = { tool = "browser_click", args = "{target: '#remove-last'}" }
"""


class Guests:
    """The names that a page of a guest book has taken."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.posts: list[str] = []

    def page(self) -> bytes:
        listed = "".join(f"<li>{name}</li>" for name in self.names)
        return (
            "<!doctype html><title>Guests</title>"
            '<form method="post" action="/add"><label>Name <input id="name" name="name"></label>'
            '<button id="save">Save</button>'
            f'</form><ul id="guests">{listed}</ul>'
            '<form method="post" action="/remove"><button id="remove-last">Remove the last one</button></form>'
        ).encode()


@contextmanager
def guest_book() -> Iterator[tuple[Guests, str]]:
    guests = Guests()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.end_headers()
            self.wfile.write(guests.page())

        def do_POST(self) -> None:
            form = parse_qs(self.rfile.read(int(self.headers["content-length"])).decode())
            guests.posts.append(self.path)
            if self.path == "/add":
                guests.names += form["name"]
            else:
                guests.names.pop()
            self.send_response(303)
            self.send_header("location", "/")
            self.end_headers()

        def log_message(self, *_args: object) -> None:
            """Keep the output of the tests free of it."""

    with threaded_server(Handler) as origin:
        yield guests, f"{origin}/"


async def test_a_page_is_filled_in_submitted_and_undone(temporal: WorkflowEnvironment, tmp_path: Path) -> None:
    found = chromium()
    if found is None:
        pytest.skip("there is no Chromium: install Debian's chromium, or run make chromium")
    program, environment = found
    given = ", ".join(f"{name} = {json.dumps(value)}" for name, value in environment.items())
    options = ("--headless", "--isolated", "--no-sandbox", "--executable-path", program, "--output-dir", str(tmp_path))
    attached = section("web", NODE, node("playwright"), *options, more=f"env = {{ {given} }}")
    pins = tmp_path / "web.json"
    pins.write_text(definitions_text(ask_definitions("web", parse_config(attached, {}).mcp["web"], str)))
    # the page lives in the process of the server: only one process may use it
    toml = attached + f'roles = ["live"]\ndefinitions = "{pins}"\n' + ENTRIES
    look = {"function": "() => document.getElementById('guests').textContent"}
    with guest_book() as (guests, url):
        calls = [
            step("open", "web.browser_navigate", url=url),
            step("fill", "web.browser_type", target="#name", text="Ada"),
            step("save", "web.browser_click", target="#save"),
            step("look", "web.browser_evaluate", **look),
        ]
        async with desk(temporal, toml) as place:
            fails = step("fails", "web.browser_evaluate", function="() => { throw new Error('no') }")
            handle = await place.proposed([*calls, fails])
            assert guests.posts == [], "no browser has done anything before the approval"
            await handle.decide("approve", by="alice", digest=(await handle.status()).digest)
            result = await handle.result()
            assert result.outcome is Outcome.ABORTED, result
            assert set(result.undone) == {"save", "fill"}
            assert (guests.posts, guests.names) == (["/add", "/remove"], [])
            result = await place.done(calls)
            assert result.outcome is Outcome.COMPLETED, result
            assert "Ada" in result.outputs["look"]["text"]
        assert guests.names == ["Ada"]
