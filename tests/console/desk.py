"""A console with all that is behind it, in this process: a Temporal server, a worker, people, and a browser."""

import asyncio
import itertools
import json
import os
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from temporalio.client import Client

from airlock.activities.toolbox import Toolbox
from airlock.client import Airlock, PlanHandle
from airlock.console.app import application
from airlock.console.context import Console
from airlock.console.people import People
from airlock.plans.catalogue import Catalogue
from airlock.plans.state import State
from airlock.plans.tool import Tool
from airlock.run.presentation.views import StatusView
from airlock.serving import serve
from airlock.tools.operator_file import read_config
from airlock.worker.roles import build_workers
from tests import running
from tests.cli.browser import Browser
from tests.console import desk_tools
from tests.workflows.conftest import namespace

TOOLS = [desk_tools.write_note, desk_tools.set_rows, desk_tools.send_letter, desk_tools.look_up]
AUTHENTICATOR = {
    "protocol": "ctap2", "ctap2Version": "ctap2_1", "transport": "internal", "hasResidentKey": True,
    "hasUserVerification": True, "isUserVerified": True, "automaticPresenceSimulation": True,
}  # fmt: skip
PICTURES = os.environ.get("AIRLOCK_PICTURES")
"""A folder for pictures of the pages, for a person who wants to see them."""
_NUMBERS = itertools.count(1)


def free_port() -> int:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return int(bound.getsockname()[1])


