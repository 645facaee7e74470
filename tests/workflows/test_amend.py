"""Amended plans on a server: what did not change keeps its previews and approvals, all else earns its way again."""

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable

import pytest
from temporalio.client import Client

from airlock.cli.records.verify_files import check_export
from airlock.client import Airlock, PlanEnded, PlanHandle
from airlock.client.undo import previewed, undo
from airlock.export.files import APPROVALS
from airlock.plans.state import State
from airlock.workflows import plan_stages
from airlock.workflows.history_budget import HistoryBudget
from tests.workflows.amendments import NUMBERS, amended, approve, five, looks, refusal, resealed
from tests.workflows.conftest import awaiting, count, namespace, signal, step, until, working
from tests.workflows.export_counts import exported
from tests.workflows.world import WORLD


@pytest.fixture
async def two(airlock_with: Callable[..., Awaitable[Airlock]]) -> Airlock:
    return await airlock_with(approvals_required=2)


async def test_only_what_changed_is_previewed_and_approved_again(two, plan):
    handle = await two.submit(five(plan))
    await awaiting(handle)
    assert looks(handle) == Counter("abcde")
    assert (await approve(handle, "alice")).reason == "approval 1 of 2 counted"

    status = await amended(handle, step("c", "put", ("a", "b"), key="c", value=33))
    assert looks(handle) == Counter("abcde") + Counter("cd"), "only the amended step and what depends on it"
    assert status.approvals == ("alice",)

    verdict = await approve(handle, "bob")
    assert verdict.reason == "approval 2 of 2 counted; still without 2: c and d"
    status = await handle.status()
    assert status.state is State.AWAITING_APPROVAL, "no approver left c and d out: the plan waits for their quorum"
    assert {view.id: view.approved_by for view in status.steps} == {
        "a": ("alice", "bob"), "b": ("alice", "bob"), "c": ("bob",), "d": ("bob",), "e": ("alice", "bob"),
    }  # fmt: skip
    await approve(handle, "alice", steps=["a", "b", "c", "d"])
    result = await asyncio.wait_for(handle.result(), 120)
    assert result.outcome == "completed"
    assert WORLD.state[handle.plan_id] == {"a": 1, "b": 2, "c": 33, "d": 4, "e": 5}
    assert not (await count(handle))["WORKFLOW_TASK_FAILED"]


async def test_an_amendment_by_signal_and_one_that_is_malformed(airlock, plan):
    handle = await airlock.submit(five(plan))
    before = await awaiting(handle)
    await signal(handle, "amend", {"by": "rita", "reason": "r", "steps": [{"id": "c"}]})
    await signal(handle, "amend", {"by": "rita", "reason": "r", "step": []})
    await signal(handle, "amend")
    await signal(handle, "amend", {"by": "rita", "reason": "wrong", "steps": [step("e", "put", key="e", value=55)]})
    await until(lambda: resealed(handle, before.digest))
    status = await handle.status()
    assert status.refused == 3
    assert [entry.what for entry in status.refusals] == ["amend"] * 3
    assert "steps.0.agent: is missing" in status.refusals[0].reason
    assert "no field step" in status.refusals[1].reason
    await approve(handle, "alice")
    assert (await handle.result()).outcome == "completed"
    assert WORLD.state[handle.plan_id]["e"] == 55


async def test_an_amendment_that_comes_before_the_preview_waits_for_it(dev_server, plan):
    """No worker is there when it is sent: it is the first thing that the run hears of."""
    client = await namespace(dev_server.client, f"early{next(NUMBERS)}")
    handle = await Airlock(client).submit(five(plan))
    await signal(handle, "amend", {"by": "rita", "reason": "wrong", "steps": [step("e", "put", key="e", value=55)]})
    async with working(client):
        await until(lambda: amended_once(handle))
        assert looks(handle) == Counter("abcde") + Counter("e")
        await approve(handle, "alice")
        assert (await handle.result()).outcome == "completed"
    assert WORLD.state[handle.plan_id]["e"] == 55


