"""Records the histories that `test_replay.py` replays: real plans on real servers, with the tools of the test world.

    python -m tests.replay.record              all of them, into tests/replay/histories
    python -m tests.replay.record denied       only those named

Record again, and commit, when the order or kind of the workflow's commands was changed on purpose and no run of an older
version is open any more. Never edit a history by hand. Nothing is written unless every plan ended as it should.
"""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from temporalio.client import Client, WorkflowHandle, WorkflowHistory
from temporalio.testing import WorkflowEnvironment

from airlock.activities.admit import resource_hash
from airlock.activities.monitor import send_reports, start_monitors
from airlock.admission.policy import Policy
from airlock.base import names
from airlock.client import Airlock, PlanHandle
from airlock.client.live_gate import LiveGate
from airlock.client.undo import undo
from airlock.plans.state import State
from airlock.temporal.connection import DATA_CONVERTER, ensure_search_attributes
from tests.core.counting import live, report
from tests.workflows.conftest import (
    approved,
    awaiting,
    binary,
    chain,
    signal,
    step,
    time_skipping,
    until,
    working,
)
from tests.workflows.world import WORLD

HISTORIES = Path(__file__).parent / "histories"
IDENTITY = "recorded"
"""In place of the process and host that Temporal would write into every event."""
Scenario = Callable[[Airlock, str], Awaitable[PlanHandle]]

SCENARIOS: dict[str, tuple[str, Scenario]] = {}
"""By the name of its history: the outcome it must have, and what happens to the plan."""


def scenario(outcome: str) -> Callable[[Scenario], Scenario]:
    """Register what is to be recorded; its name with dashes is the name of the file."""

    def register(play: Scenario) -> Scenario:
        SCENARIOS[play.__name__.replace("_", "-")] = (outcome, play)
        return play

    return register


async def submit(airlock: Airlock, plan_id: str, *steps: dict[str, Any], **more: Any) -> PlanHandle:
    document = {"plan_id": plan_id, "goal": "to be replayed", "requested_by": "rita", "steps": list(steps)}
    return await airlock.submit({**document, **more})


def tree() -> list[dict[str, Any]]:
    """Wide, deep, with references and an irreversible end: many commands at the same time, whose order counts."""
    return [
        step("find", "look", key="a"),
        *(step(f"put-{name}", "put", ("find",), key=name, value=name) for name in "fbdace"),
        step("join", "put", key="join", value={"one": {"$ref": "put-a.step"}, "two": {"$ref": "put-f.step"}}),
        step("again", "put", ("join",), key="again", value=1),
        step("mail", "send", ("again", "put-c"), to="jo@acme.test"),
    ]


@scenario("completed")
async def completed(airlock: Airlock, plan_id: str) -> PlanHandle:
    handle = await submit(airlock, plan_id, *tree())
    await signal(handle, "approve", {"by": "alice"})
    await signal(handle, "nobody_knows")
    await approved(handle)
    return handle


@scenario("denied")
async def denied(airlock: Airlock, plan_id: str) -> PlanHandle:
    handle = await submit(airlock, plan_id, *tree())
    await awaiting(handle)
    await signal(handle, "deny", {"by": "alice", "reason": "not today"})
    return handle


@scenario("partial")
async def partial(airlock: Airlock, plan_id: str) -> PlanHandle:
    unsure = step("unsure", "put", ("find",), confidence=0.7, key="u", value=1)
    handle = await submit(airlock, plan_id, *tree(), unsure)
    await approved(handle, steps=["find", "put-b", "put-d"])
    return handle


@scenario("rehearsed")
async def rehearsed(airlock: Airlock, plan_id: str) -> PlanHandle:
    return await submit(airlock, plan_id, *tree(), max_mode="DRY_RUN")


@scenario("aborted")
async def refused_at_admission(airlock: Airlock, plan_id: str) -> PlanHandle:
    return await submit(airlock, plan_id, step("one", "no_such_tool"))


@scenario("aborted")
async def rolled_back(airlock: Airlock, plan_id: str) -> PlanHandle:
    WORLD.trouble[(plan_id, "again")] = ["fail"]
    handle = await submit(airlock, plan_id, *tree())
    await approved(handle)
    return handle


@scenario("aborted")
async def rolled_back_on_a_word(airlock: Airlock, plan_id: str) -> PlanHandle:
    gate = WORLD.hold(plan_id, "join")
    handle = await submit(airlock, plan_id, *tree())
    await approved(handle)
    await until(lambda: (plan_id, "join") in WORLD.running)
    assert (await handle.decide("rollback", by="alice", reason="not what we wanted")).accepted
    gate.set()
    return handle


