"""`lock` and `unlock` as a person runs them: on everything, with the proof; on one plan; in a scope."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from airlock.base.names import LIVE_GATE
from airlock.client import Airlock, PlanHandle
from airlock.plans.state import State
from devtools.environment import Environment, environment
from tests.cli.conftest import CTRL_C, NO_SERVER, Starter, note_plan, run_starter, starter_on_terminal
from tests.loopback_server import loopback_server

pytestmark = pytest.mark.slow
REASON = ("--reason", "a look at it", "--by", "olga")


class Slow:
    """A target that answers at once, or, while it is told to hold, only when it is released."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.free = asyncio.Event()
        self.free.set()
        self.url = ""

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        self.asked.set()
        await self.free.wait()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
        await writer.drain()


@pytest.fixture(scope="module")
async def slow() -> AsyncIterator[Slow]:
    target = Slow()
    async with loopback_server(target.answer) as port:
        target.url = f"127.0.0.1:{port}"
        yield target


@pytest.fixture(scope="module")
async def env(tmp_path_factory: pytest.TempPathFactory, slow: Slow) -> AsyncIterator[Environment]:
    """Yield an environment of its own: a lock stops everybody's plans."""
    more = {"AIRLOCK_SETTINGS__HTTP__ALLOW_HOSTS": slow.url}
    async with environment(tmp_path_factory.mktemp("lock") / "env", more=more) as running:
        yield running


@pytest.fixture(autouse=True)
async def open_gate(env: Environment) -> AsyncIterator[None]:
    """Yield every test begins and ends with nothing locked."""
    yield
    gate = env.client.get_workflow_handle(LIVE_GATE)
    for lock in (await gate.query("status"))["locks"]:
        await gate.signal("unlock", {"by": "test", "reason": "over", "scope": lock["scope"]})


async def stopped_at_the_gate(airlock: Airlock, plan: dict[str, Any]) -> str:
    """Approve a plan while everything is locked; its id."""
    handle = await airlock.submit(plan)
    status = await handle.wait_for(State.AWAITING_APPROVAL)
    assert (await handle.decide("approve", by="alice", digest=status.digest)).accepted
    assert (await handle.wait_for(State.LOCKED)).locked_by_gate
    return handle.plan_id


async def test_everything_is_locked_and_unlocked_and_both_say_what_that_means(starter: Starter, airlock: Airlock) -> None:
    locked = await starter("lock", *REASON)
    assert (locked.code, locked.err) == (0, "")
    assert "Quiesced: nothing was live." in locked.out
    waits = await stopped_at_the_gate(airlock, note_plan("waits-for-unlock"))
    listed = await starter("list")
    assert "LOCKED: everything, by olga since " in listed.err
    assert "a look at it" in listed.err
    assert [lock["by"] for lock in (await starter("list", "--json")).json["locks"]] == ["olga"]
    shown = (await starter("show", waits)).out
    assert "starter.py unlock, with --scope if that was locked alone: live gate locked" in shown
    assert "This lock: told by the gate; no signature proves it" in shown
    again = await starter("lock", "--reason", "me too", "--by", "paul")
    assert again.code == 0, "it is locked and quiesced, which is what was asked for"
    assert "locked already, by olga" in again.out
    unlocked = await starter("unlock", *REASON)
    assert unlocked.code == 0, unlocked.err
    assert "Held up by locks: 1 plan: plan-waits-for-unlock" in unlocked.out
    assert "Meanwhile ended: no plans." in unlocked.out
    assert "waits-for-unlock" in unlocked.out.split("submitted, and still open")[1]
    assert (await airlock.plan(waits).wait_for(State.AWAITING_APPROVAL)).steps[0].status == "waiting"
    assert not (starter.env.work_folder / waits).exists()
    assert (await starter("list")).err == ""


async def test_json_is_one_document_each(starter: Starter, airlock: Airlock) -> None:
    locked = (await starter("lock", *REASON, "--json")).json
    assert (locked["accepted"], locked["quiesced"], locked["rows"], locked["scope"]) == (True, True, [], None)
    waits = await stopped_at_the_gate(airlock, note_plan("waits-as-json"))
    unlocked = (await starter("unlock", *REASON, "--json")).json
    assert (unlocked["accepted"], unlocked["waiting"]) == (True, [f"plan-{waits}"])
    assert waits in [plan["plan_id"] for plan in unlocked["submitted"]]
    nothing = await starter("unlock", *REASON, "--json")
    assert nothing.code == 1
    assert "nothing is locked" in nothing.json["error"]


async def in_a_slow_call(airlock: Airlock, slow: Slow, plan_id: str) -> PlanHandle:
    """Return a plan that is live, in a call that ends only when the target is released."""
    plan = note_plan(plan_id)
    plan["steps"][0] |= {
        "agent": "researcher", "tool": "http_request", "args": {"method": "GET", "url": f"http://{slow.url}/"},
    }  # fmt: skip
    handle = await airlock.submit(plan)
    status = await handle.wait_for(State.AWAITING_APPROVAL)
    slow.asked.clear()
    slow.free.clear()
    assert (await handle.decide("approve", by="alice", digest=status.digest)).accepted
    await asyncio.wait_for(slow.asked.wait(), 120)
    return handle