async def amended_once(handle: PlanHandle) -> bool:
    sealed = (await handle.preview()).sealed
    status = await handle.status()
    return sealed is not None and sealed.amended is not None and status.state is State.AWAITING_APPROVAL


async def test_what_cannot_be_amended_loses_nothing(two, plan):
    handle = await two.submit(five(plan))
    await approve(handle, "alice")
    good = step("c", "put", ("a", "b"), key="c", value=33)
    for fields, told in (
        ({"steps": [step("a", "put", ("d",), key="a")]}, "steps.a: depends on itself: a -> c -> d -> a"),
        ({"steps": [step("c", "putt", key="c")]}, "no tool 'putt' in the catalogue"),
        ({"steps": [step("c", "put", key="c"), step("c", "put", key="d")]}, "steps.c: is there 2 times"),
        ({"steps": [step("c", "put", wrong=1)]}, "steps.c.args"),
        ({"steps": [step("x", "put", key={"$ref": "nowhere.k"})]}, "nowhere"),
        ({"steps": [], "remove": ["z"]}, "there is no step 'z' in this plan"),
        ({"steps": [step(each, "put", key=each, confidence=0.1) for each in "abcde"]}, "no step of the amended plan may go"),
        ({"steps": [good], "digest": "0" * 64}, "not the digest of the current preview"),
        ({"steps": [good], "by": "agent"}, "agents propose, they never approve"),
    ):
        assert told in await refusal(handle, **fields), told
    assert looks(handle) == Counter("abcde")
    await approve(handle, "bob")
    assert (await asyncio.wait_for(handle.result(), 120)).outcome == "completed"
    with pytest.raises(PlanEnded):
        await handle.amend([good], by="rita", reason="too late")


@pytest.mark.parametrize("turn", range(4))
async def test_an_amendment_and_an_approval_at_the_same_time(airlock, plan, turn):
    """Either the plan goes live as it was approved, or it is amended and asks again; never a mixture."""
    handle = await airlock.submit(five(plan))
    digest = (await awaiting(handle)).digest
    sent = [
        handle.decide("approve", by="alice", digest=digest),
        handle.amend([step("c", "put", ("a", "b"), key="c", value=33)], by="rita", reason="at once"),
    ]
    said = await asyncio.gather(*(sent if turn % 2 else reversed(sent)), return_exceptions=True)
    approval, amendment = said if turn % 2 else reversed(said)
    assert not (getattr(approval, "accepted", False) and getattr(amendment, "accepted", False)), said
    if not getattr(approval, "accepted", False):
        await until(lambda: resealed(handle, digest))
        assert (await handle.status()).approvals == ()
        await approve(handle, "alice")
    assert (await handle.result()).outcome == "completed"
    expected = 33 if getattr(amendment, "accepted", False) else 3
    assert WORLD.state[handle.plan_id]["c"] == expected


async def test_many_amendments_at_once_are_judged_one_after_the_other(airlock, plan):
    handle = await airlock.submit(five(plan))
    await awaiting(handle)
    new = [step(f"n{number}", "put", key=f"n{number}", value=number) for number in range(4)]
    verdicts = await asyncio.gather(*(handle.amend([each], by="rita", reason="more") for each in new))
    assert [verdict.accepted for verdict in verdicts] == [True] * 4
    await until(lambda: waits_with(handle, 9))
    for _ in range(300):
        await signal(handle, "amend", {"by": "eve", "reason": "flood", "steps": [new[0]]})
    await until(lambda: refused(handle, 300))
    await approve(handle, "alice")
    assert (await handle.result()).outcome == "completed"
    assert {f"n{number}" for number in range(4)} <= WORLD.state[handle.plan_id].keys()
    assert not (await count(handle))["WORKFLOW_TASK_FAILED"]


async def waits_with(handle: PlanHandle, steps: int) -> bool:
    status = await handle.status()
    return status.state is State.AWAITING_APPROVAL and len(status.steps) == steps


async def refused(handle: PlanHandle, number: int) -> bool:
    return (await handle.status()).refused >= number