@scenario("completed")
async def locked_and_unlocked(airlock: Airlock, plan_id: str) -> PlanHandle:
    gate = WORLD.hold(plan_id, "join")
    handle = await submit(airlock, plan_id, *tree())
    await approved(handle)
    await until(lambda: (plan_id, "join") in WORLD.running)
    await signal(handle, "lock", {"by": "lena", "reason": "stop"})
    await handle.wait_for(State.LOCKED)
    gate.set()
    await unlock(handle)
    await approved(handle)
    return handle


@scenario("completed")
async def locked_while_it_waits(airlock: Airlock, plan_id: str) -> PlanHandle:
    handle = await submit(airlock, plan_id, *tree())
    await awaiting(handle)
    await signal(handle, "lock", {"by": "lena", "reason": "stop"})
    await handle.wait_for(State.LOCKED)
    await unlock(handle)
    await approved(handle)
    return handle


async def unlock(handle: PlanHandle) -> None:
    async def quiet() -> bool:
        return not (await handle.status()).in_flight

    await until(quiet)
    await signal(handle, "unlock", {"by": "lena", "reason": "go on"})


@scenario("completed")
async def in_doubt_resolved(airlock: Airlock, plan_id: str) -> PlanHandle:
    handle = await in_doubt(airlock, plan_id)
    await signal(
        handle, "resolve",
        {"by": "alice", "step": "doubtful", "outcome": "happened", "output": {"step": "doubtful"}, "reason": "I saw it"},
    )  # fmt: skip
    return handle


@scenario("aborted")
async def in_doubt_rolled_back(airlock: Airlock, plan_id: str) -> PlanHandle:
    handle = await in_doubt(airlock, plan_id)
    await signal(
        handle, "resolve", {"by": "alice", "step": "doubtful", "outcome": "did_not_happen", "reason": "it is not there"}
    )
    return handle


async def in_doubt(airlock: Airlock, plan_id: str) -> PlanHandle:
    WORLD.trouble[(plan_id, "doubtful")] = ["lost_after"]
    handle = await submit(
        airlock,
        plan_id,
        step("one", "put", key="a", value=1),
        step("doubtful", "once", ("one",), key="b", value=2),
        step("after", "put", key="c", value={"$ref": "doubtful.step"}),
    )
    await approved(handle)
    await handle.wait_for(State.LOCKED)
    return handle


@scenario("completed")
async def tried_again_and_probed(airlock: Airlock, plan_id: str) -> PlanHandle:
    WORLD.trouble[(plan_id, "put-a")] = ["retry", "none"]
    WORLD.trouble[(plan_id, "put-b")] = ["lost", "lost_after", "lost"]
    handle = await submit(airlock, plan_id, *tree())
    await approved(handle)
    return handle


@scenario("completed")
async def stale_and_previewed_anew(airlock: Airlock, plan_id: str) -> PlanHandle:
    handle = await submit(airlock, plan_id, *tree())
    old = (await awaiting(handle)).digest
    WORLD.state[plan_id]["d"] = "somebody else's"
    await signal(handle, "approve", {"by": "alice", "digest": old})

    async def new_seal() -> bool:
        status = await handle.status()
        return status.state is State.AWAITING_APPROVAL and status.digest != old

    await until(new_seal)
    await approved(handle)
    return handle


@scenario("aborted")
async def deadline_passed(airlock: Airlock, plan_id: str) -> PlanHandle:
    gate = WORLD.hold(plan_id, "one")
    steps = [step("one", "brief", key=f"{plan_id}-1"), step("two", "brief", ("one",), key=f"{plan_id}-2")]
    handle = await submit(airlock, plan_id, *steps, deadline="6s")
    status = await awaiting(handle)
    await until(lambda: datetime.now(UTC) >= status.submitted_at + timedelta(seconds=4))
    await approved(handle)

    async def passed() -> bool:
        return any(event.HasField("timer_fired_event_attributes") for event in (await chain(handle))[-1])

    await until(passed)
    gate.set()
    return handle


@scenario("aborted")
async def cancelled(airlock: Airlock, plan_id: str) -> PlanHandle:
    gate = WORLD.hold(plan_id, "join")
    handle = await submit(airlock, plan_id, *tree())
    await approved(handle)
    await until(lambda: (plan_id, "join") in WORLD.running)
    await handle.workflow.cancel()
    await handle.wait_for(State.ROLLBACK)
    gate.set()
    return handle


