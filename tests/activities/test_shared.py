"""Clients that calls share: opened once for an event loop, handed to every call, closed in reverse order in every case."""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from http.server import BaseHTTPRequestHandler
from typing import Any, ClassVar

import pytest
from pydantic import BaseModel

from airlock import ContractError, Opening, Preview, Shared, Tool, ToolCall, shared, tool
from airlock.activities import opened as module
from airlock.activities.functions.secrets import Secrets
from airlock.activities.opened import HookEnded, OpeningFailed, opened, shared_of
from airlock.activities.toolbox import Toolbox
from airlock.admission.policy import Policy
from airlock.base.errors import ConfigError
from airlock.plans.catalogue import Catalogue
from airlock.plans.contract import Mode
from airlock.plans.plan import Step
from airlock.testing import check_tool, run_plan
from airlock.testing.plan_run import PERMISSIVE
from examples.shared_client import free_rooms
from tests.threaded_server import threaded_server

WITHIN = 30.0


class Nothing(BaseModel):
    """No arguments."""


class Line(BaseModel):
    """Settings of the line."""

    section: ClassVar[str] = "line"
    number: int


class World:
    """Everything that the hooks and the tools of one test did."""

    def __init__(self) -> None:
        self.log: list[Any] = []

    def hook(self, name: str, **behaviour: Any) -> Shared[str]:
        async def hook(opening: Opening) -> AsyncIterator[str]:
            self.log.append(("open", name))
            for action in behaviour.get("start", ()):
                await action(opening)
            yield name
            for action in behaviour.get("stop", ()):
                await action(opening)
            self.log.append(("close", name))

        hook.__qualname__ = name
        return shared(hook)

    def reader(self, *used: Shared[Any], name: str = "ring", look: bool = True) -> Tool:
        @tool(name=name, risk="LOW", reversibility="read_only", shared=used)
        async def ring(args: Nothing, call: ToolCall) -> list[Any]:
            """Ring."""
            found = [call.shared(each) for each in used]
            self.log.append((call.mode.value, *found))
            return [str(each) for each in found]

        if look:

            @ring.dry_run
            async def preview(args: Nothing, call: ToolCall) -> Preview:
                return Preview(effect="Would ring.", output=await ring.live(args, call))

        return ring


@pytest.fixture
def world() -> World:
    return World()


def toolbox(*tools: Tool, settings: Any = None) -> Toolbox:
    return Toolbox(Catalogue(tools, settings=settings), Policy())


def call_of(equipped: Toolbox, made: Tool, secrets: Secrets) -> ToolCall:
    step = Step(id="s", agent="a", tool=made.name, args={}, confidence=1.0)
    return equipped.call(made, "p", step, Mode.LIVE, secrets)


async def fails(_opening: Opening) -> None:
    raise ValueError("the line is cut")


async def exits(_opening: Opening) -> None:
    raise SystemExit(3)


async def hangs(_opening: Opening) -> None:
    await asyncio.Event().wait()


async def asks(opening: Opening) -> None:
    opening.secret("LINE_TOKEN")


async def test_hooks_open_once_and_close_in_reverse_order(world: World) -> None:
    first, second = world.hook("first"), world.hook("second")
    tools = [world.reader(first, name="a"), world.reader(first, second, name="b")]
    async with opened(toolbox(*tools), ("rehearse", "live")) as (equipped, _):
        calls = [call_of(equipped, tools[1], Secrets({})) for _ in range(2)]
        assert [call.shared(second) for call in calls] == ["second", "second"]
        assert world.log == [("open", "first"), ("open", "second")]
    assert world.log[2:] == [("close", "second"), ("close", "first")]


async def test_a_client_is_closed_by_the_task_that_opened_it(world: World) -> None:
    tasks: list[Any] = []

    @shared
    async def owned(_opening: Opening) -> AsyncIterator[object]:
        tasks.append(asyncio.current_task())
        yield object()
        tasks.append(asyncio.current_task())

    async with opened(toolbox(world.reader(owned)), ("live",)):
        pass
    assert tasks[0] is tasks[1] is not asyncio.current_task()


