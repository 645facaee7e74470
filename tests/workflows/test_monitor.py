"""Monitors on a real server: nothing counted twice, nothing lost, shards merge exactly, locks do not flap."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime
from functools import reduce
from typing import Any

import pytest
from temporalio.client import Client, WorkflowHandle
from temporalio.service import RPCError, RPCStatusCode

from airlock.activities.monitor import send_reports, start_monitors
from airlock.admission.policy import Policy
from airlock.base import names
from airlock.client import Airlock
from airlock.client.live_gate import LiveGate
from airlock.gates.view import GateView
from airlock.monitoring import monitor
from airlock.monitoring.aggregation import Aggregate, merged
from airlock.monitoring.dedupe import shard_of
from airlock.monitoring.messages import HealthSnapshot, SignalsSnapshot
from airlock.monitoring.report import Report
from airlock.monitoring.rolling import merge
from tests.core.counting import live, report
from tests.workflows.conftest import approved, awaiting, namespace, signal, step, until, working
from tests.workflows.world import WORLD

With = Callable[..., Awaitable[Airlock]]


def handle_of(client: Client, shard: int = 0) -> WorkflowHandle[Any, Any]:
    return client.get_workflow_handle(names.monitor_id(shard))


_BUSY = (
    RPCStatusCode.FAILED_PRECONDITION, RPCStatusCode.CANCELLED, RPCStatusCode.DEADLINE_EXCEEDED, RPCStatusCode.UNAVAILABLE,
    RPCStatusCode.RESOURCE_EXHAUSTED,
)  # fmt: skip


async def health(client: Client, shard: int = 0, **asked: Any) -> HealthSnapshot:
    arguments = [asked] if asked else []

    async def answer() -> HealthSnapshot | None:
        try:
            return await handle_of(client, shard).query("health", args=arguments, result_type=HealthSnapshot)
        except RPCError as error:
            if error.status in _BUSY:  # a busy worker or server missed the time of a workflow task, or of the question
                return None
            raise

    found: HealthSnapshot = await until(answer)
    return found


async def gate_of(client: Client) -> GateView:
    found = await LiveGate(client).status()
    assert found is not None
    return found


def now_reports(facts: Iterable[Aggregate], start: int = 0) -> list[Report]:
    return [report(each, start + number, datetime.now(UTC)) for number, each in enumerate(facts)]


async def runs(client: Client, shard: int = 0) -> int:
    """Return the number of runs that a monitor's chain of continue-as-new has by now."""
    number, run_id = 0, None
    while True:
        handle = client.get_workflow_handle(names.monitor_id(shard), run_id=run_id)
        first = await anext(aiter(handle.fetch_history_events(page_size=1)))
        number, run_id = number + 1, first.workflow_execution_started_event_attributes.continued_execution_run_id
        if not run_id:
            return number


# What plans report.


async def test_plans_report_what_happened_to_them_once_and_in_one_signal(airlock_with: With, plan: Any):
    airlock = await airlock_with()
    good = await airlock.submit(plan(step("a", "put", key="a", value=1), step("b", "put", ("a",), key="b", value=2)))
    await approved(good)
    assert (await good.result()).outcome == "completed"
    bad_plan = plan(step("a", "put", key="a", value=1), step("b", "put", ("a",), key="b", value=2))
    WORLD.trouble[(bad_plan["plan_id"], "b")] = ["fail"]
    bad = await airlock.submit(bad_plan)
    await approved(bad)
    assert (await bad.result()).outcome == "aborted"
    denied = await airlock.submit(plan(step("a", "put", key="a", value=1)))
    await awaiting(denied)
    await signal(denied, "deny", {"by": "alice", "reason": "no"})
    assert (await denied.result()).outcome == "denied"
    rehearsed = await airlock.submit(plan(step("a", "put", key="a", value=1), max_mode="DRY_RUN"))
    assert (await rehearsed.result()).outcome == "rehearsed"
    refused = await airlock.submit(plan(step("a", "put", key="a"), step("a2", "nobody_has_it")))
    assert (await refused.result()).outcome == "aborted"

    facts = (await health(airlock.client)).windows.total
    assert facts.outcomes == {"completed": 1, "aborted": 2, "denied": 1, "rehearsed": 1}
    assert facts.decided == {"approved": 2, "denied": 1}
    put = facts.tool("put")
    assert (put.live.calls, put.live.ok, put.mock.calls, put.dry_run.calls) == (4, 3, 6, 6)
    assert (facts.rehearsals, facts.ended_live, facts.rolled_back, facts.clean, facts.undone) == (4, 2, 1, 1, 2)
    assert facts.reports == {"rehearsal": 5, "live": 2, "rollback": 1}
    sent = [event async for event in handle_of(airlock.client).fetch_history_events() if event.event_type == 26]
    assert len(sent) == 6, "one for each plan, and one more for the plan that was rolled back"


