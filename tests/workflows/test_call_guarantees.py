"""Guarantees about live calls that attacks once broke, each as a test of its own."""

import pytest

from airlock.plans.state import State
from tests.workflows.conftest import approved, awaiting, awaiting_other, live_log, signal, step, until
from tests.workflows.world import WORLD


async def test_a_tool_that_ends_itself_in_a_chain_is_in_doubt_and_nothing_is_repeated(airlock, plan):
    document = plan(step("a", "put", key="a", value=1), step("b", "once", ("a",), key="b", value=1))
    plan_id = document["plan_id"]
    WORLD.trouble[(plan_id, "b")] = ["cancelled_after"]
    handle = await airlock.submit(document)
    await approved(handle)
    status = await handle.wait_for(State.LOCKED)
    assert {view.id: view.status for view in status.steps} == {"a": "live", "b": "in_doubt"}
    assert (await handle.decide("resolve", by="op", step="b", outcome="happened", reason="seen")).accepted
    assert (await handle.result()).outcome == "completed"
    assert [live_log(plan_id).count(name) for name in "ab"] == [1, 1]


async def test_a_tool_that_ends_itself_after_a_lock_is_not_forgotten(airlock, plan):
    document = plan(step("b", "once", key="b", value=1))
    plan_id = document["plan_id"]
    WORLD.trouble[(plan_id, "b")] = ["cancelled_after"]
    gate = WORLD.hold(plan_id, "b")
    handle = await airlock.submit(document)
    await approved(handle)
    await until(lambda: (plan_id, "b") in WORLD.running)
    assert (await handle.decide("lock", by="op", reason="stop")).accepted
    gate.set()
    status = await until(lambda: _settled(handle))
    assert status.parked == ("b",)


async def _settled(handle):
    status = await handle.status()
    return status if not status.in_flight else None


@pytest.mark.parametrize("trouble", ["boom_after", "shape"])
async def test_an_irreversible_call_that_took_effect_is_never_made_again(airlock_with, plan, trouble):
    document = plan(step("mail", "send", to="jo@acme.test"))
    plan_id = document["plan_id"]
    WORLD.trouble[(plan_id, "mail")] = [trouble]
    airlock = await airlock_with(enable_rollback_on_failure=False)
    handle = await airlock.submit(document)
    await approved(handle)
    status = await handle.wait_for(State.LOCKED)
    if status.parked:
        verdict = await handle.decide("resolve", by="op", step="mail", outcome="happened", reason="the mailbox has it")
    else:
        verdict = await handle.decide("unlock", by="op", reason="go on")
    assert verdict.accepted, verdict
    assert (await handle.result()).outcome in ("completed", "partial", "rehearsed")
    assert WORLD.state[plan_id]["sent"] == ["jo@acme.test"]
    assert WORLD.attempts[f"{plan_id}/mail"] == 1


async def test_a_wrong_shape_of_an_irreversible_call_is_reported_as_kept(airlock, plan):
    document = plan(step("a", "put", key="a", value=1), step("mail", "send", ("a",), to="jo@acme.test"))
    WORLD.trouble[(document["plan_id"], "mail")] = ["shape"]
    handle = await airlock.submit(document)
    await approved(handle)
    result = await handle.result()
    assert (result.outcome, result.kept, result.undone) == ("aborted", ("mail",), ("a",))


async def test_the_token_of_a_call_that_failed_half_way_reaches_the_next_one(airlock_with, plan):
    document = plan(step("a", "once", key="a", value="new"))
    plan_id = document["plan_id"]
    WORLD.trouble[(plan_id, "a")] = ["boom_after"]
    airlock = await airlock_with(enable_rollback_on_failure=False)
    handle = await airlock.submit(document)
    first = await awaiting(handle)
    await approved(handle)
    await handle.wait_for(State.LOCKED)
    assert (await handle.decide("unlock", by="op", reason="again")).accepted
    second = await until(lambda: awaiting_other(handle, first.digest))
    assert (await handle.decide("approve", by="al", digest=second.digest)).accepted
    assert (await handle.result()).outcome == "completed"
    assert WORLD.tokens_found[(plan_id, "a")] == [None, {"key": "a"}]


async def test_a_stale_state_after_an_attempt_that_may_have_written_is_in_doubt(airlock, plan):
    document = plan(step("a", "put", key="noprobe", value=1))
    WORLD.trouble[(document["plan_id"], "a")] = ["boom_after", "stale"]
    handle = await airlock.submit(document)
    await approved(handle)
    status = await handle.wait_for(State.LOCKED)
    assert status.parked == ("a",)
    assert "an earlier attempt may have taken effect" in status.steps[0].error


async def test_a_failure_after_a_lost_answer_does_not_settle_the_doubt(airlock, plan):
    document = plan(step("a", "put", key="noprobe", value=1))
    WORLD.trouble[(document["plan_id"], "a")] = ["lost_after", "fail"]
    handle = await airlock.submit(document)
    await approved(handle)
    assert (await handle.wait_for(State.LOCKED)).parked == ("a",)


async def test_a_late_probe_does_not_overrule_a_human(airlock, plan):
    document = plan(step("a", "put", key="a", value=1))
    plan_id = document["plan_id"]
    WORLD.trouble[(plan_id, "a")] = ["lost_after"] * 3
    gate = WORLD.hold(plan_id, "probe")
    handle = await airlock.submit(document)
    await approved(handle)
    await until(lambda: live_log(plan_id, "probe"))
    assert (await handle.decide("lock", by="op", reason="I look myself")).accepted
    assert (await handle.decide("resolve", by="op", step="a", outcome="happened", reason="it is there")).accepted
    gate.set()
    assert (await handle.decide("rollback", by="op", reason="undo it")).accepted
    result = await handle.result()
    assert (result.outcome, result.undone) == ("aborted", ("a",))
    assert WORLD.state[plan_id] == {}


