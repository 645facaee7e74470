"""The undo of a plan after its end: found, shown, approved and taken back; effects are read from the world."""

import asyncio
from typing import Any

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.client import WorkflowFailureError

from airlock.activities.toolbox import Toolbox
from airlock.base.errors import AirlockError, ToolFailed
from airlock.base.names import undo_workflow_id
from airlock.client import Airlock, NoSuchPlan, PlanHandle, UndoRefused
from airlock.client.undo import previewed, undo
from airlock.plans.state import State
from airlock.plans.tool_call import Preview, ToolCall
from airlock.run.outcome import Outcome
from airlock.worker.roles import build_workers
from tests.running import running
from tests.workflows import world
from tests.workflows.conftest import POLICY, approved, awaiting, catalogue, events, live_log, namespace, step, until
from tests.workflows.world import WORLD


@pytest.fixture(scope="module", autouse=True)
def looking() -> Any:
    """`put` can say whether its undo would still work; `once` cannot."""

    @world.put.undo_check
    def look(args: world.Put, call: ToolCall) -> Preview:
        WORLD.log.append(("look", call.plan_id, call.step_id))
        if WORLD.state[call.plan_id].get(args.key) != args.value:
            raise ToolFailed(f"{args.key} has been changed since")
        return Preview(effect=f"Would set {args.key} back.")

    yield
    del world.put.functions["undo_check"]


def three(plan: Any, **more: Any) -> dict[str, Any]:
    """Return two keys that can be set back, one behind the other, and a mail that cannot be taken back."""
    return plan(
        step("a", "put", key="a", value=1),
        step("b", "put", ("a",), key="b", value=2),
        step("mail", "send", ("b",), to="jo@acme.test"),
        **more,
    )


async def completed(airlock: Airlock, document: dict[str, Any], **how: Any) -> PlanHandle:
    handle = await airlock.submit(document)
    await approved(handle, **how)
    await handle.result()
    return handle


async def asked(airlock: Airlock, plan_id: str, by: str = "carol", **more: Any) -> PlanHandle:
    handle = await undo(airlock.client, plan_id, by=by, reason="wrong customer", **more)
    await previewed(handle)
    return handle


async def test_a_completed_plan_is_undone_after_an_approval_and_only_once(airlock, plan):
    document = three(plan)
    plan_id = document["plan_id"]
    WORLD.state[plan_id]["a"] = "before"
    await completed(airlock, document)
    assert WORLD.state[plan_id] == {"a": 1, "b": 2, "sent": ["jo@acme.test"]}

    handle = await asked(airlock, plan_id)
    assert handle.plan_id == undo_workflow_id(plan_id)
    status = await awaiting(handle)
    assert (status.plan_id, status.requested_by) == (undo_workflow_id(plan_id), "carol")
    text = (await handle.preview()).text
    assert f"Undo of plan {plan_id}, which has ended" in text
    assert "Would set a back." in text
    assert "Would set b back." in text
    assert '! mail  "send"' in text
    assert "Order: b, a" in text
    assert f"--workflow-id {undo_workflow_id(plan_id)} --name approve" in text
    assert WORLD.state[plan_id]["a"] == 1, "nothing may be undone before somebody approves"

    own = await handle.decide("approve", by="Carol", digest=status.digest)
    assert (own.accepted, own.reason) == (False, "'Carol' requested this undo and cannot approve it")
    part = await handle.decide("approve", by="alice", digest=status.digest, steps=["a"])
    assert not part.accepted
    with pytest.raises(UndoRefused, match="is open already"):
        await undo(airlock.client, plan_id, by="dave", reason="me too")
    early = await handle.decide("rollback", by="carol", reason="now")
    assert "not approved" in early.reason

    assert (await handle.decide("approve", by="alice", digest=status.digest)).accepted
    result = await handle.result()
    assert (result.plan_id, result.outcome, result.state) == (handle.plan_id, "aborted", "ABORTED")
    assert (set(result.undone), result.kept) == ({"a", "b"}, ("mail",))
    assert WORLD.state[plan_id] == {"a": "before", "sent": ["jo@acme.test"]}
    assert live_log(plan_id, "undo") == ["b", "a"]

    with pytest.raises(UndoRefused, match=r"nothing is left to undo \(undone already: a, b; cannot be undone: mail\)"):
        await asked(airlock, plan_id)
    assert live_log(plan_id, "undo") == ["b", "a"]


