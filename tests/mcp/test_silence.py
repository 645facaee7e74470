"""The wait for an open session by calls that end before its list of tools has come."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from mcp import MCPError
from mcp.types import ListToolsResult

from airlock.tools.mcp import silence
from airlock.tools.mcp.connection import Session


class Clock:
    """A clock that a test moves on."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def monotonic(self) -> float:
        return self.now


class Server:
    """The session of the SDK with a server that answers a list once it may."""

    def __init__(self) -> None:
        self.answers = asyncio.Event()
        self.asked = 0
        self.refuses = False

    async def list_tools(self, **_: Any) -> ListToolsResult:
        self.asked += 1
        await self.answers.wait()
        if self.refuses:
            raise MCPError(-32603, "not now")
        return ListToolsResult(tools=[])

    async def call_tool(self, *_: Any, **__: Any) -> None:
        await self.answers.wait()


class Scene:
    """A session with a server that is slow, and lists that wait for it."""

    def __init__(self, clock: Clock) -> None:
        self.clock, self.server = clock, Server()
        self.session = Session(self.server)  # type: ignore[arg-type]

    async def begin(self) -> "asyncio.Task[Any]":
        """Begin to wait for a list."""
        before = self.server.asked
        waiting = asyncio.create_task(self.session.tools())
        while self.server.asked == before:  # noqa: ASYNC110  # its task begins in a moment
            await asyncio.sleep(0)
        return waiting

    async def give_up(self, *waiting: "asyncio.Task[Any]") -> None:
        for each in waiting:
            each.cancel()
        await asyncio.wait(waiting)

    async def answer(self, waiting: "asyncio.Task[Any]") -> None:
        self.server.answers.set()
        await waiting
        self.server.answers.clear()


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that each list was given."""
    found: list[float] = []
    patient = asyncio.timeout

    def timeout(seconds: float) -> Any:
        found.append(seconds)
        return patient(300)

    monkeypatch.setattr(asyncio, "timeout", timeout)
    return found


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Scene:
    clock = Clock()
    monkeypatch.setattr(silence, "time", SimpleNamespace(monotonic=clock.monotonic))
    return Scene(clock)


async def test_only_seconds_that_were_waited_count(scene: Scene, given: list[float]) -> None:
    waiting = await scene.begin()
    scene.clock.now += 0.5
    await scene.give_up(waiting)
    scene.clock.now += 3_600
    await scene.answer(await scene.begin())
    assert given == [15.0, 14.5]


async def test_calls_that_end_too_early_wait_together(scene: Scene, given: list[float]) -> None:
    for _ in range(4):
        waiting = await scene.begin()
        scene.clock.now += 4
        await scene.give_up(waiting)
        scene.clock.now += 60
    await scene.answer(await scene.begin())
    await scene.answer(await scene.begin())
    assert given == [15.0, 11.0, 7.0, 3.0, 1.0, 15.0]


async def test_seconds_that_several_wait_at_once_count_once(scene: Scene, given: list[float]) -> None:
    first = await scene.begin()
    scene.clock.now += 1
    second = await scene.begin()
    scene.clock.now += 1
    await scene.give_up(second)
    scene.clock.now += 1
    third = await scene.begin()
    scene.clock.now += 1
    await scene.give_up(first, third)
    scene.clock.now += 60
    await scene.answer(await scene.begin())
    assert given == [15.0, 14.0, 12.0, 11.0]


async def test_a_list_that_came_counts_from_there_for_those_that_still_wait(scene: Scene, given: list[float]) -> None:
    first, second = await scene.begin(), await scene.begin()
    scene.clock.now += 9
    second.cancel()
    await scene.answer(first)
    await asyncio.wait([second])
    await scene.answer(await scene.begin())
    assert given == [15.0, 15.0, 15.0]


async def test_a_server_that_is_at_a_call_may_be_silent(scene: Scene, given: list[float]) -> None:
    call = asyncio.create_task(scene.session.call_tool("work", {}, None))
    while not scene.session.under_way:  # noqa: ASYNC110  # its task begins in a moment
        await asyncio.sleep(0)
    waiting = await scene.begin()
    scene.clock.now += 14
    await scene.give_up(waiting)
    call.cancel()
    await asyncio.wait([call])
    await scene.answer(await scene.begin())
    assert given == [15.0, 15.0]


async def test_a_server_that_answers_by_an_error_is_not_silent(scene: Scene, given: list[float]) -> None:
    waiting = await scene.begin()
    scene.clock.now += 9
    scene.server.refuses = True
    with pytest.raises(MCPError):
        await scene.answer(waiting)
    scene.server.answers.clear()
    scene.server.refuses = False
    await scene.answer(await scene.begin())
    assert given == [15.0, 15.0]
