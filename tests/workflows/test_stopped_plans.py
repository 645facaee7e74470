"""Plans that are rolled back, cancelled, locked or aborted: what is undone, what stays, and that nothing is repeated."""

from typing import Any

import pytest

from airlock.plans.state import State
from tests.workflows.conftest import approved, awaiting, awaiting_other, live_log, step, until
from tests.workflows.world import WORLD


async def test_a_failed_call_rolls_back_in_reverse_and_the_siblings_finish(airlock, plan):
    document = plan(
        step("a", "put", key="a", value=1),
        step("b", "put", ("a",), key="b", value=1),
        step("slow", "put", ("a",), key="slow", value=1),
        step("bad", "once", ("a",), key="bad"),
        step("after", "put", ("bad", "b"), key="after"),
        step("mail", "send", ("after",), to="x@acme.test"),
    )
    plan_id = document["plan_id"]
    WORLD.trouble[(plan_id, "bad")] = ["fail"]
    gate = WORLD.hold(plan_id, "slow")
    handle = await airlock.submit(document)
    await approved(handle)
    await until(lambda: (plan_id, "slow") in WORLD.running and "bad" in live_log(plan_id))
    gate.set()
    result = await handle.result()
    assert (result.outcome, result.state) == ("aborted", "ABORTED")
    assert "'bad' failed: the target refused" in result.why
    assert set(live_log(plan_id)) == {"a", "b", "slow", "bad"}
    # `bad` had left its token before it failed, so it is compensated too
    undone = live_log(plan_id, "undo")
    assert set(undone) == {"a", "b", "slow", "bad"}
    assert undone[-1] == "a"
    assert WORLD.state[plan_id] == {}


@pytest.mark.parametrize("where", ["a", "b", "c", "d"])
async def test_rollback_forced_at_every_step_leaves_nothing(airlock, plan, where):
    document = plan(
        step("a", "put", key="a", value=1),
        step("b", "put", ("a",), key="a", value=2),
        step("c", "put", ("b",), key="a", value=3),
        step("d", "put", ("c",), key="b", value=3),
    )
    WORLD.state[document["plan_id"]]["a"] = "before"
    WORLD.trouble[(document["plan_id"], where)] = ["boom"] * 5
    handle = await airlock.submit(document)
    # each step writes what the one before wrote: the observed state of later ones is stale by construction
    status = await awaiting(handle)
    assert (await handle.decide("approve", by="al", digest=status.digest)).accepted
    async for status in handle.follow():
        if status.state is State.AWAITING_APPROVAL:
            await handle.decide("approve", by="al", digest=status.digest)
    assert (await handle.result()).outcome == "aborted"
    assert WORLD.state[document["plan_id"]] == {"a": "before"}


@pytest.mark.parametrize("settle", ["retry", "skip", "compensated"])
async def test_a_failed_compensation_parks_and_is_settled(airlock, plan, settle):
    document = plan(
        step("a", "put", key="a", value=1),
        step("b", "put", ("a",), key="b", value=1),
        step("bad", "once", ("b",), key="bad"),
    )
    plan_id = document["plan_id"]
    WORLD.trouble[(plan_id, "bad")] = ["fail"]
    WORLD.undo_trouble[(plan_id, "b")] = 1
    handle = await airlock.submit(document)
    await approved(handle)
    status = await handle.wait_for(State.LOCKED)
    assert status.parked == ("b",)
    assert "cannot undo right now" in status.why
    assert WORLD.state[plan_id]["a"] == 1, "what b depends on is not undone before b"
    assert (await handle.decide("resolve", by="op", step="b", outcome=settle, reason="r")).accepted
    result = await handle.result()
    assert result.outcome == "aborted"
    assert WORLD.state[plan_id] == ({} if settle == "retry" else {"b": 1})
    assert result.kept == (("b",) if settle == "skip" else ())


async def test_rollback_on_a_humans_word_waits_for_the_call_in_flight(airlock, plan):
    document = plan(
        step("a", "put", key="a", value=1), step("b", "once", ("a",), key="b", value=1), step("c", "put", ("b",), key="c")
    )
    plan_id = document["plan_id"]
    WORLD.trouble[(plan_id, "b")] = []
    handle = await airlock.submit(document)
    gate = WORLD.hold(plan_id, "b")
    await approved(handle)
    await until(lambda: (plan_id, "b") in WORLD.running)
    assert (await handle.decide("rollback", by="op", reason="wrong customer")).accepted
    status = await handle.status()
    assert status.state is State.ROLLBACK
    assert "b" in status.in_flight
    assert live_log(plan_id, "undo") == []
    gate.set()
    result = await handle.result()
    assert result.outcome == "aborted"
    assert "wrong customer" in result.why
    assert WORLD.state[plan_id] == {}
    assert "c" not in live_log(plan_id)


