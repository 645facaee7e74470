"""The read lane: reads that need no person run before the preview; what the approver sees is what they returned."""

import asyncio
import json
from datetime import timedelta

import pytest
from temporalio.api.enums.v1 import EventType

from airlock.activities.monitor import start_monitors
from airlock.activities.toolbox import Toolbox
from airlock.admission.policy import Policy
from airlock.cli.records.verify_files import check_export
from airlock.client import Airlock
from airlock.client.listing import count_plans, list_plans
from airlock.client.live_gate import LiveGate
from airlock.client.undo import undo
from airlock.export.files import APPROVALS
from airlock.plans.state import State
from airlock.worker.roles import build_workers
from airlock.workflows import read_first
from tests.running import running
from tests.workflows.conftest import POLICY, approved, awaiting, catalogue, chain, namespace, step, until
from tests.workflows.export_counts import exported
from tests.workflows.test_short_path import activities
from tests.workflows.world import WORLD

LANE = {"read_lane": True}


@pytest.fixture
async def lane(airlock_with):
    return await airlock_with(**LANE)


def read_then_put(plan):
    document = plan(step("see", "look", key="k"), step("set", "put", key="copy", value={"$ref": "see.found"}))
    WORLD.state[document["plan_id"]]["k"] = "seen"
    return document


def calls_of(document, name):
    return WORLD.attempts[f"{document['plan_id']}/{name}"]


async def transitions(handle):
    return [entry.what for entry in (await handle.audit()).entries if entry.kind == "transition"]


async def test_the_approver_sees_what_was_read_and_the_call_gets_it(lane, plan):
    await start_monitors(lane.client, Policy())  # as every worker does at its start
    document = read_then_put(plan)
    world = WORLD.state[document["plan_id"]]
    world["k"] = "seen"
    handle = await lane.submit(document)
    status = await awaiting(handle)
    shown = await handle.preview()
    world["k"] = "changed since"  # drift has nothing to hide in: it is not read again
    by_id = {each.id: each for each in shown.sealed.steps}
    assert by_id["set"].preview.args == {"key": "copy", "value": "seen"}
    assert by_id["see"].read.output["found"] == "seen"
    assert "(known after live)" not in shown.text.split("Order of the calls")[0].split("effect: set")[0]
    assert "read before this preview" in shown.text
    assert [(each.id, each.status) for each in status.steps] == [("see", "live"), ("set", "waiting")]
    assert [each.read_at for each in status.steps] == [by_id["see"].read.at, None]
    assert (await handle.decide("approve", by="alice", digest=status.digest)).accepted
    assert (await handle.result()).outcome == "completed"
    assert world["copy"] == "seen"
    assert calls_of(document, "see") == 1
    assert await activities(handle) == ["prepare", "read", "preview", "call"]


async def test_a_plan_of_one_read_is_back_at_once(lane, plan):
    document = plan(step("see", "look", key="k"))
    WORLD.state[document["plan_id"]]["k"] = 7
    await start_monitors(lane.client, Policy())
    handle = await lane.submit(document)
    result = await handle.result()
    assert (result.outcome, result.outputs["see"]["found"]) == ("completed", 7)
    assert await activities(handle) == ["prepare", "read"]
    assert await transitions(handle) == ["rehearsed", "previewed", "approved", "calls_done"]
    signalled = [
        each for each in (await chain(handle))[0]
        if each.event_type == EventType.EVENT_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED
    ]  # fmt: skip
    assert len(signalled) == 1


async def test_a_chain_of_reads_and_steps_behind_a_write(lane, plan):
    document = plan(
        step("a", "look", key="k"),
        step("b", "look", key={"$ref": "a.found"}),
        step("w", "put", ("b",), key="x", value=1),
        step("late", "look", ("w",), key="x"),
    )
    world = WORLD.state[document["plan_id"]]
    world.update(k="other", other="deep")
    handle = await lane.submit(document)
    status = await awaiting(handle)
    assert [each.status for each in status.steps] == ["live", "live", "waiting", "waiting"]
    assert (await handle.preview()).sealed.live_steps == ("w", "late")
    await approved(handle)
    result = await handle.result()
    assert result.outputs["b"]["found"] == "deep"
    assert result.outputs["late"]["found"] == 1
    assert (calls_of(document, "a"), calls_of(document, "late")) == (1, 1)


