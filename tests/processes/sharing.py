"""Start and stop hooks in real workers: what a server sees of the client that many calls share."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.processes.harness import READY, free_port, until
from tests.processes.registry import Stage, scenario
from tests.threaded_server import threaded_server


class Bell:
    """A server that notes each request with the connection it came by; while `hold` is set, `/open` gets no answer."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, int]] = []
        self.go_on = threading.Event()
        self.go_on.set()
        self.url = ""

    def by(self, path: str) -> list[int]:
        """Return the connections by which requests for a path came, oldest first."""
        return [connection for asked, connection in list(self.seen) if asked == path]

    def answer(self, path: str, connection: int) -> None:
        self.seen.append((path, connection))
        if path == "/open":
            self.go_on.wait(180)


@contextmanager
def ringing() -> Iterator[Bell]:
    bell = Bell()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            bell.answer(self.path, self.client_address[1])
            self.send_response(200)
            self.send_header("Content-Length", "4")
            self.end_headers()
            self.wfile.write(b"ding")

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    with threaded_server(Handler) as bell.url:
        try:
            yield bell
        finally:
            bell.go_on.set()


def three(plan_id: str) -> dict[str, Any]:
    names = ("one", "two", "three")
    return {
        "plan_id": plan_id, "goal": "ring three times", "requested_by": "rita",
        "steps": [
            {
                "id": name, "agent": "ops", "tool": "ring", "confidence": 0.95, "args": {},
                "after": [names[number - 1]] if number else [],
            }
            for number, name in enumerate(names)
        ],
    }  # fmt: skip


@scenario
async def a_client_that_calls_share(stage: Stage) -> None:
    """Each worker that calls tools opens one client and closes it when it is told to stop; one that cannot says why."""
    scene = stage.scene()
    scene.configure('modules = ["tests.processes.bell_tools"]')
    with ringing() as bell:
        here = {"AIRLOCK_SETTINGS__BELL__URL": bell.url}
        nowhere = scene.launch("live", AIRLOCK_SETTINGS__BELL__URL=f"http://127.0.0.1:{free_port()}")
        assert await nowhere.code() == 1
        why = "airlock worker failed: shared tests.processes.bell_tools.bell: its start hook failed: ConnectError"
        assert why in nowhere.said()
        assert READY not in nowhere.said()

        await scene.worker("orchestrate", **here)
        assert bell.seen == []
        rehearse = await scene.worker("rehearse", **here)
        live = await scene.worker("live", **here)
        plan = await scene.submit(three("shared"))
        await scene.approve(plan)
        assert (await scene.result(plan)).outcome == "completed"
        looking, calling = bell.by("/open")
        assert set(bell.by("/look")) <= {looking}
        assert bell.by("/ring") == [calling] * 3
        assert bell.by("/close") == []

        live.terminate()
        assert await live.code() == 0
        assert bell.by("/close") == [calling]
        os.kill(rehearse.pid, signal.SIGINT)
        assert await rehearse.code() == 0
        assert bell.by("/close") == [calling, looking]

        bell.go_on.clear()
        slow = scene.launch("all", **here)
        await until(lambda: len(bell.by("/open")) == 3, "the hook does not begin")
        slow.terminate()
        assert await slow.code() == 0
        assert READY not in slow.said()
        assert len(bell.by("/close")) == 2