async def test_a_plain_hook_runs_in_a_thread(world: World) -> None:
    threads: list[Any] = []

    @shared
    def plain(_opening: Opening) -> Iterator[list[int]]:
        threads.append(threading.current_thread())
        yield [1]
        threads.append(threading.current_thread())

    made = world.reader(plain)
    async with opened(toolbox(made), ("live",)) as (equipped, _):
        assert call_of(equipped, made, Secrets({})).shared(plain) == [1]
    assert len(threads) == 2
    assert threading.main_thread() not in threads


@pytest.mark.parametrize(
    ("parts", "expected"), [(("orchestrate",), []), (("rehearse",), ["looks"]), (("live",), ["only_live", "looks"])]
)
def test_a_role_opens_what_its_tools_use(world: World, parts: tuple[str, ...], expected: list[str]) -> None:
    only_live, looks = world.hook("only_live"), world.hook("looks")
    tools = [world.reader(only_live, name="a", look=False), world.reader(looks, name="b")]
    found = shared_of(toolbox(*tools).catalogue, parts)
    assert [each.name.rpartition(".")[2] for each in found] == expected


@pytest.mark.parametrize(("behaviour", "why"), [(fails, "the line is cut"), (exits, "SystemExit"), (asks, "LINE_TOKEN")])
async def test_a_start_hook_that_fails_names_itself_and_closes_what_was_opened(
    world: World, behaviour: Any, why: str
) -> None:
    made = world.reader(world.hook("first"), world.hook("broken", start=[behaviour]))
    with pytest.raises(OpeningFailed, match=rf"test_shared\.broken: its start hook failed: .*{why}"):
        async with opened(toolbox(made), ("live",), lambda: Secrets({})):
            pytest.fail("it must not start")
    assert world.log == [("open", "first"), ("open", "broken"), ("close", "first")]


async def test_a_start_hook_that_hangs_is_given_up(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "OPEN_WITHIN", 0.05)
    monkeypatch.setattr(module, "CLOSE_WITHIN", WITHIN)
    made = world.reader(world.hook("first"), world.hook("slow", start=[hangs]))
    with pytest.raises(OpeningFailed, match=r"slow: its start hook took longer than 0\.05 s"):
        async with opened(toolbox(made), ("live",)):
            pytest.fail("it must not start")
    assert ("close", "first") in world.log