async def test_a_plan_whose_end_comes_while_it_gives_back_reports_its_end_once(airlock_with: With, plan: Any):
    airlock = await airlock_with()
    handle = await airlock.submit(plan(step("a", "put", key="a", value=1)))
    await awaiting(handle)
    for number in range(3):
        await signal(handle, "lock", {"by": "olga", "reason": str(number)})
        await signal(handle, "unlock", {"by": "olga", "reason": str(number)})
    await awaiting(handle)
    await signal(handle, "abort", {"by": "olga", "reason": "enough"})
    await signal(handle, "approve", {"by": "alice"})  # refused and recorded, before the end or after
    assert (await handle.result()).outcome == "aborted"
    facts = (await health(airlock.client)).windows.total
    assert facts.outcomes == {"aborted": 1}


# Counted once.


async def test_no_report_is_lost_or_counted_twice_by_redelivery_continue_as_new_or_a_restart(dev_server: Any):
    client = await namespace(dev_server.client, "monitor-restarts")
    found = now_reports([live(number % 2, 1, f"t{number % 7}") for number in range(1_300)])

    async def send(some: Iterable[Report]) -> None:
        limit = asyncio.Semaphore(30)

        async def one(each: Report) -> None:
            async with limit:
                await send_reports(client, "monitor-0", [each])

        await asyncio.gather(*(one(each) for each in some))

    async with working(client):
        await send(found[:700])
        await until(lambda: _counted(client, 700))
    await send([*found[600:900], *found[600:700]])  # no worker is up; some were sent before
    async with working(client):
        await send([*found[800:], *found[:100]])
        await until(lambda: _counted(client, 1_300))
        seen = await health(client)
        await until(lambda: _repeated(client, 400))
        expected = merged(each.facts for each in found)
        assert seen.windows.total == expected
        await until(lambda: _continued(client))
        await send(found[400:450])  # counted by a run before this one
        await until(lambda: _repeated(client, 450))
        assert (await health(client)).windows.total == expected


async def _counted(client: Client, number: int) -> bool:
    return (await health(client)).counted == number


async def _continued(client: Client) -> bool:
    return await runs(client) >= 2


async def _repeated(client: Client, number: int) -> bool:
    seen = await health(client)
    assert seen.repeated <= number
    return seen.repeated == number


async def test_three_monitors_together_have_counted_what_one_would_have(airlock_with: With):
    airlock = await airlock_with(monitor_shards=3)
    client = airlock.client
    await start_monitors(client, Policy(monitor_shards=3))
    found = now_reports([live(number % 5, 5, f"t{number % 11}", 0.9) for number in range(60)])
    for each in found:
        await send_reports(client, names.monitor_id(shard_of(each.key.name, 3)), [each])
    await send_reports(client, "monitor-99", found[:20])
    await send_reports(client, "monitor-99", found[20:])

    async def all_counted() -> bool:
        return sum([(await health(client, shard)).counted for shard in range(3)]) == 60 == (await health(client, 99)).counted

    await until(all_counted)
    one, parts = await health(client, 99), [await health(client, shard) for shard in range(3)]
    assert min(part.counted for part in parts) > 0
    together = reduce(merge, (part.windows for part in parts))
    assert together.model_copy(update={"latest": 0}) == one.windows.model_copy(update={"latest": 0})
    signals = await handle_of(client, 99).query("signals", result_type=SignalsSnapshot)
    assert signals.windows == one.windows
    assert signals.calibration.calls == 300


async def test_a_plan_reports_to_the_monitor_of_its_shard(airlock_with: With, plan: Any):
    airlock = await airlock_with(monitor_shards=3)
    handles = [await airlock.submit(plan(step("a", "look"), max_mode="DRY_RUN")) for _ in range(6)]
    for handle in handles:
        await handle.result()
    for shard in {shard_of(handle.plan_id, 3) for handle in handles}:
        mine = sum(shard_of(handle.plan_id, 3) == shard for handle in handles)
        assert (await health(airlock.client, shard)).counted == mine


async def test_junk_is_refused_counted_and_shown_and_harms_nothing(airlock_with: With):
    client = (await airlock_with()).client
    await start_monitors(client, Policy())
    handle = handle_of(client)
    document = report(live(1, 2)).model_dump(mode="json")
    lie = document | {"facts": {"tools": {"t": {"live": {"calls": 1, "ok": 2}}}}}
    junk = [[], [None], ["x"], [1, 2], [{"reports": "x"}], [{"reports": [lie]}], [{"reports": [document, lie]}]]
    for arguments in junk:
        await handle.signal("report", args=arguments)
    await handle.signal("nobody_knows", {"x": 1})
    await handle.cancel()
    await handle.signal("report", {"reports": [document], "from_a_newer_worker": 1})
    await until(lambda: _counted(client, 1))
    seen = await health(client, at="2026-03-01T13:00:00Z")
    assert seen.refused == len(junk) + 2, seen.refusals
    assert {refusal.what for refusal in seen.refusals} == {"report", "nobody_knows", "cancel"}
    assert seen.windows.total == live(1, 2) + Aggregate()
    assert seen.at.isoformat() == "2026-03-01T13:00:00+00:00"
    with pytest.raises(Exception, match="not a time"):
        await health(client, at="yesterday")


