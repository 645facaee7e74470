"""A real Chromium without a window, driven through a pipe: a page of `verify --html` as an auditor opens it."""

import base64
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from devtools.chromium import chromium

_MISSING = "there is no Chromium: install Debian's chromium, or run python -m devtools.chromium"


class Browser:
    """One page of one browser. Commands are those of the DevTools protocol."""

    def __init__(self, read: int, write: int) -> None:
        self._read, self._write = os.fdopen(read, "rb"), os.fdopen(write, "wb")
        self._number = 0
        self._rest = b""
        self.events: list[dict[str, Any]] = []
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        self._session: str | None = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "DOM", "Network", "Log"):
            self.send(f"{domain}.enable")

    _session: str | None = None

    def send(self, method: str, *, within: float | None = None, **params: Any) -> dict[str, Any]:
        """Send a command and return its result; events that come before it are kept.

        Raises:
            TimeoutError: If the browser has not answered after so many seconds.
        """
        until = None if within is None else time.monotonic() + within
        self._number += 1
        session = {"sessionId": self._session} if self._session else {}
        message = {"id": self._number, "method": method, "params": params, **session}
        self._write.write(json.dumps(message).encode() + b"\0")
        self._write.flush()
        while True:
            answer = self._next(until)
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                return dict(answer["result"])
            if "method" in answer:
                self.events.append(answer)

    def _next(self, until: float | None) -> dict[str, Any]:
        while b"\0" not in self._rest:
            if until is not None and not select.select([self._read], [], [], max(until - time.monotonic(), 0.0))[0]:
                raise TimeoutError("the browser has not answered")
            data = self._read.read1(1 << 20)
            assert data, "the browser has ended"
            self._rest += data
        message, _, self._rest = self._rest.partition(b"\0")
        return dict(json.loads(message))

    def value(self, script: str) -> Any:
        """Return the value of a script in the page, which may be a promise."""
        told = self.send("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in told, told["exceptionDetails"]
        return told["result"].get("value")

    def open(self, page: Path) -> None:
        """Open a page from the disk, and wait until it has loaded."""
        self.go(page.resolve().as_uri())

    def go(self, url: str) -> None:
        """Open an address, and wait until its page has loaded.

        A page that loads itself again at this moment calls it off, and the browser may not even answer then.
        """
        loaded = "document.readyState === 'complete' ? resolve() : addEventListener('load', resolve)"
        before = self.value("location.href")
        for _ in range(10):
            with suppress(TimeoutError, AssertionError):  # the page went away under the script
                self.send("Page.navigate", within=60.0, url=url)
                self.value(f"new Promise((resolve) => {{ {loaded} }})")
                if self.value("location.href") != before or before == url:
                    return
        raise AssertionError(f"the browser does not leave {before} for {url}")

    def checked(self) -> tuple[str, str]:
        """Return the verdict of the page, once there is one, and its text."""
        self.value(
            "new Promise((resolve) => { const look = () => "
            "document.body.dataset.checked ? resolve() : requestAnimationFrame(look); look(); })"
        )
        return self.value("document.body.dataset.checked"), self.value("document.getElementById('result').innerText")

    def choose(self, files: list[Path], selector: str = "#files") -> None:
        """Choose files in a file input of the page."""
        self.value("document.body.dataset.checked = ''")
        root = self.send("DOM.getDocument")["root"]["nodeId"]
        node = self.send("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.send("DOM.setFileInputFiles", nodeId=node, files=[str(file.resolve()) for file in files])

    def resize(self, width: int, height: int) -> None:
        """Give the window another size, in pixels."""
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def screenshot(self, to: Path) -> None:
        """Write a picture of the whole page."""
        told = self.send("Page.captureScreenshot", captureBeyondViewport=True)
        to.write_bytes(base64.b64decode(told["data"]))

    def requests(self) -> list[str]:
        """Return the addresses that the page has asked for, and the errors in its log."""
        self.value("1")
        asked = [one["params"]["request"]["url"] for one in self.events if one["method"] == "Network.requestWillBeSent"]
        logged = [one["params"]["entry"]["text"] for one in self.events if one["method"] == "Log.entryAdded"]
        return [*asked, *logged]

    def close(self) -> None:
        """Close both ends of the pipe."""
        for end in (self._write, self._read):
            with suppress(OSError):
                end.close()


@contextmanager
def browser(profile: Path) -> Iterator[Browser]:
    """Start a browser that ends with the block; the test is skipped where there is none."""
    found = chromium()
    if found is None:
        pytest.skip(_MISSING)
    program, environment = found
    to_browser, from_browser = os.pipe(), os.pipe()

    def as_three_and_four() -> None:
        high = [os.dup2(end, 100 + number) for number, end in enumerate((to_browser[0], from_browser[1]))]
        os.dup2(high[0], 3)
        os.dup2(high[1], 4)

    options = ("--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe", f"--user-data-dir={profile}")
    process = subprocess.Popen(
        (program, *options), env={**os.environ, **environment}, preexec_fn=as_three_and_four, close_fds=False,
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    os.close(to_browser[0])
    os.close(from_browser[1])
    page: Browser | None = None
    try:
        page = Browser(from_browser[0], to_browser[1])
        yield page
    finally:
        if page is not None:
            page.close()
        process.kill()
        process.wait()
        shutil.rmtree(profile, ignore_errors=True)