async def test_without_the_option_nothing_changes(airlock_with, plan):
    airlock = await airlock_with(approval_waived_for=["LOW"])
    await start_monitors(airlock.client, Policy())
    document = read_then_put(plan)
    handle = await airlock.submit(document)
    await awaiting(handle)
    assert calls_of(document, "see") == 0
    await approved(handle)
    assert (await handle.result()).outcome == "completed"
    assert await activities(handle) == ["prepare", "call"]


async def test_a_failed_read_says_why_as_a_failed_preview_does(lane, plan):
    document = read_then_put(plan)
    WORLD.trouble[(document["plan_id"], "see")] = ["fail"]
    handle = await lane.submit(document)
    result = await handle.result()
    assert result.outcome == "rehearsed"
    reasons = {each.id: each.reasons for each in result.steps}
    assert reasons["see"] == ("its read failed: the target refused",)
    assert reasons["set"] == ("depends on 'see', which stays at MOCK",)


async def test_a_read_is_tried_again_as_its_contract_says(lane, plan):
    document = read_then_put(plan)
    WORLD.trouble[(document["plan_id"], "see")] = ["retry"]
    handle = await lane.submit(document)
    await awaiting(handle)
    assert calls_of(document, "see") == 2


async def test_a_locked_gate_lets_nothing_be_read_and_the_plan_waits_as_ever(lane, plan):
    gate = LiveGate(lane.client)
    await gate.lock(by="op", reason="stop")
    document = read_then_put(plan)
    handle = await lane.submit(document)
    status = await awaiting(handle)
    assert [each.status for each in status.steps] == ["waiting", "waiting"]
    assert calls_of(document, "see") == 0
    entries = [entry for entry in (await handle.audit()).entries if entry.what == "not_read"]
    assert len(entries) == 1
    assert "stop" in entries[0].reason
    await gate.unlock(by="op", reason="go on")
    await approved(handle)
    assert (await handle.result()).outcome == "completed"
    assert calls_of(document, "see") == 1


async def test_a_scoped_lock_stops_the_reads_of_its_tool(lane, plan):
    gate = LiveGate(lane.client)
    await gate.lock(by="op", reason="stop", scope="tool:look")
    document = read_then_put(plan)
    await awaiting(await lane.submit(document))
    assert calls_of(document, "see") == 0


async def test_a_lock_of_the_plan_during_a_read_discards_it_and_an_unlock_reads_again(lane, plan):
    document = read_then_put(plan)
    world = WORLD.state[document["plan_id"]]
    world["k"] = "old"
    hold = WORLD.hold(document["plan_id"], "see")
    handle = await lane.submit(document)
    await until(lambda: (document["plan_id"], "see") in WORLD.running)
    assert (await handle.status()).state is State.DRY_RUN
    assert (await handle.decide("lock", by="op", reason="stop")).accepted
    hold.set()
    await until(lambda: (document["plan_id"], "see") not in WORLD.running)
    status = await handle.status()
    assert (status.state, status.in_flight, [each.status for each in status.steps]) == (
        State.LOCKED, (), ["waiting", "waiting"],
    )  # fmt: skip
    world["k"] = "new"
    assert (await handle.decide("unlock", by="op", reason="go on")).accepted
    await awaiting(handle)
    assert (await handle.preview()).sealed.steps[1].preview.args["value"] == "new"


async def test_a_new_preview_reads_again_while_nothing_else_was_called(lane, plan):
    document = read_then_put(plan)
    world = WORLD.state[document["plan_id"]]
    world["k"] = "old"
    handle = await lane.submit(document)
    first = await awaiting(handle)
    world["k"] = "new"
    assert (await handle.decide("lock", by="op", reason="stop")).accepted
    assert (await handle.decide("unlock", by="op", reason="go on")).accepted
    second = await awaiting(handle)
    assert second.digest != first.digest
    assert (await handle.preview()).sealed.steps[1].preview.args["value"] == "new"
    verdict = await handle.decide("approve", by="alice", digest=first.digest)
    assert not verdict.accepted
    await approved(handle)
    assert (await handle.result()).outcome == "completed"
    assert world["copy"] == "new"


async def test_a_rollback_has_nothing_to_undo_of_reads(lane, plan):
    document = plan(
        step("see", "look", key="k"), step("set", "put", ("see",), key="a", value=1), step("bad", "put", ("set",), key="b")
    )
    WORLD.trouble[(document["plan_id"], "bad")] = ["fail"]
    handle = await lane.submit(document)
    await approved(handle)
    result = await handle.result()
    assert (result.outcome, set(result.undone), result.live) == ("aborted", {"set", "bad"}, ())


