"""Rate limits at the call, on a real server: what is measured is when the tool, or a real HTTP server, was called."""

import asyncio
import dataclasses
import itertools
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from unittest.mock import AsyncMock

import pytest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode
from temporalio.testing import ActivityEnvironment
from temporalio.worker import Worker

from airlock.activities.calls import rate_limiter, still_mine
from airlock.activities.calls.call import CallActivities
from airlock.activities.gates import GateActivities
from airlock.activities.toolbox import Toolbox
from airlock.admission.policy import AgentPolicy, Policy
from airlock.base import names
from airlock.base.errors import ToolFailed
from airlock.client import Airlock
from airlock.plans.catalogue import Catalogue
from airlock.plans.plan import Step
from airlock.plans.tool import Tool, tool
from airlock.plans.tool_call import ToolCall
from airlock.run.live.call_messages import CallRequest, ChainRequest, ChainResult
from airlock.tools import http_request
from airlock.worker.roles import build_workers, patient, runner
from airlock.workflows.gates.gate import GateWorkflow
from tests.activities.test_preview import Anything
from tests.loopback_server import loopback_server
from tests.running import dev_server, running
from tests.workflows.conftest import approved, namespace

_NUMBERS = itertools.count(1)


@pytest.fixture(scope="module")
async def client(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Client]:
    async with dev_server(tmp_path_factory.mktemp("dev-server")) as env:
        yield env.client


@pytest.fixture(autouse=True)
def of_no_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """The activities of these tests belong to no run, of which Temporal could say whose attempt it is."""
    monkeypatch.setattr(still_mine, "_holds", lambda _found, _info: True)
    monkeypatch.setattr(still_mine, "_described", AsyncMock())


@pytest.fixture(scope="module")
async def gated(client: Client) -> AsyncIterator[Client]:
    gates = GateActivities(Toolbox(Catalogue([]), Policy()))
    worker = Worker(
        client, task_queue=names.WORKFLOW_QUEUE, workflows=[GateWorkflow], activities=[gates.recall],
        workflow_runner=runner(),
    )  # fmt: skip
    async with running([patient(worker)]):
        yield client


class Target:
    """A target of a tool: it notes the time of each call, and says "later" as often as it is told to."""

    def __init__(self, limit: str | None) -> None:
        self.called: list[float] = []
        self.later: list[float] = []
        self.fences: list[int] = []
        self.tool: Tool = tool(
            name=f"ping{next(_NUMBERS)}", risk="HIGH", reversibility="irreversible", rate_limit=limit, timeout=5
        )(self.ping)

    async def ping(self, args: Anything, call: ToolCall) -> dict[str, Any]:
        self.called.append(time.monotonic())
        self.fences.append(call.fence)
        if self.later:
            raise ToolFailed("too many", retry=True, after=self.later.pop(0))
        return {}


def passed(target: Target) -> float:
    """Seconds since the target was called for the first time, and one for what the gate's own clock rounds."""
    return time.monotonic() - target.called[0] + 1.0


def chain(catalogue: Catalogue, tool: Tool, args: dict[str, Any] | None = None, **more: Any) -> ChainRequest:
    step = Step(id="s", agent="a", tool=tool.name, args=args or {}, confidence=1.0)
    request = CallRequest(step=step, contract=catalogue.contract(tool.name, step.args), **more)
    return ChainRequest(plan_id=f"p{next(_NUMBERS)}", calls=(request,))


async def call(
    client: Client, catalogue: Catalogue, request: ChainRequest, stop: Callable[[], bool] = lambda: False
) -> ChainResult:
    """Run the activity as a worker would, and tell it to stop as soon as `stop` says so."""
    env = ActivityEnvironment(client=client)
    env.info = dataclasses.replace(
        env.info, workflow_type=names.PLAN_WORKFLOW, workflow_id=names.plan_workflow_id(request.plan_id)
    )
    running = asyncio.ensure_future(env.run(CallActivities(Toolbox(catalogue, Policy())).call, request))
    while not running.done():
        if stop():
            env.cancel()
            break
        await asyncio.sleep(0.02)
    return await running