async def test_who_has_not_stopped_in_time_is_named_and_the_lock_stays(
    starter: Starter, airlock: Airlock, slow: Slow
) -> None:
    handle = await in_a_slow_call(airlock, slow, "in-a-slow-call")
    late = await starter("lock", *REASON, "--timeout", "5")
    assert late.code == 1
    assert "in-a-slow-call  finishing  in flight: one" in late.out
    assert "Not quiesced after 5 s: in-a-slow-call (finishing). The lock stays" in late.err
    assert (await starter("list", "--json")).json["locks"], "the lock stays"
    slow.free.set()
    done = await starter("lock", *REASON)
    assert done.code == 0, done.err
    assert "in-a-slow-call  quiesced" in done.out
    assert "Quiesced: 1 plan had been live; no call is running any more." in done.out
    assert (await handle.status()).steps[1].status == "waiting"
    assert not (starter.env.work_folder / "in-a-slow-call").exists()


async def test_ctrl_c_ends_the_looking_and_not_the_lock(starter: Starter, airlock: Airlock, slow: Slow) -> None:
    await in_a_slow_call(airlock, slow, "looked-at")
    said = await asyncio.to_thread(
        starter_on_terminal, "lock", *REASON, environment=starter.env.cli_environment, typed=CTRL_C, after="finishing"
    )
    slow.free.set()
    assert said.code == 130
    assert "The lock stays" in said.out
    assert [lock["by"] for lock in (await starter("list", "--json")).json["locks"]] == ["olga"]


async def test_a_scope_that_is_none_and_a_scope_for_one_plan_are_refused(starter: Starter) -> None:
    nonsense = await starter("lock", *REASON, "--scope", "planet:mars")
    assert nonsense.code == 1
    assert "scope: must be one of agent:NAME, tool:NAME, resource:NAME" in nonsense.err
    both = await starter("lock", "some-plan", *REASON, "--scope", "agent:ops")
    assert both.code == 1
    assert "either a plan or a scope" in both.err


async def test_a_scoped_lock_keeps_out_its_scope_only(starter: Starter, airlock: Airlock) -> None:
    assert (await starter("lock", *REASON, "--scope", "tool:file_write")).code == 0
    other = note_plan("out-of-scope")
    other["steps"] = [
        {"id": "find", "agent": "researcher", "tool": "ghl_search", "args": {"query": "x"}, "confidence": 0.95}
    ]
    handle = await airlock.submit(other)
    status = await handle.wait_for(State.AWAITING_APPROVAL)
    assert (await handle.decide("approve", by="alice", digest=status.digest)).accepted
    assert (await handle.result()).outcome == "completed"
    await stopped_at_the_gate(airlock, note_plan("in-scope"))
    assert "starter.py unlock --scope tool:file_write" in (await starter("list")).err
    unlocked = await starter("unlock", *REASON, "--scope", "tool:file_write")
    assert unlocked.code == 0, unlocked.err
    assert "tool:file_write is unlocked: 1 notified" in unlocked.out
    assert "Meanwhile ended: 1 plan." in unlocked.out


async def test_one_plan_is_locked_and_unlocked_as_before(starter: Starter, airlock: Airlock) -> None:
    handle = await airlock.submit(note_plan("only-one"))
    await handle.wait_for(State.AWAITING_APPROVAL)
    assert (await starter("lock", "only-one", *REASON)).out.startswith("lock accepted")
    status = await handle.wait_for(State.LOCKED)
    assert not status.locked_by_gate
    assert (await starter("unlock", *REASON)).code == 1, "the live gate was not locked"
    assert (await starter("unlock", "only-one", *REASON)).code == 0
    await handle.wait_for(State.AWAITING_APPROVAL)


def test_without_a_server_it_says_so() -> None:
    said = run_starter("lock", *REASON, environment=NO_SERVER)
    assert said.code == 1
    assert "Temporal does not answer" in said.err


async def test_the_decisions_at_the_gate_are_listed_without_a_worker(starter: Starter) -> None:
    locked = await starter("lock", "--scope", "agent:nobody-here", "--by", "olga", "--reason", "a drill")
    assert locked.code == 0, locked
    assert (await starter("unlock", "--scope", "agent:nobody-here", "--by", "olga", "--reason", "over")).code == 0
    said = await starter("gate", "--json", "--limit", "2")
    assert said.code == 0, said.err
    assert [(line["decision"], line["by"], line["scope"], line["reason"], line["accepted"], line["signature"])
            for line in said.json["decisions"]] == [
        ("unlock", "olga", "agent:nobody-here", "over", True, "not signed"),
        ("lock", "olga", "agent:nobody-here", "a drill", True, "not signed"),
    ]  # fmt: skip
    shown = await starter("gate")
    assert "Decisions at the live gate" in shown.out
    assert (await starter("gate", "--limit", "0")).code == 2