async def test_the_undo_of_a_partial_plan_takes_back_what_went_live(airlock, plan):
    document = three(plan)
    plan_id = document["plan_id"]
    handle = await completed(airlock, document, steps=["a"])
    assert (await handle.result()).outcome == Outcome.PARTIAL
    undoing = await asked(airlock, plan_id)
    await approved(undoing)
    assert (await undoing.result()).undone == ("a",)
    assert WORLD.state[plan_id] == {}


async def test_back_to_a_step_first_and_the_rest_later(airlock, plan):
    document = plan(step("a", "put", key="a", value=1), step("b", "put", ("a",), key="b", value=2))
    plan_id = document["plan_id"]
    await completed(airlock, document)
    with pytest.raises(UndoRefused, match="there is no step 'x'"):
        await asked(airlock, plan_id, to_step="x")
    first = await asked(airlock, plan_id, to_step="b")
    assert "outside of what was asked for" in (await first.preview()).text
    await approved(first)
    assert (await first.result()).undone == ("b",)
    assert WORLD.state[plan_id] == {"a": 1}
    second = await asked(airlock, plan_id)
    await approved(second)
    assert set((await second.result()).undone) == {"a", "b"}
    assert WORLD.state[plan_id] == {}
    assert live_log(plan_id, "undo") == ["b", "a"]


async def test_denied_then_asked_again(airlock, plan):
    document = plan(step("a", "put", key="a", value=1))
    plan_id = document["plan_id"]
    await completed(airlock, document)
    first = await asked(airlock, plan_id)
    assert (await first.decide("deny", by="alice", reason="not today")).accepted
    assert (await first.result()).outcome == Outcome.DENIED
    assert WORLD.state[plan_id] == {"a": 1}
    second = await asked(airlock, plan_id)
    await approved(second)
    await second.result()
    assert WORLD.state[plan_id] == {}


async def test_a_state_that_moved_since_is_shown_and_the_rest_is_undone(airlock, plan):
    document = plan(step("a", "put", key="a", value=1), step("o", "once", key="o", value=1))
    plan_id = document["plan_id"]
    await completed(airlock, document)
    WORLD.state[plan_id]["a"] = "somebody else's"
    handle = await asked(airlock, plan_id)
    text = (await handle.preview()).text
    assert "would FAIL as things are now" in text
    assert "a has been changed since" in text
    assert "would be undone (not looked at)" in text
    assert WORLD.state[plan_id]["a"] == "somebody else's"


async def test_unlocked_it_is_looked_at_and_approved_anew(airlock, plan):
    document = plan(step("a", "put", key="a", value=1))
    plan_id = document["plan_id"]
    await completed(airlock, document)
    handle = await asked(airlock, plan_id)
    first = await awaiting(handle)
    assert (await handle.decide("lock", by="op", reason="wait")).accepted
    refused = await handle.decide("rollback", by="op", reason="go")
    assert "not approved" in refused.reason, "a lock must not open a way round the approval"
    assert (await handle.decide("unlock", by="op", reason="go on")).accepted
    second = await awaiting(handle)
    assert second.digest != first.digest
    old = await handle.decide("approve", by="alice", digest=first.digest)
    assert not old.accepted
    await approved(handle)
    await handle.result()
    assert WORLD.state[plan_id] == {}


async def test_a_cancelled_undo_that_nobody_approved_undoes_nothing(airlock, plan):
    document = plan(step("a", "put", key="a", value=1))
    plan_id = document["plan_id"]
    await completed(airlock, document)
    handle = await asked(airlock, plan_id)
    await awaiting(handle)
    await handle.workflow.cancel()
    assert (await handle.result()).undone == ()
    assert WORLD.state[plan_id] == {"a": 1}


