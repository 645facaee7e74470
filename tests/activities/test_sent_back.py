"""The word of a worker that it began a call, while any client can keep the server busy."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.service import RPCError, RPCStatusCode
from temporalio.testing import ActivityEnvironment

from airlock.activities.calls import sent_back
from airlock.activities.calls.sent_back import SentBackCalls
from airlock.run.live.sent_back import SentBack

BUSY, GONE = RPCStatusCode.RESOURCE_EXHAUSTED, RPCStatusCode.NOT_FOUND


class Server:
    """Answers completions and signals as it is told to; what it took is in `words`."""

    namespace, identity, data_converter = "default", "worker", pydantic_data_converter

    def __init__(self, completions: list[RPCStatusCode], signals: list[RPCStatusCode], slow: bool = False) -> None:
        self.completions, self.signals, self.slow = completions, signals, slow
        self.words: list[Any] = []
        self.beats: list[str] = []
        """The activities by whose heartbeats it was asked to read the run again."""
        self.tries = 0
        self.asked = asyncio.Event()

    @property
    def workflow_service(self) -> "Server":
        return self

    def get_async_activity_handle(self, **_: Any) -> Any:
        return self

    def with_context(self, _: Any) -> Any:
        return self

    async def complete(self, _: Any) -> None:
        if self.completions:
            raise RPCError("no", self.completions.pop(0), b"")

    async def heartbeat(self, *_: Any, **__: Any) -> None:
        pytest.fail("a heartbeat of the own activity replaces the record of its calls")

    async def record_activity_task_heartbeat_by_id(self, request: Any, **_: Any) -> None:
        self.beats.append(request.activity_id)
        raise RPCError("no such activity", GONE, b"")

    async def signal_workflow_execution(self, request: Any, **options: Any) -> None:
        assert list(options) == ["timeout"], "the pauses between the SDK's own retries become longer than the run waits"
        self.tries += 1
        self.asked.set()
        if self.slow:
            self.slow = False
            await asyncio.sleep(60)
        if self.signals:
            raise RPCError("no", self.signals.pop(0), b"")
        self.words.extend(await self.data_converter.decode(request.input.payloads, [SentBack]))


@pytest.fixture(autouse=True)
def not_mine(monkeypatch: pytest.MonkeyPatch) -> None:
    async def no() -> bool:
        return False

    monkeypatch.setattr(sent_back, "question", lambda _: no)
    monkeypatch.setattr(sent_back, "_PAUSE", 0.0)
    monkeypatch.setattr(sent_back, "_WORD_PAUSE", 0.0)


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


@pytest.mark.parametrize("ends", ["CANCELLED", "DEADLINE_EXCEEDED", "UNAVAILABLE", "INTERNAL"])
async def test_a_word_that_was_not_answered_in_time_is_said_again(ends: str) -> None:
    server = Server([GONE], [RPCStatusCode[ends]])
    await carried_out(server)
    assert [word.begun for word in server.words] == [{"a": 0}]


async def test_what_lets_temporal_take_the_word_leaves_the_record_of_the_calls_alone() -> None:
    """The attempt may still be the worker's own: it asks also where it could not learn that in time."""
    server = Server([GONE], [BUSY, BUSY, BUSY])
    await carried_out(server)
    own = ActivityEnvironment().info.activity_id
    assert (len(set(server.beats)), own in server.beats, len(server.words)) == (2, False, 1)


async def test_a_run_that_takes_the_word_at_once_is_asked_for_nothing_else() -> None:
    server = Server([GONE], [])
    await carried_out(server)
    assert (server.beats, server.tries, len(server.words)) == ([], 1, 1)


async def told(server: Server, times: int) -> None:
    """Let a worker have some occasions to say its word."""
    begun = SentBackCalls(calls(), [])

    async def occasions() -> None:
        for _ in range(times):
            await begun._tell(1)

    environment = ActivityEnvironment(client=server)  # type: ignore[arg-type]
    await environment.run(occasions)


async def test_a_word_that_no_try_got_through_is_said_on_the_next_occasion(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sent_back, "_WITHIN", -1.0)
    server = Server([], [BUSY, BUSY])
    await told(server, 3)
    assert (server.tries, [word.begun for word in server.words]) == (3, [{"a": 0}])


@pytest.mark.parametrize("ends", ["NOT_FOUND", "INVALID_ARGUMENT"], ids=["closed", "too many signals"])
async def test_a_word_that_the_run_never_takes_is_not_said_again(ends: str) -> None:
    server = Server([], [RPCStatusCode[ends]])
    await told(server, 2)
    assert (server.tries, server.words) == (1, [])
