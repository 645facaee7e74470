"""Calls that fail in LIVE, are lost, or find the world changed, and Airlock's answers; effects are read from the world."""

import pytest

from airlock.plans.state import State
from tests.workflows.conftest import approved, awaiting, awaiting_other, live_log, step, until
from tests.workflows.world import WORLD


async def test_repeatable_calls_are_tried_again_and_others_are_not(airlock, plan):
    document = plan(step("r", "put", key="r", value=1), step("o", "once", key="o", value=1))
    WORLD.trouble[(document["plan_id"], "r")] = ["retry", "lost"]
    handle = await airlock.submit(document)
    await approved(handle)
    result = await handle.result()
    assert result.outcome == "completed"
    assert live_log(document["plan_id"]).count("r") == 3
    assert {view.id: view.attempt for view in result.steps} == {"r": 3, "o": 1}
    assert WORLD.effects[f"{document['plan_id']}/r"] == 1


async def test_a_lost_answer_after_the_effect_is_not_made_twice(airlock, plan):
    document = plan(step("r", "put", key="r", value=1))
    WORLD.trouble[(document["plan_id"], "r")] = ["lost_after"]
    handle = await airlock.submit(document)
    await approved(handle)
    assert (await handle.result()).outcome == "completed"
    assert WORLD.effects[f"{document['plan_id']}/r"] == 1


@pytest.mark.parametrize(("trouble", "outcome"), [("lost_after", "completed"), ("lost", "aborted")])
async def test_the_probe_settles_a_call_in_doubt(airlock, plan, trouble, outcome):
    document = plan(step("a", "put", key="a", value=1))
    # every attempt is lost; only the first of `lost_after` takes effect
    WORLD.trouble[(document["plan_id"], "a")] = [trouble] * 3
    handle = await airlock.submit(document)
    await approved(handle)
    result = await handle.result()
    assert result.outcome == outcome, result
    assert WORLD.effects[f"{document['plan_id']}/a"] == (1 if outcome == "completed" else 0)


@pytest.mark.parametrize(
    ("settle", "outcome", "left"),
    [("happened", "completed", {"a": 1, "sent": ["x"]}), ("did_not_happen", "aborted", {"sent": ["x"]})],
)
async def test_a_call_in_doubt_parks_until_a_human_settles_it(airlock, plan, settle, outcome, left):
    document = plan(step("a", "put", key="a", value=1), step("mail", "send", ("a",), to="x"))
    plan_id = document["plan_id"]
    WORLD.trouble[(plan_id, "mail")] = ["lost_after"]
    handle = await airlock.submit(document)
    await approved(handle)
    status = await handle.wait_for(State.LOCKED)
    assert status.parked == ("mail",)
    assert "resolve" in status.waits_for
    for name, fields in (("unlock", {}), ("resolve", {"step": "a", "outcome": "happened"})):
        assert not (await handle.decide(name, by="op", reason="r", **fields)).accepted
    for wrong in ("retry", "compensated", "skip"):
        assert not (await handle.decide("resolve", by="op", step="mail", outcome=wrong, reason="r")).accepted
    assert live_log(plan_id, "undo") == []
    assert (await handle.decide("resolve", by="op", step="mail", outcome=settle, reason="asked them")).accepted
    result = await handle.result()
    assert result.outcome == outcome
    assert WORLD.state[plan_id] == left
    assert WORLD.attempts[f"{plan_id}/mail"] == 1


async def test_a_timeout_of_a_call_that_runs_once_is_in_doubt(airlock, plan):
    document = plan(step("o", "hasty", key="o", value=1))
    gate = WORLD.hold(document["plan_id"], "o")
    handle = await airlock.submit(document)
    await approved(handle)
    status = await handle.wait_for(State.LOCKED)
    assert status.parked == ("o",)
    assert "no answer within 1 s" in status.steps[0].error
    gate.set()
    assert (await handle.decide("resolve", by="op", step="o", outcome="did_not_happen", reason="r")).accepted
    assert (await handle.result()).outcome == "aborted"


async def test_a_wrong_shape_fails_the_step_and_its_effect_is_undone(airlock, plan):
    document = plan(step("a", "put", key="a", value=1))
    WORLD.trouble[(document["plan_id"], "a")] = ["shape"]
    handle = await airlock.submit(document)
    await approved(handle)
    result = await handle.result()
    assert result.outcome == "aborted"
    assert "declared shape" in result.why
    assert WORLD.state[document["plan_id"]] == {}