@pytest.mark.parametrize(
    ("behaviour", "said"),
    [
        (fails, "broken: its stop hook failed: ValueError: the line is cut"),
        (exits, "stop hook failed: AirlockError: it raised SystemExit"),
        (hangs, "broken: its stop hook took longer than"),
    ],
)
async def test_a_stop_hook_that_fails_or_hangs_is_logged_and_holds_up_no_other(
    world: World, behaviour: Any, said: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CLOSE_WITHIN", 0.4)
    made = world.reader(world.hook("first"), world.hook("broken", stop=[behaviour]))
    with caplog.at_level(logging.ERROR):
        async with asyncio.timeout(WITHIN):
            async with opened(toolbox(made), ("live",)):
                pass
    assert world.log[-1] == ("close", "first")
    assert said in caplog.text


async def test_a_hook_that_ends_by_itself_is_noticed(world: World) -> None:
    cut = asyncio.Event()

    @asynccontextmanager
    async def session() -> AsyncIterator[str]:
        async with asyncio.TaskGroup() as group:
            group.create_task(watch())
            yield "session"

    async def watch() -> None:
        await cut.wait()
        raise ConnectionError("the session was cut")

    @shared
    async def line(_opening: Opening) -> AsyncIterator[str]:
        async with session() as found:
            yield found

    async with opened(toolbox(world.reader(line)), ("live",)) as (_, found):
        assert not found.lost.is_set()
        cut.set()
        await asyncio.wait_for(found.lost.wait(), WITHIN)
        assert isinstance(found.loss, HookEnded)
        assert "line ended while calls shared it" in str(found.loss)


async def test_only_a_tool_that_declares_it_gets_it(world: World) -> None:
    declared, other = world.hook("declared"), world.hook("other")
    one, two = world.reader(declared, name="one"), world.reader(other, name="two")
    async with opened(toolbox(one, two), ("live",)) as (equipped, _):
        with pytest.raises(ContractError, match=r"tool 'one' does not declare .*other in `shared`"):
            call_of(equipped, one, Secrets({})).shared(other)
    with pytest.raises(ContractError, match="declared is not open here"):
        call_of(toolbox(one), one, Secrets({})).shared(declared)


async def test_the_secrets_of_a_hook_are_redacted_in_every_call_that_gets_it(world: World) -> None:
    value = "v3ry-secret-of-the-line"
    made = world.reader(world.hook("line", start=[asks]))
    async with opened(toolbox(made), ("live",), lambda: Secrets({"AIRLOCK_SECRET_LINE_TOKEN": value})) as (equipped, _):
        secrets = Secrets({})
        call_of(equipped, made, secrets).shared(made.shared[0])
        assert value not in str(secrets.redact({"said": f"token {value}"}))


@pytest.mark.parametrize(
    ("settings", "why"), [({}, "number"), ({"line": {"number": "x"}}, "number"), ({"line": {"number": 7}}, "")]
)
async def test_the_settings_of_a_hook_are_checked_when_the_catalogue_is_loaded(
    world: World, settings: dict[str, Any], why: str
) -> None:
    @shared(settings=Line)
    async def line(opening: Opening) -> AsyncIterator[int]:
        yield opening.settings.number

    made = world.reader(line)
    if why:
        with pytest.raises(ConfigError, match=rf"settings\.line\.{why}"):
            toolbox(made, settings=settings)
        return
    async with opened(toolbox(made, settings=settings), ("live",)) as (equipped, _):
        assert call_of(equipped, made, Secrets({})).shared(line) == 7


def test_what_cannot_be_a_hook_is_refused_where_it_is_written() -> None:
    with pytest.raises(ContractError, match="write a generator function"):
        shared(asynccontextmanager(world_of_nothing))
    with pytest.raises(ContractError, match="takes one parameter"):
        shared(world_of_nothing)  # type: ignore[arg-type]
    with pytest.raises(ContractError, match=r"tool 'x': shared holds .* not made with @airlock\.shared"):
        tool(name="x", risk="LOW", reversibility="read_only", shared=[world_of_nothing])  # type: ignore[list-item]


async def world_of_nothing() -> AsyncIterator[None]:
    yield None


def test_a_catalogue_and_a_contract_open_nothing(world: World) -> None:
    made = world.reader(world.hook("first"))
    assert toolbox(made).catalogue.contract("ring") == world.reader().contract()
    assert world.log == []


async def test_check_tool_opens_and_closes_what_a_tool_shares(world: World) -> None:
    await check_tool(world.reader(world.hook("line")), {}, snapshot=lambda: 0)
    assert world.log[0] == ("open", "line")
    assert world.log[-1] == ("close", "line")
    assert ("LIVE", "line") in world.log


async def test_a_plan_runs_with_one_client_for_all_its_calls(world: World) -> None:
    steps = [{"id": f"s{n}", "agent": "a", "tool": "ring", "args": {}, "confidence": 1.0} for n in range(3)]
    plan = {"plan_id": "shared-client", "goal": "ring", "requested_by": "rita", "steps": steps}
    done = await run_plan(plan, [world.reader(world.hook("line"))], policy=PERMISSIVE)
    assert done.result.outcome == "completed"
    assert [entry for entry in world.log if entry[0] in ("open", "close")] == [("open", "line"), ("close", "line")]
    assert world.log.count(("LIVE", "line")) == 3
    assert world.log.count(("DRY_RUN", "line")) == 3


async def test_the_example_asks_with_one_client_under_its_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str | None, int]] = []

    class Booking(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            asked.append((self.path, self.headers["Authorization"], self.client_address[1]))
            self.send_response(200)
            self.send_header("Content-Length", "10")
            self.end_headers()
            self.wfile.write(b'["a", "b"]')

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with threaded_server(Booking) as origin:
        report = await check_tool(
            free_rooms, {"building": "north"}, snapshot=lambda: 0, secrets={"BOOKING_TOKEN": "t0ken-of-booking"},
            settings={"rooms": {"url": origin}},
        )  # fmt: skip
    assert "the live call returns the declared shape" in report.kept
    assert {(path, token) for path, token, _ in asked} == {("/free?building=north", "Bearer t0ken-of-booking")}
    assert len(asked) == 2
    assert len({connection for *_, connection in asked}) == 1