@scenario("completed")
async def continued_as_new(airlock: Airlock, plan_id: str) -> PlanHandle:
    """Full while it waits, and full again with a call in flight: both times it goes on as new and repeats nothing."""
    gate = WORLD.hold(plan_id, "join")
    handle = await submit(airlock, plan_id, *tree())
    await awaiting(handle)
    await junk(handle, 1_250)
    await approved(handle)
    await until(lambda: (plan_id, "join") in WORLD.running)
    await junk(handle, 2_500)
    gate.set()
    await handle.result()
    runs = await chain(handle)
    assert len(runs) == 3, len(runs)
    return handle


@scenario("completed")
async def waited_at_a_gate(airlock: Airlock, plan_id: str) -> PlanHandle:
    other = f"{plan_id}-other"
    gate = WORLD.hold(other, "a")
    first = await submit(airlock, other, step("a", "share", key="replayed"))
    await approved(first)
    await until(lambda: (other, "a") in WORLD.running)
    handle = await submit(airlock, plan_id, step("a", "share", key="replayed"), step("n", "narrow", key="n"))
    await approved(handle)

    async def waits() -> bool:
        return "shared:replayed" in (await handle.status()).waits_for

    await until(waits)
    gate.set()
    return handle


@scenario("completed")
async def locked_by_the_live_gate(airlock: Airlock, plan_id: str) -> PlanHandle:
    gate = WORLD.hold(plan_id, "a")
    handle = await submit(airlock, plan_id, step("a", "put", key="a"), step("b", "put", ("a",), key="b"))
    await approved(handle)
    await until(lambda: (plan_id, "a") in WORLD.running)
    live = airlock.client.get_workflow_handle(names.LIVE_GATE)
    await live.signal("lock", {"by": "olga", "reason": "stop", "scope": "agent:agent"})
    await handle.wait_for(State.LOCKED)
    gate.set()

    async def quiet() -> bool:
        return not (await handle.status()).gates

    await until(quiet)
    await live.signal("unlock", {"by": "olga", "reason": "go on", "scope": "agent:agent"})
    await approved(handle)
    return handle


@scenario("aborted")
async def late_at_a_locked_gate(airlock: Airlock, plan_id: str) -> PlanHandle:
    other, key = f"{plan_id}-other", f"{plan_id}/find"  # what `put` returns as key: known only when it is live
    hold = WORLD.hold(other, "a")
    first = await submit(airlock, other, step("a", "share", key=key))
    await approved(first)
    await until(lambda: (other, "a") in WORLD.running)
    gate = airlock.client.get_workflow_handle(names.resource_gate_id(resource_hash("", f"shared:{key}")))
    await gate.signal("lock", {"by": "olga", "reason": "drill"})
    handle = await submit(airlock, plan_id, step("find", "put", key="k"), step("use", "share", key={"$ref": "find.key"}))
    digest = (await awaiting(handle)).digest
    await approved(handle)

    async def previewed_again() -> bool:
        status = await handle.status()
        return status.state is State.AWAITING_APPROVAL and status.digest != digest

    await until(previewed_again)
    await gate.signal("unlock", {"by": "olga", "reason": "over"})
    hold.set()
    assert (await handle.decide("abort", by="olga", reason="the drill is over")).accepted
    return handle


@scenario("partial")
async def left_out_as_a_duplicate(airlock: Airlock, plan_id: str) -> PlanHandle:
    steps = [step("a", "put", key="a"), step("mail", "send", ("a",), to="replay", body="once")]
    plans = [await submit(airlock, f"{plan_id}-first", *steps), await submit(airlock, plan_id, *steps)]
    for handle in plans:
        await awaiting(handle)
    for handle in plans:
        await approved(handle)
        await handle.result()
    return plans[1]


@scenario("aborted")
async def undone_after_the_end(airlock: Airlock, plan_id: str) -> PlanHandle:
    done = await submit(airlock, plan_id, *tree())
    await approved(done)
    await done.result()
    handle = await undo(airlock.client, plan_id, by="olga", reason="not wanted after all")
    await approved(handle)
    return handle


async def gates_and_claims(client: Client) -> dict[str, str]:
    """Return the histories of the gates and a claim of these scenarios."""
    files = await written(client, client.get_workflow_handle(names.LIVE_GATE), "gate-live")
    for shard, name in ((0, "monitor"), (1, "monitor-alarmed")):
        files |= await written(client, client.get_workflow_handle(names.monitor_id(shard)), name)
    query = "WorkflowType = 'GateWorkflow' AND ExecutionStatus != 'Running'"
    gates = [run async for run in client.list_workflows(query)]
    for kind in ("gate-resource", "gate-tool"):
        runs = [run for run in gates if run.id.startswith(kind)]
        longest = max(runs, key=lambda run: run.history_length)
        files |= await written(client, client.get_workflow_handle(longest.id, run_id=longest.run_id), kind)
    for status in ("Completed", "Failed"):
        query = f"WorkflowType = 'ClaimWorkflow' AND ExecutionStatus = '{status}'"
        claim = await anext(client.list_workflows(query))
        files |= await written(client, client.get_workflow_handle(claim.id, run_id=claim.run_id), f"claim-{status.lower()}")
    return files