async def test_the_votes_and_their_seals_survive_a_continue_as_new(two, plan, monkeypatch):
    monkeypatch.setattr(plan_stages, "HISTORY", HistoryBudget(events=40))
    handle = await two.submit(five(plan))
    await approve(handle, "alice")
    await amended(handle, step("c", "put", ("a", "b"), key="c", value=33))
    first = (await handle.workflow.describe()).run_id
    await handle.decide("approve", by="bob", digest=(await awaiting(handle)).digest)
    for number in range(40):
        await signal(handle, "nonsense", {"number": number})
    await until(lambda: another_run(handle, first))
    await approve(handle, "carl")
    assert (await handle.result()).outcome == "completed"
    assert WORLD.state[handle.plan_id] == {"a": 1, "b": 2, "c": 33, "d": 4, "e": 5}
    recorded = (await handle.audit()).entries
    assert not [entry for entry in recorded if entry.what == "entry to LIVE"]


async def another_run(handle: PlanHandle, first: str) -> bool:
    return (await handle.workflow.describe()).run_id != first


async def test_reads_before_the_preview_are_made_again_and_approvals_of_what_came_of_them_are_kept(airlock_with, plan):
    lane = await airlock_with(read_lane=True, approvals_required=2)
    document = plan(
        step("see", "look", key="k"),
        step("set", "put", key="copy", value={"$ref": "see.found"}),
        step("other", "put", key="o", value=1),
    )
    WORLD.state[document["plan_id"]]["k"] = "seen"
    handle = await lane.submit(document)
    await approve(handle, "alice")
    status = await amended(handle, step("other", "put", key="o", value=2))
    assert WORLD.attempts[f"{handle.plan_id}/see"] == 2
    assert looks(handle) == Counter({"set": 2, "other": 2})
    assert {view.id: view.approved_by for view in status.steps} == {"see": (), "set": ("alice",), "other": ()}
    WORLD.state[handle.plan_id]["k"] = "changed"
    status = await amended(handle, step("other", "put", key="o", value=3))
    assert {view.id: view.approved_by for view in status.steps} == {"see": (), "set": (), "other": ()}
    await approve(handle, "alice")
    await approve(handle, "bob")
    assert (await handle.result()).outcome == "completed"
    assert WORLD.state[handle.plan_id]["copy"] == "changed"


async def test_an_amended_plan_is_exported_verified_and_undone(dev_server, plan, tmp_path):
    client = await namespace(dev_server.client, f"amended{next(NUMBERS)}")
    async with working(client, approvals_required=2) as airlock:
        handle = await airlock.submit(five(plan))
        await approve(handle, "alice")
        await amended(handle, step("x", "put", key="x", value=6), by="bob", remove=["e"])
        await approve(handle, "bob")
        assert (await handle.status()).state is State.AWAITING_APPROVAL
        await approve(handle, "carl")
        assert (await handle.status()).state is State.AWAITING_APPROVAL, "x has the voice of carl alone"
        await approve(handle, "alice")
        assert (await handle.result()).outcome == "completed"
        assert "x" in WORLD.state[handle.plan_id]
        await until(lambda: ended(client))
        await exported(client, tmp_path / "out")
        found = check_export(tmp_path / "out")
        assert not found.findings
        assert (found.seals.recomputed, found.seals.notes) == (2, [])
        lines = [json.loads(line) for line in (tmp_path / "out" / APPROVALS).read_text().splitlines()]
        assert [[one["by"] for one in line["decisions"]] for line in lines] == [["alice"], ["bob", "carl", "alice"]]
        undoing = await undo(client, handle.plan_id, by="olga", reason="wrong customer")
        await previewed(undoing)
        for by in ("alice", "bob"):
            assert (await undoing.decide("approve", by=by, digest=(await awaiting(undoing)).digest)).accepted
        assert set((await undoing.result()).undone) == {"a", "b", "c", "d", "x"}
        assert WORLD.state[handle.plan_id] == {}


async def ended(client: Client) -> bool:
    return (await client.count_workflows("WorkflowType = 'PlanWorkflow' AND ExecutionStatus = 'Completed'")).count == 1
