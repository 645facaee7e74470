"""The word of a worker that it began a call, while any client can keep the server busy."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from temporalio.service import RPCError, RPCStatusCode
from temporalio.testing import ActivityEnvironment

from airlock.activities.calls import sent_back
from airlock.activities.calls.sent_back import SentBackCalls

BUSY, GONE = RPCStatusCode.RESOURCE_EXHAUSTED, RPCStatusCode.NOT_FOUND


class Server:
    """Answers completions and signals as it is told to; what it took is in `words`."""

    def __init__(self, completions: list[RPCStatusCode], signals: list[RPCStatusCode], slow: bool = False) -> None:
        self.completions, self.signals, self.slow = completions, signals, slow
        self.words: list[Any] = []
        self.asked = asyncio.Event()

    def get_async_activity_handle(self, **_: Any) -> Any:
        return self

    def get_workflow_handle(self, *_: Any, **__: Any) -> Any:
        return self

    def with_context(self, _: Any) -> Any:
        return self

    async def complete(self, _: Any) -> None:
        if self.completions:
            raise RPCError("no", self.completions.pop(0), b"")

    async def heartbeat(self, **_: Any) -> None:
        raise RPCError("the attempt is forgotten", GONE, b"")

    async def signal(self, _: str, word: Any, **__: Any) -> None:
        self.asked.set()
        if self.slow:
            self.slow = False
            await asyncio.sleep(60)
        if self.signals:
            raise RPCError("no", self.signals.pop(0), b"")
        self.words.append(word)


@pytest.fixture(autouse=True)
def not_mine(monkeypatch: pytest.MonkeyPatch) -> None:
    async def no() -> bool:
        return False

    monkeypatch.setattr(sent_back, "question", lambda _: no)
    monkeypatch.setattr(sent_back, "_PAUSE", 0.0)


def calls() -> Any:
    call = SimpleNamespace(step=SimpleNamespace(id="a"), undone=0, fence=7, contract=SimpleNamespace(read_only=False))
    return SimpleNamespace(calls=(call,))


async def carried_out(server: Server, *, told: bool = False) -> SentBackCalls:
    """Carry out one call; if it is told to stop, until the worker has begun to say so."""
    attempts: list[Any] = []
    begun, stopped = SentBackCalls(calls(), attempts), asyncio.Event()

    async def work() -> str:
        if told:
            stopped.set()
            await server.asked.wait()
        attempts.append("made")
        return "done"

    environment = ActivityEnvironment(client=server)  # type: ignore[arg-type]
    assert await environment.run(begun.carried_out, work(), stopped) == "done"
    return begun


async def test_a_busy_server_is_asked_again_until_it_has_the_result() -> None:
    server = Server([BUSY, BUSY], [])
    begun = await carried_out(server)
    assert (begun.handed_over, server.words) == (True, [])


async def test_a_word_that_a_busy_server_did_not_take_is_said_again() -> None:
    server = Server([BUSY, GONE], [BUSY, BUSY])
    begun = await carried_out(server)
    assert (begun.handed_over, [word.begun for word in server.words]) == (False, [{"a": 0}])


async def test_a_word_that_the_end_of_the_call_interrupts_is_said_again() -> None:
    server = Server([GONE], [], slow=True)
    await carried_out(server, told=True)
    assert [word.begun for word in server.words] == [{"a": 0}]