# The lock.


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(monitor, "ASK_AGAIN", 0.0)


@pytest.mark.usefixtures("at_once")
async def test_a_monitor_locks_with_its_evidence_and_not_again_without_new_evidence(airlock_with: With, plan: Any):
    airlock = await airlock_with(auto_lock_severity=8)
    client, gate = airlock.client, LiveGate(airlock.client)
    document = plan(step("a", "put", key="a", value=1), step("b", "put", ("a",), key="b", value=1))
    held = WORLD.hold(document["plan_id"], "a")
    inside = await airlock.submit(document)
    await approved(inside)
    await until(lambda: (document["plan_id"], "a") in WORLD.running)

    await send_reports(client, "monitor-0", now_reports([live(4, 20, "put")]))
    await until(lambda: _locked(client))
    (lock,) = (await gate_of(client)).locks
    assert lock.by == "monitor"
    assert lock.reason.startswith("monitor-0: repeated_failures in the last hour: 4 of 20 live calls worked")
    await until(lambda: _state(inside, "LOCKED"))
    held.set()
    assert "live gate locked by monitor" in (await inside.status()).why

    assert (await gate.unlock("olga", "mended")).accepted
    await client.get_workflow_handle(names.LIVE_GATE).signal("auto_lock", {"monitor": "monitor-0"})
    await client.get_workflow_handle(names.LIVE_GATE).signal("auto_lock", {"monitor": "monitor-7"})
    await client.get_workflow_handle(names.LIVE_GATE).signal("lock", {"by": "monitor", "reason": "a lie"})
    await until(lambda: _gate_refused(client, 3))
    await send_reports(client, "monitor-0", now_reports([live(0, 19, "put")], 1))  # one too few to say so again
    await send_reports(client, "monitor-0", now_reports([live(20, 20, "put")], 2))
    await until(lambda: _judged_since(client))
    assert not (await gate_of(client)).locks
    assert (await health(client)).anomalies, "it was to be as wrong as before"
    await send_reports(client, "monitor-0", now_reports([live(0, 20, "put")], 3))
    await until(lambda: _locked(client))
    assert len((await health(client)).wishes) == 2


async def _locked(client: Client) -> bool:
    return bool((await gate_of(client)).locks)


async def _state(handle: Any, state: str) -> bool:
    return (await handle.status()).state == state


async def _gate_refused(client: Client, number: int) -> bool:
    return (await gate_of(client)).refused >= number


async def _judged_since(client: Client) -> bool:
    """Return True if the monitor has looked at everything that came: no timer of it is running."""
    events = [event async for event in handle_of(client).fetch_history_events()]
    started = sum(event.event_type == 17 for event in events)
    return started > 0 and started == sum(event.event_type == 18 for event in events)


async def test_without_the_policy_nothing_is_locked(airlock_with: With):
    airlock = await airlock_with(auto_lock_severity=9)
    await start_monitors(airlock.client, Policy())
    await send_reports(airlock.client, "monitor-0", now_reports([live(4, 20, "put")]))

    async def asked() -> bool:
        events = [event async for event in handle_of(airlock.client).fetch_history_events()]
        return any(event.event_type == 12 for event in events)  # the activity has answered

    await until(asked)
    assert (await health(airlock.client)).wishes == ()


# Calibrated confidence.


async def test_what_a_tool_did_decides_what_runs(airlock_with: With, plan: Any):
    airlock = await airlock_with(calibrated_confidence=True, monitor_shards=2)
    document = plan(step("a", "put", key="a", value=1))
    before = await airlock.submit(document)
    await awaiting(before)
    text = (await before.preview()).text
    assert "not calibrated: the monitor did not answer" in text
    await start_monitors(airlock.client, Policy(monitor_shards=2))
    await send_reports(airlock.client, "monitor-0", now_reports([live(30, 40, "put")]))
    await send_reports(airlock.client, "monitor-1", now_reports([live(11, 20, "put")], 1))
    await until(lambda: _counted_on(airlock.client, 1))

    held_back = await airlock.submit(plan(step("a", "put", key="a", value=1), step("b", "look")))
    status = await awaiting(held_back)
    text = (await held_back.preview()).text
    assert "confidence 0.95 counts as 0.75 (put worked in 41 of 60 calls) is below 0.8" in text, text
    assert "no live call of look is known" in text
    await signal(held_back, "approve", {"by": "alice", "digest": status.digest})
    assert (await held_back.result()).outcome == "partial"
    assert WORLD.state[held_back.plan_id] == {}, "what was held back did not run"

    await approved(before)
    assert (await before.result()).outcome == "completed", "what was frozen at admission goes on to count"


async def _counted_on(client: Client, shard: int) -> bool:
    return (await health(client, shard)).counted == 1