async def made(client: Client, catalogue: Catalogue, request: ChainRequest) -> None:
    """Make the call, as often as it is turned away: on a busy machine its turn may be far off when the gate answers."""
    while (await call(client, catalogue, request)).attempts[0].kind == "again":
        pass


async def test_calls_of_many_plans_never_exceed_the_limit(gated):
    target = Target("2/s")
    catalogue = Catalogue([target.tool])
    began = time.monotonic()
    await asyncio.gather(*(made(gated, catalogue, chain(catalogue, target.tool)) for _ in range(7)))
    assert len(target.called) == 7
    # two turns a second from the first question on; a busy machine makes calls later than their turns, never earlier
    waited = [at - began for at in target.called]
    assert all(waited[n] > n // 2 - 0.1 for n in range(7)), waited


async def test_a_turn_that_is_far_off_is_not_waited_for_and_kept(gated):
    target = Target("1/m")
    catalogue = Catalogue([target.tool])
    assert (await call(gated, catalogue, chain(catalogue, target.tool))).attempts[0].kind == "live"
    mine, other = chain(catalogue, target.tool, undo={"left": 1}), chain(catalogue, target.tool)
    (turn,) = (await call(gated, catalogue, mine)).attempts
    assert (turn.kind, turn.turned_away, turn.certain, turn.doubtful) == ("again", True, True, False)
    assert turn.undo == {"left": 1}, "the token of an earlier attempt stays"
    assert 60 - passed(target) <= turn.after <= 60
    assert turn.error == f"rate limit 1/m of {target.tool.name}: its turn is in {turn.after:.0f} s"
    later = (await call(gated, catalogue, other)).attempts[0].after
    assert 120 - passed(target) <= later <= 120
    kept = (await call(gated, catalogue, mine)).attempts[0].after
    assert 60 - passed(target) <= kept <= turn.after, "who comes back keeps its turn"
    assert len(target.called) == 1


async def test_a_gate_that_was_terminated_does_not_forget_whose_turn_it_was(gated):
    target = Target("1/m")
    catalogue = Catalogue([target.tool])
    assert (await call(gated, catalogue, chain(catalogue, target.tool))).attempts[0].kind == "live"
    await gated.get_workflow_handle(names.tool_gate_id(target.tool.name)).terminate("test")
    (turn,) = (await call(gated, catalogue, chain(catalogue, target.tool))).attempts
    assert (turn.kind, turn.turned_away) == ("again", True)
    assert 60 - passed(target) <= turn.after <= 60
    assert len(target.called) == 1


async def test_when_the_gate_cannot_be_asked_nothing_is_called(client, monkeypatch):
    monkeypatch.setattr(rate_limiter, "PATIENCE", 1.5)
    target = Target("5/s")
    catalogue = Catalogue([target.tool])
    alone = await namespace(client, "nobody-runs-gates-here")
    (turn,) = (await call(alone, catalogue, chain(catalogue, target.tool))).attempts
    assert (turn.kind, turn.turned_away, turn.after) == ("again", True, 1.5)
    assert f"the gate of {target.tool.name} gave no turn: " in turn.error
    assert target.called == []


async def test_a_call_that_is_stopped_while_it_waits_is_not_begun(gated, monkeypatch):
    monkeypatch.setattr(rate_limiter, "PATIENCE", 1_000.0)  # so that it waits for a turn that is a minute off
    target = Target("1/m")
    catalogue = Catalogue([target.tool])
    assert (await call(gated, catalogue, chain(catalogue, target.tool))).attempts[0].kind == "live"
    began = time.monotonic()
    result = await call(gated, catalogue, chain(catalogue, target.tool), stop=lambda: time.monotonic() > began + 0.3)
    assert (result.attempts, result.stopped) == ((), True)
    assert time.monotonic() < target.called[0] + 60, "at once, not when its turn comes"
    assert len(target.called) == 1


async def test_a_target_that_says_later_is_left_alone_by_every_plan(gated):
    target = Target("100/s")
    target.later = [30.0]
    catalogue = Catalogue([target.tool])
    (said,) = (await call(gated, catalogue, chain(catalogue, target.tool))).attempts
    assert (said.kind, said.turned_away, said.after, said.certain) == ("again", False, 30.0, True)
    (turn,) = (await call(gated, catalogue, chain(catalogue, target.tool))).attempts
    assert (turn.kind, turn.turned_away) == ("again", True)
    assert 30 - passed(target) <= turn.after <= 30
    assert len(target.called) == 1


async def test_a_tool_without_a_limit_has_no_gate(gated):
    target = Target(None)
    target.later = [30.0]
    catalogue = Catalogue([target.tool])
    (said,) = (await call(gated, catalogue, chain(catalogue, target.tool, fence=7))).attempts
    assert (said.kind, said.after) == ("again", 30.0)
    assert (await call(gated, catalogue, chain(catalogue, target.tool, attempt=2))).attempts[0].kind == "live"
    assert target.fences == [7, 0]
    with pytest.raises(RPCError) as missing:
        await gated.get_workflow_handle(names.tool_gate_id(target.tool.name)).describe()
    assert missing.value.status is RPCStatusCode.NOT_FOUND


@asynccontextmanager
async def busy_server(*, refusals: int, retry_after: str) -> AsyncIterator[tuple[str, list[float]]]:
    """A real HTTP server that answers 429 so many times, then 200; with the times at which it was called."""
    called: list[float] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        called.append(time.monotonic())
        if len(called) <= refusals:
            writer.write(f"HTTP/1.1 429 Busy\r\nRetry-After: {retry_after}\r\nContent-Length: 0\r\n\r\n".encode())
        else:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()

    async with loopback_server(answer) as port:
        yield f"127.0.0.1:{port}", called


async def test_a_server_that_answers_429_is_called_again_only_after_the_time_it_asked_for(gated):
    async with busy_server(refusals=1, retry_after="2") as (host, called):
        catalogue = Catalogue(
            [http_request], overrides={"http_request": {"rate_limit": "50/s"}}, settings={"http": {"allow_hosts": [host]}}
        )
        request = chain(catalogue, http_request, {"url": f"http://{host}/mail", "method": "POST"})
        (said,) = (await call(gated, catalogue, request)).attempts
        assert (said.kind, said.turned_away, said.after) == ("again", False, 2.0)
        # this plan, and any other, may ask at once: the gate grants no turn before
        again = request.model_copy(update={"calls": (request.calls[0].model_copy(update={"attempt": 2}),)})
        other = chain(catalogue, http_request, {"url": f"http://{host}/other", "method": "POST"})
        results = await asyncio.gather(call(gated, catalogue, again), call(gated, catalogue, other))
    assert [result.attempts[0].kind for result in results] == ["live", "live"]
    assert len(called) == 3
    assert min(called[1:]) - called[0] > 1.9


async def test_a_plan_makes_an_irreversible_call_again_when_the_server_asked_for_that(gated):
    async with busy_server(refusals=1, retry_after="3") as (host, called):
        client = await namespace(gated, f"plans{next(_NUMBERS)}")
        catalogue = Catalogue([http_request], settings={"http": {"allow_hosts": [host]}})
        policy = Policy(agents={"*": AgentPolicy(permissions=("*",))})
        step = {"id": "mail", "agent": "a", "tool": "http_request", "confidence": 0.95,
                "args": {"url": f"http://{host}/mail", "method": "POST"}}  # fmt: skip
        async with running(build_workers(client, Toolbox(catalogue, policy))):
            handle = await Airlock(client).submit({"plan_id": "later", "requested_by": "rita", "steps": [step]})
            await approved(handle)
            result = await handle.result()
    assert result.outcome == "completed"
    assert len(called) == 2
    assert called[1] - called[0] > 2.9