async def alarmed(client: Client) -> None:
    """A monitor finds that most calls fail, and has the live gate locked."""
    failing = report(live(4, 20, "put"), at=datetime.now(UTC))
    await send_reports(client, names.monitor_id(1), [failing])
    await client.get_workflow_handle(names.monitor_id(1)).signal("report", {"reports": "junk"})

    async def locked() -> bool:
        gate = await LiveGate(client).status()
        return gate is not None and bool(gate.locks)

    await until(locked)


async def junk(handle: PlanHandle, until_refused: int) -> None:
    there = (await handle.status()).refused
    for _ in range(0, until_refused - there, 50):
        await asyncio.gather(*(signal(handle, "x") for _ in range(50)))

    async def counted() -> bool:
        return (await handle.status()).refused == until_refused

    await until(counted, 60)


async def record(airlock: Airlock, name: str) -> dict[str, str]:
    """Play one scenario; the histories of its runs by file name."""
    outcome, play = SCENARIOS[name]
    handle = await play(airlock, f"replay-{name}")
    result = await asyncio.wait_for(handle.result(), 60)
    assert result.outcome == outcome, (name, result)
    return await written(airlock.client, handle.workflow, name)


async def expired() -> dict[str, str]:
    """Return the one scenario that takes a day; the server's clock skips it."""
    async with time_skipping(identity=IDENTITY) as (airlock, env):
        handle = await submit(airlock, "replay-expired", *tree())
        await awaiting(handle)
        await env.sleep(86_500)
        assert (await handle.result()).outcome == "expired"
        return await written(airlock.client, handle.workflow, "expired")


async def written(client: Client, handle: WorkflowHandle[Any, Any], name: str) -> dict[str, str]:
    """Return the histories of a run and of those it continues, oldest first, by file name."""
    runs = [[event async for event in handle.fetch_history_events()]]
    while before := runs[0][0].workflow_execution_started_event_attributes.continued_execution_run_id:
        earlier = client.get_workflow_handle(handle.id, run_id=before)
        runs.insert(0, [event async for event in earlier.fetch_history_events()])
    files = {}
    for number, events in enumerate(runs, 1):
        file = f"{name}.json" if len(runs) == 1 else f"{name}-{number}.json"
        history = WorkflowHistory(handle.id, events).to_json_dict()
        lines = (json.dumps(without_traces(event), separators=(",", ":"), sort_keys=True) for event in history["events"])
        files[file] = f'{{"workflowId":"{handle.id}","events":[\n' + ",\n".join(lines) + "\n]}\n"
    return files


def without_traces(value: Any) -> Any:
    """Stack traces name paths of this machine, and no replay reads them."""
    if isinstance(value, dict):
        return {key: without_traces(inner) for key, inner in value.items() if key != "stackTrace"}
    return [without_traces(inner) for inner in value] if isinstance(value, list) else value


async def main(wanted: set[str]) -> None:
    files: dict[str, str] = {}
    if not wanted or "expired" in wanted:
        files |= await expired()
    async with await WorkflowEnvironment.start_local(
        dev_server_existing_path=binary("temporal"), ip="127.0.0.1", data_converter=DATA_CONVERTER, identity=IDENTITY,
        dev_server_log_level="error",
    ) as env:  # fmt: skip
        await ensure_search_attributes(env.client)
        async with working(env.client) as airlock:
            for name in SCENARIOS:
                if not wanted or name in wanted:
                    files |= await record(airlock, name)
                    print(f"recorded {name}")
            if not wanted:
                await start_monitors(env.client, Policy(monitor_shards=2))
        if not wanted:
            async with working(env.client, auto_lock_severity=8):
                await alarmed(env.client)
                files |= await gates_and_claims(env.client)
    HISTORIES.mkdir(exist_ok=True)
    if not wanted:
        for old in HISTORIES.glob("*.json"):
            old.unlink()
    for file, text in sorted(files.items()):
        (HISTORIES / file).write_text(text, encoding="utf-8")
    print(f"{len(files)} histories in {HISTORIES.name}")


if __name__ == "__main__":
    unknown = set(sys.argv[1:]) - {*SCENARIOS, "expired"}
    if unknown:
        sys.exit(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(sorted({*SCENARIOS, 'expired'}))}")
    asyncio.run(main(set(sys.argv[1:])))