async def test_a_plan_that_only_read_or_never_went_live_has_nothing_to_undo(airlock, plan):
    document = plan(step("r", "look", key="a"))
    await completed(airlock, document)
    with pytest.raises(UndoRefused, match="what went live only read"):
        await asked(airlock, document["plan_id"])
    denied = plan(step("a", "put", key="a", value=1))
    handle = await airlock.submit(denied)
    await awaiting(handle)
    with pytest.raises(UndoRefused, match="has not ended"):
        await asked(airlock, denied["plan_id"])
    assert (await handle.decide("deny", by="alice", reason="no")).accepted
    await handle.result()
    with pytest.raises(UndoRefused, match="nothing of this plan went live"):
        await asked(airlock, denied["plan_id"])
    with pytest.raises(NoSuchPlan, match="retention has passed"):
        await asked(airlock, "never-there")


async def terminated_in_flight(airlock: Airlock, document: dict[str, Any], held: str) -> PlanHandle:
    """Terminate a plan while one of its calls is running; the call then goes on to its end."""
    plan_id = document["plan_id"]
    gate = WORLD.hold(plan_id, held)
    handle = await airlock.submit(document)
    await approved(handle)
    await until(lambda: (plan_id, held) in WORLD.running)
    await handle.workflow.terminate("operator")
    gate.set()
    await until(lambda: (plan_id, held) not in WORLD.running)
    return handle


@pytest.mark.slow
async def test_a_call_in_flight_of_a_terminated_plan_is_in_doubt_until_somebody_says(airlock, plan):
    document = plan(step("a", "put", key="a", value=1), step("o", "once", ("a",), key="o", value=1))
    plan_id = document["plan_id"]
    await terminated_in_flight(airlock, document, "o")
    assert WORLD.state[plan_id] == {"a": 1, "o": 1}
    handle = await asked(airlock, plan_id)
    text = (await handle.preview()).text
    assert '? o  "once"' in text
    assert "is in doubt" in text
    await approved(handle)
    status = await handle.wait_for(State.LOCKED)
    assert status.parked == ("o",)
    assert f"airlock resolve {undo_workflow_id(plan_id)} o happened|did_not_happen" in status.waits_for
    assert (await handle.decide("resolve", by="op", step="o", outcome="happened", reason="it is there")).accepted
    # its token went down with the answer: this tool needs none, so a human says to try all the same
    status = await until(lambda: _parked_again(handle))
    assert (await handle.decide("resolve", by="op", step="o", outcome="retry", reason="needs no token")).accepted
    result = await handle.result()
    assert set(result.undone) == {"a", "o"}
    assert WORLD.state[plan_id] == {}
    assert live_log(plan_id) == ["a", "o"]


@pytest.mark.slow
@pytest.mark.parametrize("tool", ["put", "once"])
async def test_a_locked_undo_with_a_call_in_doubt_goes_on_after_the_unlock(airlock, plan, tool):
    document = plan(step("o", tool, key="o", value=1))
    plan_id = document["plan_id"]
    await terminated_in_flight(airlock, document, "o")
    handle = await asked(airlock, plan_id)
    seen = (await handle.status()).digest
    assert (await handle.decide("lock", by="op", reason="all plans")).accepted
    status = await handle.status()
    assert status.parked == ("o",)
    assert "airlock unlock" in status.waits_for
    verdict = await handle.decide("unlock", by="op", reason="go on")
    assert verdict.accepted, verdict
    status = await awaiting(handle)
    assert status.digest != seen, "the lock took back no approval, but the world may have moved"
    await approved(handle)
    if tool == "once":  # it has no probe, so that only a person can say what became of the call
        assert (await handle.wait_for(State.LOCKED)).parked == ("o",)
        refused = await handle.decide("unlock", by="op", reason="go on")
        assert "must be settled first" in refused.reason
        assert (await handle.decide("lock", by="op", reason="while I look")).accepted
        assert "must be settled first" in (await handle.decide("unlock", by="op", reason="go on")).reason
        assert (await handle.decide("abort", by="op", reason="by hand")).accepted
        return
    assert (await handle.result()).undone == ("o",)
    assert WORLD.state[plan_id] == {}