async def test_rollback_to_a_step_keeps_what_came_before(airlock, plan):
    document = plan(
        step("a", "put", key="a", value=1),
        step("b", "put", ("a",), key="b", value=1),
        step("hang", "once", ("b",), key="hang", value=1),
    )
    plan_id = document["plan_id"]
    gate = WORLD.hold(plan_id, "hang")
    handle = await airlock.submit(document)
    await approved(handle)
    await until(lambda: (plan_id, "hang") in WORLD.running)
    assert not (await handle.decide("rollback", by="op", reason="r", to_step="nope")).accepted
    assert (await handle.decide("rollback", by="op", reason="r", to_step="b")).accepted
    gate.set()
    result = await handle.result()
    assert result.outcome == "aborted"
    assert WORLD.state[plan_id] == {"a": 1}
    assert (result.live, set(result.undone)) == (("a",), {"b", "hang"})


async def test_a_cancelled_workflow_rolls_back_and_ends_with_its_result(airlock, plan):
    document = plan(step("a", "put", key="a", value=1), step("b", "once", ("a",), key="b", value=1))
    plan_id = document["plan_id"]
    gate = WORLD.hold(plan_id, "b")
    handle = await airlock.submit(document)
    await approved(handle)
    await until(lambda: (plan_id, "b") in WORLD.running)
    await handle.workflow.cancel()
    await until(lambda: _in_state(handle, State.ROLLBACK))
    await handle.workflow.cancel()  # a second one changes nothing
    gate.set()
    assert (await handle.result()).outcome == "aborted"
    assert WORLD.state[plan_id] == {}


async def _in_state(handle: Any, state: State) -> bool:
    return (await handle.status()).state is state


async def test_a_cancelled_workflow_that_waits_is_aborted(airlock, plan):
    handle = await airlock.submit(plan(step("a", "put", key="a", value=1)))
    await awaiting(handle)
    await handle.workflow.cancel()
    assert (await handle.result()).outcome == "aborted"
    assert WORLD.state[handle.plan_id] == {}


async def test_lock_stops_before_the_next_call_and_unlock_repeats_nothing(airlock, plan):
    document = plan(
        step("a", "put", key="a", value=1),
        step("b", "once", ("a",), key="b", value=1),
        step("c", "put", ("b",), key="c", value=1),
    )
    plan_id = document["plan_id"]
    gate = WORLD.hold(plan_id, "b")
    handle = await airlock.submit(document)
    first = await awaiting(handle)
    await approved(handle)
    # lock while it runs, then let it finish
    await until(lambda: (plan_id, "b") in WORLD.running)
    assert (await handle.decide("lock", by="op", reason="stop")).accepted
    locked = await handle.status()
    assert locked.state is State.LOCKED
    assert "b" in locked.in_flight
    gate.set()
    await until(lambda: _quiesced(handle))
    assert WORLD.state[plan_id] == {"a": 1, "b": 1}
    assert not (await handle.decide("approve", by="al", digest=first.digest)).accepted
    assert (await handle.decide("unlock", by="op", reason="go on")).accepted
    second = await until(lambda: awaiting_other(handle, first.digest))
    assert (await handle.decide("approve", by="al", digest=second.digest)).accepted
    assert (await handle.result()).outcome == "completed"
    assert [live_log(plan_id).count(name) for name in "abc"] == [1, 1, 1]


async def _quiesced(handle: Any) -> bool:
    return not (await handle.status()).in_flight


async def test_abort_of_a_locked_plan_says_what_stays_live(airlock, plan):
    document = plan(step("a", "put", key="a", value=1), step("b", "put", ("a",), key="b", value=1))
    plan_id = document["plan_id"]
    WORLD.trouble[(plan_id, "b")] = ["lost"] * 3
    document["steps"][1]["args"]["key"] = "noprobe"
    handle = await airlock.submit(document)
    await approved(handle)
    await handle.wait_for(State.LOCKED)
    assert (await handle.decide("abort", by="op", reason="leave it")).accepted
    result = await handle.result()
    assert (result.outcome, result.live, result.not_settled) == ("aborted", ("a",), ("b",))
    assert WORLD.state[plan_id] == {"a": 1}
