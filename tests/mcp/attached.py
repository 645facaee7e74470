"""MCP servers attached as an operator does it, and their tools called as a worker calls them."""

import atexit
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from airlock.activities.functions.secrets import Secrets
from airlock.activities.opened import opened
from airlock.activities.toolbox import Finder, Toolbox
from airlock.admission.configuration.config import parse_config
from airlock.admission.policy import Policy
from airlock.plans.contract import Mode
from airlock.plans.tool_call import ToolCall
from airlock.tools.loader import load_catalogue
from airlock.tools.mcp.servers import ask_definitions
from airlock.tools.rated.definitions import definitions_text

ODD = Path(__file__).with_name("odd_server.py")
NOTES = """
[mcp.odd.tools.read_note]
risk = "LOW"
reversibility = "read_only"

[mcp.odd.tools.write_note]
risk = "MEDIUM"
reversibility = "reversible"
resources = ["note:{name}"]
observe = { tool = "read_note", args = "{name: args.name}", absent = "No such file" }
compensate = [
  { tool = "remove_note", args = "{name: args.name}", when = "before == `null`" },
  { tool = "write_note", args = "{name: args.name, text: before.text}" },
]
probe = { tool = "read_note", args = "{name: args.name}", happened = "answer.text == args.text" }
mock = "{text: args.text}"
"""


PINNED = Path(tempfile.gettempdir()) / f"airlock-odd-{os.getpid()}.json"
"""The definitions of the odd server, asked for once in a test program: each question starts a process."""


def pinned() -> Path:
    """Return a file with the definitions of the odd server."""
    if not PINNED.exists():
        with tempfile.TemporaryDirectory() as folder:
            server = parse_config(odd(Path(folder), pins=None), {}).mcp["odd"]
            PINNED.write_text(definitions_text(ask_definitions("odd", server, str)))
        atexit.register(PINNED.unlink)
    return PINNED


def odd(folder: Path, more: str = "", tools: str = NOTES, pins: Callable[[], Path] | None = pinned) -> str:
    """Return an `airlock.toml` that attaches the odd server over its standard input and output.

    Args:
        folder: Where it writes.
        more: Further keys of its section.
        tools: The entries of its tools.
        pins: Returns the file of its definitions; None to let the server be asked.
    """
    more = more if pins is None else f"{more}\ndefinitions = {str(pins())!r}"
    return f"""
[catalogue]
modules = []
[mcp.odd]
command = {str(sys.executable)!r}
args = [{str(ODD)!r}, {str(folder)!r}]
{more}
{tools}
"""


class Attached:
    """The tools of some servers, with open connections."""

    def __init__(self, toolbox: Toolbox, environment: Mapping[str, str]) -> None:
        self.catalogue, self._toolbox, self._environment = toolbox.catalogue, toolbox, environment

    def call(self, name: str, mode: Mode = Mode.LIVE, **more: Any) -> ToolCall:
        tool = self.catalogue.get(name)
        assert tool is not None
        values: dict[str, Any] = {
            "plan_id": "plan-1", "step_id": "step-1", "agent": "tester", "mode": mode, "idempotency_key": "plan-1/step-1",
            "find_shared": self._toolbox.finder(tool, Secrets(self._environment)), **more,
        }  # fmt: skip
        return ToolCall(**values)

    def finder(self, name: str, secrets: Secrets) -> Finder:
        """Return what finds the connections of a tool, and tells their secrets to those of a call."""
        tool = self.catalogue.get(name)
        assert tool is not None
        return self._toolbox.finder(tool, secrets)

    async def run(self, name: str, kind: str = "live", call: ToolCall | None = None, /, **args: Any) -> Any:
        """Call one function of a tool, as a worker would."""
        tool = self.catalogue.get(name)
        assert tool is not None
        function: Any = tool.live if kind == "live" else tool.functions[kind]
        answer = function(tool.arguments.model_validate(args), call or self.call(name))
        return await answer if kind != "mock" else answer


@asynccontextmanager
async def attached(toml: str, environment: Mapping[str, str] | None = None) -> AsyncIterator[Attached]:
    """Attach what a file names, as a worker of all roles does."""
    given = dict(environment or {})
    catalogue = load_catalogue(parse_config(toml, {}))
    async with opened(Toolbox(catalogue, Policy(), live=True), ("rehearse", "live"), lambda: Secrets(given)) as (toolbox, _):
        yield Attached(toolbox, given)