async def _parked_again(handle: PlanHandle) -> Any:
    status = await handle.status()
    views = {view.id: view.status for view in status.steps}
    return status if status.state is State.LOCKED and views["o"] == "undo_failed" else None


async def test_an_undo_that_was_terminated_half_way_is_asked_for_again(airlock, plan, monkeypatch):
    document = plan(step("a", "put", key="a", value=1), step("o", "once", ("a",), key="o", value=1))
    plan_id = document["plan_id"]
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def held(args: world.Put, call: ToolCall) -> None:
        begun.set()
        await go_on.wait()
        WORLD.state[call.plan_id].pop(args.key, None)

    await completed(airlock, document)
    monkeypatch.setitem(world.once.functions, "compensate", held)
    first = await asked(airlock, plan_id)
    await approved(first)
    await until(begun.is_set)
    await first.workflow.terminate("operator")
    go_on.set()
    second = await asked(airlock, plan_id)
    assert "Order: o, a" in (await second.preview()).text, "nobody knows whether o was undone: undoing is safe to repeat"
    await approved(second)
    assert set((await second.result()).undone) == {"a", "o"}
    assert WORLD.state[plan_id] == {}
    with pytest.raises(UndoRefused, match="undone already: a, o"):
        await asked(airlock, plan_id)


async def test_an_answer_that_came_after_the_last_workflow_task_is_not_lost(dev_server, plan):
    """The orchestrating worker is gone when the answer arrives, and the plan is terminated before another one comes."""
    client = await namespace(dev_server.client, "lastanswer")
    toolbox = Toolbox(catalogue(), POLICY)
    document = plan(step("o", "once", key="o", value=1))
    plan_id = document["plan_id"]
    gate = WORLD.hold(plan_id, "o")
    async with running((*build_workers(client, toolbox, "rehearse"), *build_workers(client, toolbox, "live"))):
        async with running(build_workers(client, toolbox, "orchestrate")):
            handle = await Airlock(client).submit(document)
            await approved(handle)
            await until(lambda: (plan_id, "o") in WORLD.running)
        gate.set()
        await until(lambda: _answered(handle))
        await handle.workflow.terminate("operator")
        async with running(build_workers(client, toolbox, "orchestrate")):
            undoing = await asked(Airlock(client), plan_id)
            assert "in doubt" not in (await undoing.preview()).text
            await approved(undoing)
            assert (await undoing.result()).undone == ("o",)
    assert WORLD.state[plan_id] == {}


async def _answered(handle: PlanHandle) -> bool:
    """Return True if the last thing that happened to the run is an answer, with no worker there to take it."""
    last = (await events(handle))[-2:]
    return any(event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED for event in last)


async def test_an_undo_that_made_no_sense_does_not_stand_in_the_way_of_one_that_does(airlock, plan):
    document = three(plan)
    plan_id = document["plan_id"]
    await completed(airlock, document)
    with pytest.raises(AirlockError, match="reason"):
        await undo(airlock.client, plan_id, by="carol", reason="")
    # nor one that was started by hand
    broken = {"plan": document, "undo": {"by": "carol", "reason": ""}}
    run = await airlock.client.start_workflow("PlanWorkflow", broken, id=undo_workflow_id(plan_id), task_queue="airlock")
    with pytest.raises(WorkflowFailureError):
        await run.result()
    handle = await asked(airlock, plan_id)
    await approved(handle)
    assert (await handle.result()).outcome == "aborted"
    assert WORLD.state[plan_id] == {"sent": ["jo@acme.test"]}