async def test_a_stale_call_is_previewed_and_approved_anew(airlock, plan):
    document = plan(step("a", "put", key="a", value=1), step("b", "put", ("a",), key="b", value=1))
    plan_id = document["plan_id"]
    handle = await airlock.submit(document)
    first = await awaiting(handle)
    WORLD.state[plan_id]["b"] = "somebody else"
    assert (await handle.decide("approve", by="al", digest=first.digest)).accepted
    second = await until(lambda: awaiting_other(handle, first.digest))
    assert WORLD.state[plan_id] == {"a": 1, "b": "somebody else"}
    preview = await handle.preview()
    assert "already LIVE" in preview.text
    assert "somebody else" in preview.text
    old = await handle.decide("approve", by="al", digest=first.digest)
    assert not old.accepted
    assert any("preview.observed.was" in path for path in old.changed), old.changed
    assert (await handle.decide("approve", by="al", digest=second.digest)).accepted
    assert (await handle.result()).outcome == "completed"
    assert WORLD.state[plan_id] == {"a": 1, "b": 1}
    assert live_log(plan_id).count("a") == 1


async def test_irreversible_calls_come_last_and_one_at_a_time(airlock, plan):
    document = plan(
        step("m1", "send", to="1"),
        step("m2", "send", to="2"),
        step("a", "put", key="a", value=1),
        step("b", "put", ("a",), key="b", value=1),
        step("bad", "once", ("b",), key="bad"),
    )
    plan_id = document["plan_id"]
    WORLD.trouble[(plan_id, "bad")] = ["fail"]
    handle = await airlock.submit(document)
    await approved(handle)
    assert (await handle.result()).outcome == "aborted"
    assert "sent" not in WORLD.state[plan_id], "nothing irreversible was done before everything reversible had worked"


async def test_drift_in_a_guarded_step_needs_a_new_approval(airlock, plan):
    document = plan(
        step("look", "look", key="to"),
        step("mail", "send", to={"$ref": "look.found"}),
    )
    plan_id = document["plan_id"]
    WORLD.state[plan_id]["to"] = "jo@acme.test"
    handle = await airlock.submit(document)
    first = await awaiting(handle)
    assert "jo@acme.test" in (await handle.preview()).text
    WORLD.state[plan_id]["to"] = "mallory@evil.test"
    assert (await handle.decide("approve", by="al", digest=first.digest)).accepted
    second = await until(lambda: awaiting_other(handle, first.digest))
    assert "sent" not in WORLD.state[plan_id]
    assert "mallory@evil.test" in (await handle.preview()).text
    assert (await handle.decide("deny", by="al", reason="who is that?")).accepted
    result = await handle.result()
    assert (result.outcome, result.live) == ("denied", ("look",))
    assert second.digest != first.digest


async def test_a_preview_that_fails_lowers_the_ceiling_of_all_that_depends_on_it(airlock, plan):
    document = plan(
        step("a", "put", key="undryable"),
        step("b", "put", ("a",), key="b", value=1),
        step("c", "put", key="c", value=1),
    )
    handle = await airlock.submit(document)
    status = await awaiting(handle)
    assert {view.id: view.ceiling for view in status.steps} == {"a": "MOCK", "b": "MOCK", "c": "LIVE"}
    assert "its dry run failed: cannot look at this key" in status.steps[0].reasons[0]
    await approved(handle)
    result = await handle.result()
    assert (result.outcome, result.live) == ("partial", ("c",))


async def test_the_plan_that_nothing_may_go_live_of_is_rehearsed_only(airlock, plan):
    for more, steps in (
        ({"max_mode": "DRY_RUN"}, [step("a", "put", key="a")]),
        ({}, [step("a", "put", key="a", confidence=0.7)]),
    ):
        handle = await airlock.submit(plan(*steps, **more))
        result = await handle.result()
        assert (result.outcome, result.state) == ("rehearsed", "COMPLETED")
        assert WORLD.state[handle.plan_id] == {}


async def test_a_plan_refused_at_admission_says_why(airlock, plan):
    handle = await airlock.submit(plan(step("a", "putt", key="a"), step("b", "put", kee="b")))
    result = await handle.result()
    assert result.outcome == "aborted"
    assert "did you mean 'put'?" in result.why
    audit = await handle.audit()
    assert [entry.what for entry in audit.entries if entry.kind == "admission"].count("refused") >= 2