async def test_what_a_call_in_doubt_depends_on_is_not_undone_before_it_is_settled(airlock, plan):
    document = plan(step("a", "put", key="a", value=1), step("b", "once", ("a",), key="b", value=1))
    plan_id = document["plan_id"]
    WORLD.trouble[(plan_id, "b")] = ["lost_after"]
    handle = await airlock.submit(document)
    await approved(handle)
    await handle.wait_for(State.LOCKED)
    assert (await handle.decide("rollback", by="op", reason="undo")).accepted
    status = await handle.wait_for(State.LOCKED)
    assert live_log(plan_id, "undo") == [], status
    assert (await handle.decide("resolve", by="op", step="b", outcome="happened", reason="it did")).accepted
    assert (await handle.result()).undone == ("a", "b")
    assert live_log(plan_id, "undo") == ["b", "a"]


@pytest.mark.parametrize("reason", [" ", "x" * 2_500])
async def test_any_cancel_reason_rolls_back(airlock, plan, reason):
    document = plan(step("a", "put", key="a", value=1), step("b", "once", ("a",), key="b", value=1))
    plan_id = document["plan_id"]
    gate = WORLD.hold(plan_id, "b")
    handle = await airlock.submit(document)
    await approved(handle)
    await until(lambda: (plan_id, "b") in WORLD.running)
    await handle.workflow.cancel(reason=reason)
    gate.set()
    assert (await handle.result()).outcome == "aborted"
    assert WORLD.state[plan_id] == {}


@pytest.mark.parametrize("answer", ["junk", {}, {"attempts": [{"kind": "live", "step": "x", "output": 1}]}])
async def test_an_activity_completed_by_hand_puts_its_call_in_doubt(airlock, plan, answer):
    document = plan(step("b", "once", key="b", value=1))
    plan_id = document["plan_id"]
    gate = WORLD.hold(plan_id, "b")
    handle = await airlock.submit(document)
    await approved(handle)
    await until(lambda: (plan_id, "b") in WORLD.running)
    by_hand = airlock.client.get_async_activity_handle(workflow_id=handle.workflow.id, run_id=None, activity_id="b:live")
    await by_hand.complete(answer)
    status = await handle.wait_for(State.LOCKED)
    gate.set()
    assert status.parked == ("b",)
    assert WORLD.attempts[f"{plan_id}/b"] == 1


async def test_seals_of_two_runs_of_one_plan_differ(airlock, plan):
    document = plan(step("a", "put", key="a", value=1))
    from airlock.base import names

    handle = await airlock.submit(document)
    first = await awaiting(handle)
    await handle.workflow.terminate("again")
    await until(lambda: _second_passed(first))
    await airlock.client.start_workflow(
        names.PLAN_WORKFLOW, {"plan": document}, id=handle.workflow.id, task_queue=names.WORKFLOW_QUEUE
    )
    second = await awaiting(airlock.plan(document["plan_id"]))
    assert second.digest != first.digest
    await signal(handle, "abort", {"by": "op", "reason": "done"})


def _second_passed(status) -> bool:
    import datetime

    return datetime.datetime.now(datetime.UTC) > status.submitted_at + datetime.timedelta(seconds=1.1)


async def test_an_effect_whose_token_was_lost_is_not_reported_as_undone(airlock, plan):
    document = plan(step("b", "once", key="b", value=1))
    plan_id = document["plan_id"]
    gate = WORLD.hold(plan_id, "b")
    handle = await airlock.submit(document)
    await approved(handle)
    await until(lambda: (plan_id, "b") in WORLD.running)
    by_hand = airlock.client.get_async_activity_handle(workflow_id=handle.workflow.id, run_id=None, activity_id="b:live")
    await by_hand.fail(RuntimeError("its worker is gone"))
    await handle.wait_for(State.LOCKED)
    gate.set()
    await until(lambda: WORLD.state[plan_id].get("b"))
    assert (await handle.decide("rollback", by="op", reason="undo it")).accepted
    await handle.wait_for(State.LOCKED)
    assert (await handle.decide("resolve", by="op", step="b", outcome="happened", reason="seen")).accepted
    status = await until(lambda: _parked_on_undo(handle))
    assert live_log(plan_id, "undo") == []
    assert "its undo token was lost with its worker" in status.steps[0].error
    assert (await handle.decide("resolve", by="op", step="b", outcome="retry", reason="it needs none")).accepted
    assert (await handle.result()).undone == ("b",)
    assert WORLD.state[plan_id] == {}


async def _parked_on_undo(handle):
    status = await handle.status()
    return status if status.steps[0].status == "undo_failed" else None


async def test_a_new_preview_looks_again_at_what_could_not_be_previewed_before(airlock, plan):
    document = plan(step("a", "put", key="a", value=1), step("b", "put", key="until_fixed", value=1))
    plan_id = document["plan_id"]
    WORLD.state[plan_id]["broken"] = True
    handle = await airlock.submit(document)
    first = await awaiting(handle)
    assert {view.id: view.ceiling for view in first.steps} == {"a": "LIVE", "b": "MOCK"}
    del WORLD.state[plan_id]["broken"]
    WORLD.state[plan_id]["a"] = "moved"
    assert (await handle.decide("approve", by="al", digest=first.digest)).accepted
    second = await until(lambda: awaiting_other(handle, first.digest))
    assert {view.id: view.ceiling for view in second.steps} == {"a": "LIVE", "b": "LIVE"}