async def test_a_cancellation_of_a_plan_that_has_only_read_aborts_it(lane, plan):
    handle = await lane.submit(read_then_put(plan))
    await awaiting(handle)
    await handle.workflow.cancel()
    result = await handle.result()
    assert (result.outcome, await transitions(handle)) == ("aborted", ["rehearsed", "previewed", "abort"])


async def test_budgets_over_time_count_reads(airlock_with, plan):
    agents = {"*": {"permissions": ["*"], "budget": {"live_calls": 2, "per": "24h"}}}
    airlock = await airlock_with(agents=agents, **LANE)
    for _ in range(2):
        assert (await (await airlock.submit(plan(step("see", "look", key="k")))).result()).outcome == "completed"
    handle = await airlock.submit(document := plan(step("see", "look", key="k")))

    async def refused():
        return [entry for entry in (await handle.audit()).entries if entry.what == "not_read"]

    (entry,) = await until(refused)
    assert "3 live calls within 24h, 2 are allowed" in entry.reason
    assert calls_of(document, "see") == 0


async def test_no_live_worker_holds_a_preview_up(dev_server, plan, monkeypatch):
    monkeypatch.setattr(read_first, "BEGUN_WITHIN", timedelta(seconds=1))
    client = await namespace(dev_server.client, "lane-without-live")
    toolbox = Toolbox(catalogue(), Policy.model_validate(POLICY.model_dump() | LANE))
    document = read_then_put(plan)
    async with running([each for role in ("orchestrate", "rehearse") for each in build_workers(client, toolbox, role)]):
        handle = await Airlock(client).submit(document)
        status = await awaiting(handle)
    assert [each.status for each in status.steps] == ["waiting", "waiting"]


async def test_a_list_of_plans_tells_how_a_plan_of_reads_ended(lane, plan):
    await start_monitors(lane.client, Policy())
    document = plan(step("see", "look", key="k"))
    handle = await lane.submit(document)
    await handle.result()
    other = await lane.submit(plan(step("set", "put", key="k", value=1)))
    await awaiting(other)

    async def listed(state):
        return {each.plan_id: (each.state, each.outcome) for each in await list_plans(lane.client, state=state)}

    async def known():
        return len(await listed(None)) == 2 and document["plan_id"] in await listed(State.COMPLETED)

    await until(known)
    assert await listed(State.COMPLETED) == {document["plan_id"]: ("COMPLETED", "completed")}
    assert await listed(State.MOCK) == {}
    assert (await listed(None))[document["plan_id"]] == ("COMPLETED", "completed")
    assert await count_plans(lane.client, state=State.COMPLETED) == 1


async def test_an_export_holds_both_seals_and_is_verified(lane, plan, tmp_path):
    lone = await lane.submit(plan(step("see", "look", key="k")))
    mixed = await lane.submit(read_then_put(plan))
    await approved(mixed)
    assert {(await each.result()).outcome for each in (lone, mixed)} == {"completed"}

    async def known():
        return await count_plans(lane.client, state=State.COMPLETED) == 2

    await until(known)
    root = await exported(lane.client, tmp_path / "out")
    checked = await asyncio.to_thread(check_export, tmp_path / "out", root)
    assert not checked.findings, checked.findings
    seals = [json.loads(line) for line in (tmp_path / "out" / APPROVALS).read_text().splitlines()]
    of_mixed = [seal for seal in seals if seal["plan_id"] == mixed.plan_id]
    assert [[step["id"] for step in seal["content"]["steps"]] for seal in of_mixed] == [["see"], ["see", "set"]]
    assert [[each["by"] for each in seal["decisions"]] for seal in of_mixed] == [["policy"], ["alice"]]
    assert of_mixed[1]["content"]["steps"][0]["read"]["output"]["found"] == "seen"
    assert len(seals) == 4


async def test_a_plan_that_read_first_is_undone_after_its_end(lane, plan):
    document = read_then_put(plan)
    world = WORLD.state[document["plan_id"]]
    handle = await lane.submit(document)
    await approved(handle)
    assert (await handle.result()).outcome == "completed"
    assert world["copy"] == "seen"
    undoing = await undo(lane.client, document["plan_id"], by="rita", reason="only a try")
    await approved(undoing)
    result = await undoing.result()
    assert (result.outcome, result.undone) == ("aborted", ("set",))
    assert "copy" not in world