class Desk:
    """One console in a namespace of its own."""

    def __init__(self, client: Client, folder: Path, console: str = "", policy: str = "") -> None:
        self.client = client
        self.airlock = Airlock(client)
        self.url = f"http://localhost:{free_port()}"
        self.path = folder / "airlock.toml"
        self.policy = f'{policy}[policy.agents."*"]\npermissions = ["*"]\n'
        self.console = f'[console]\nurl = "{self.url}"\n{console}'
        self.write()

    def write(self) -> None:
        self.path.write_text(f"{self.policy}\n{self.console}", encoding="utf-8")

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Serve the console."""
        ready = asyncio.Event()
        console, port = Console(self.airlock, People(self.path)), int(self.url.rsplit(":", 1)[1])
        served = serve(application(console), "127.0.0.1", port, lambda _: ready.set(), console.watch.close)
        server = asyncio.ensure_future(served)
        try:
            await asyncio.wait_for(ready.wait(), 60)
            yield
        finally:
            server.cancel()
            await asyncio.gather(server, return_exceptions=True)

    @asynccontextmanager
    async def working(self, *more: Tool, settings: Mapping[str, Mapping[str, Any]] | None = None) -> AsyncIterator[None]:
        """Work under the policy of the file as it is now, with more tools if some are given."""
        toolbox = Toolbox(Catalogue([*TOOLS, *more], settings=settings), read_config(self.path).policy)
        async with running.running(build_workers(self.client, toolbox)):
            yield

    async def submit(self, *steps: dict[str, Any], **more: Any) -> PlanHandle:
        """Submit a plan and wait until it needs a person."""
        document = {"plan_id": f"plan{next(_NUMBERS)}", "goal": "Keep notes", "requested_by": "rita", "steps": list(steps)}
        handle = await self.airlock.submit({**document, **more})
        await handle.wait_for(State.AWAITING_APPROVAL, State.LOCKED)
        return handle


def step(id: str, tool: str, after: tuple[str, ...] = (), **args: Any) -> dict[str, Any]:
    return {"id": id, "agent": "scribe", "tool": tool, "args": args, "confidence": 0.95, "after": list(after)}


def note(id: str, text: str = "hello", after: tuple[str, ...] = (), name: str = "") -> dict[str, Any]:
    return step(id, "write_note", after, name=name or f"{id}-{next(_NUMBERS)}", text=text)


class Reader:
    """A person at the browser. Each method returns once the page has loaded."""

    def __init__(self, page: Browser, url: str) -> None:
        self.page, self.url = page, url
        self.authenticator = ""

    async def do(self, work: Callable[..., Any], *given: Any) -> Any:
        """Do something with the browser, which waits on a pipe, without holding up the console in this process."""
        return await asyncio.to_thread(work, *given)

    async def go(self, path: str) -> None:
        await self.do(self.page.go, f"{self.url}{path}")

    async def value(self, script: str) -> Any:
        return await self.do(self.page.value, script)

    async def text(self, selector: str = "body") -> str:
        return str(await self.value(f"document.querySelector({json.dumps(selector)})?.innerText ?? ''"))

    async def until(self, script: str, within: float = 60.0) -> Any:
        """Poll until a script in whatever page is open returns something true."""
        deadline = asyncio.get_running_loop().time() + within
        while not (found := await self.do(self._tried, script)):
            if asyncio.get_running_loop().time() > deadline:
                raise AssertionError(f"it never came: {script}\n{await self.text()}\n{await self.violations()}")
            await asyncio.sleep(0.05)
        return found

    def _tried(self, script: str) -> Any:
        try:
            return self.page.value(f"document.readyState === 'complete' && Boolean({script})")
        except AssertionError:  # the page went away under the script
            return None

    async def sees(self, text: str, within: float = 60.0) -> None:
        await self.until(f"document.body?.innerText.includes({json.dumps(text)})", within)

    async def click(self, selector: str) -> None:
        await self.value(f"document.querySelector({json.dumps(selector)}).click()")

    async def fill(self, selector: str, text: str) -> None:
        place = f"document.querySelector({json.dumps(selector)})"
        await self.value(f"{place}.value = {json.dumps(text)}")

    async def press(self, *keys: str) -> None:
        for key in keys:
            await self.do(self._press, key)

    def _press(self, key: str) -> None:
        codes = {"Enter": 13, "Tab": 9, "Escape": 27, " ": 32, "ArrowDown": 40, "ArrowUp": 38}
        more = {"windowsVirtualKeyCode": codes[key]} if key in codes else {}
        text = {"Enter": "\r"}.get(key, key if len(key) == 1 else "")
        extra = {"text": text} if text else {}
        self.page.send("Input.dispatchKeyEvent", type="keyDown", key=key, **more, **extra)
        self.page.send("Input.dispatchKeyEvent", type="keyUp", key=key, **more)

    async def type(self, text: str) -> None:
        await self.do(lambda: self.page.send("Input.insertText", text=text))

    async def size(self, width: int, dark: bool = False) -> None:
        def change() -> None:
            self.page.send("Emulation.setScrollbarsHidden", hidden=True)  # as on a telephone; a picture has none
            self.page.resize(width, 900)
            scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
            self.page.send("Emulation.setEmulatedMedia", features=[scheme])

        await self.do(change)

    async def picture(self, name: str) -> None:
        """Take a picture, if a folder for it is named."""
        if PICTURES:
            Path(PICTURES).mkdir(parents=True, exist_ok=True)
            await self.do(self.page.screenshot, Path(PICTURES) / f"{name}.png")

    async def holds_passkeys(self) -> str:
        """Give the browser an authenticator, and return its id."""

        def add() -> str:
            self.page.send("WebAuthn.enable")
            return str(self.page.send("WebAuthn.addVirtualAuthenticator", options=AUTHENTICATOR)["authenticatorId"])

        self.authenticator = str(await self.do(add))
        return self.authenticator

    async def makes_passkey(self, person: str) -> str:
        """Make a passkey, and return the lines for the operator's file."""
        await self.go("/register")
        await self.fill("#person", person)
        await self.click("form[data-passkey] button")
        await self.until("document.getElementById('lines')")
        return await self.text("#lines")

    async def signs_in(self) -> None:
        await self.go("/login")
        await self.click("form[data-passkey] button")
        await self.until("document.querySelector('.who')")

    async def violations(self) -> list[str]:
        """Return what the browser refused, and its errors."""
        await self.value("1")
        return [one["params"]["entry"]["text"] for one in self.page.events if one["method"] == "Log.entryAdded"] + [
            one["params"]["exceptionDetails"]["text"]
            for one in self.page.events
            if one["method"] == "Runtime.exceptionThrown"
        ]


async def reaches(handle: PlanHandle, *states: State) -> StatusView:
    async with asyncio.timeout(120):
        return await handle.wait_for(*states)


@asynccontextmanager
async def desk_in(client: Client, folder: Path, *, console: str = "", policy: str = "") -> AsyncIterator[Desk]:
    """A desk in a namespace of its own, with its console served."""
    made = Desk(await namespace(client, f"console{next(_NUMBERS)}"), folder, console, policy)
    async with made.serving():
        yield made
