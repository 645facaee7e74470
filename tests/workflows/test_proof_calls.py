"""Calls that an attacker cancels, repeats or overwrites in Temporal: what was made is read from the world."""

import itertools
from collections.abc import Awaitable, Callable

import pytest

from airlock.activities import heartbeat
from airlock.base import names
from airlock.base.keyring import Keyring
from airlock.plans.state import State
from tests.workflows.attacker import plain
from tests.workflows.conftest import approved, awaiting, step, until
from tests.workflows.protected import Place, keyring, place
from tests.workflows.world import WORLD

_NUMBERS = itertools.count(1)


@pytest.fixture
async def made_place(dev_server) -> Callable[..., Awaitable[Place]]:
    async def make(keys: Keyring, **policy: object) -> Place:
        return await place(dev_server.client, f"calls{next(_NUMBERS)}", keys, **policy)

    return make


@pytest.fixture(params=[Keyring(), keyring("k")], ids=["no keys", "keys"])
async def either(request, made_place) -> Place:
    return await made_place(request.param)


async def running(where: Place, document: dict, name: str):
    """A plan whose call is running and waits, and what lets it go on."""
    hold = WORLD.hold(document["plan_id"], name)
    handle = await where.airlock.submit(document)
    await approved(handle)
    await until(lambda: (document["plan_id"], name) in WORLD.running)
    return handle, hold


def times(document: dict, name: str) -> int:
    return WORLD.attempts[f"{document['plan_id']}/{name}"]


async def test_a_call_that_is_said_to_be_cancelled_while_it_runs_is_not_made_again(either, plan):
    """Any client may lock a plan; then Temporal believes any client that says the running call was cancelled."""
    document = plan(step("a", "once", key="a", value=1))
    workflow_id = names.plan_workflow_id(document["plan_id"])
    async with either.working():
        handle, hold = await running(either, document, "a")
        await either.attacker.client.get_workflow_handle(workflow_id).signal("lock", {"by": "mallory", "reason": "mine"})
        await either.attacker.cancel_by_id(workflow_id, "a:live")
        status = await until(lambda: out_of_flight(handle))
        assert status.parked == ("a",), status
        refused = await handle.decide("unlock", by="op", reason="go on")
        hold.set()
        await until(lambda: not WORLD.running)
        assert not refused.accepted
        assert (await handle.decide("resolve", by="op", step="a", outcome="happened", reason="it is there")).accepted
        assert (await handle.decide("unlock", by="op", reason="go on")).accepted
        assert (await handle.result()).outcome == "completed"
    assert times(document, "a") == 1


async def test_what_a_policy_approves_by_itself_is_not_called_again_because_a_message_settled_it(made_place, plan):
    """Any client may put a call in doubt, say that it did not happen, and unlock the plan: then a person must look."""
    where = await made_place(keyring("k"), approval_waived_for=("LOW", "MEDIUM"))
    document = plan(step("a", "once", key="a", value=1))
    workflow_id = names.plan_workflow_id(document["plan_id"])
    mallory = where.attacker.client.get_workflow_handle(workflow_id)
    async with where.working():
        hold = WORLD.hold(document["plan_id"], "a")
        handle = await where.airlock.submit(document)
        await until(lambda: (document["plan_id"], "a") in WORLD.running)
        await mallory.signal("lock", {"by": "mallory", "reason": "mine"})
        await where.attacker.cancel_by_id(workflow_id, "a:live")
        assert (await until(lambda: parked(handle))) == ("a",)
        await until(lambda: _told(where, document))  # a word that comes after the unlock locks the plan again
        await mallory.signal("resolve", {"by": "mallory", "step": "a", "outcome": "did_not_happen", "reason": "lie"})
        await mallory.signal("unlock", {"by": "mallory", "reason": "go on"})
        await awaiting(handle)
        (sealed,) = (await handle.preview()).sealed.steps
        assert not sealed.approval_waived
        assert times(document, "a") == 1
        hold.set()
        await until(lambda: not WORLD.running)
        await handle.workflow.terminate()


async def parked(handle):
    status = await handle.status()
    return status.parked if not status.in_flight else None  # until then a decision is refused


async def out_of_flight(handle):
    status = await handle.status()
    return status if status.state is State.LOCKED and not status.in_flight else None


async def test_a_call_dropped_before_any_worker_began_it_is_not_in_doubt(either, plan):
    document = plan(step("a", "once", key="a", value=1))
    async with either.working("orchestrate", "rehearse", "entries"):
        handle = await either.airlock.submit(document)
        await approved(handle)
        await until(lambda: _commanded(either, document))
        assert (await handle.decide("lock", by="op", reason="stop")).accepted
        status = await until(lambda: out_of_flight(handle))
        assert status.parked == ()
        assert (await handle.decide("unlock", by="op", reason="go on")).accepted
        await awaiting(handle)
    async with either.working():
        await approved(handle)
        assert (await handle.result()).outcome == "completed"
    assert times(document, "a") == 1


async def _told(where: Place, document: dict) -> bool:
    """Return True once the worker has told the plan that it began a call of which Temporal does not know any more."""
    events = await where.attacker.events(names.plan_workflow_id(document["plan_id"]))
    return any(event.workflow_execution_signaled_event_attributes.signal_name == names.SENT_BACK for event in events)


async def _commanded(where: Place, document: dict) -> bool:
    events = await where.attacker.events(names.plan_workflow_id(document["plan_id"]))
    return any(event.activity_task_scheduled_event_attributes.activity_type.name == "call" for event in events)


async def test_a_call_that_temporal_is_told_to_repeat_is_made_once(either, plan):
    document = plan(step("a", "once", key="a", value=1), step("b", "once", ("a",), key="b", value=1))
    workflow_id = names.plan_workflow_id(document["plan_id"])
    async with either.working():
        handle, hold = await running(either, document, "a")
        await either.attacker.change_options(workflow_id, "a:live", seconds=2, attempts=5)
        status = await handle.wait_for(State.LOCKED)
        assert set(status.parked) == {"a", "b"}
        assert "told to make attempt 2" in status.steps[0].error
        assert times(document, "a") == 1
        hold.set()
        await until(lambda: not WORLD.running)
    assert (times(document, "a"), times(document, "b")) == (1, 0)


async def test_a_call_that_temporal_is_told_to_begin_again_is_made_once(either, plan):
    """A reset of the activity makes its second attempt the first one again."""
    document = plan(step("mail", "send", to="x"))
    workflow_id = names.plan_workflow_id(document["plan_id"])
    async with either.working():
        handle, hold = await running(either, document, "mail")
        await either.attacker.change_options(workflow_id, "mail:live", seconds=30, attempts=5)
        await either.attacker.fail_by_id(workflow_id, "mail:live")
        await either.attacker.reset_activity(workflow_id, "mail:live")
        status = await handle.wait_for(State.LOCKED)
        assert status.parked == ("mail",)
        assert "told to begin again" in status.steps[0].error
        hold.set()
        await until(lambda: not WORLD.running)
    assert times(document, "mail") == 1
    assert WORLD.state[document["plan_id"]]["sent"] == ["x"]


@pytest.mark.parametrize(
    ("forged", "keys", "parked"),
    [
        (False, keyring("k"), ("b",)),
        (False, Keyring(), ("b",)),
        (True, keyring("k"), ("a", "b")),
        (True, Keyring(), ("a",)),  # what the keys are for: b runs, and the plan believes that it was never begun
    ],
    ids=["honest, keys", "honest, no keys", "forged, keys", "forged, no keys"],
)
async def test_what_a_chain_had_done_when_it_timed_out_is_believed_only_with_a_proof(
    made_place, plan, monkeypatch, forged, keys, parked
):
    # the last word is what was recorded, or what the attacker wrote over it
    monkeypatch.setattr(heartbeat, "HEARTBEAT_INTERVAL", 3_600.0)
    where = await made_place(keys)
    document = plan(step("a", "once", key="a", value=1), step("b", "once", ("a",), key="b", value=1))
    workflow_id = names.plan_workflow_id(document["plan_id"])
    async with where.working():
        handle, hold = await running(where, document, "b")
        if forged:
            assert await where.attacker.heartbeat_by_id(workflow_id, "a:live", plain([]))
        await where.attacker.change_options(workflow_id, "a:live", seconds=2, attempts=1)
        status = await handle.wait_for(State.LOCKED)
        assert status.parked == parked
        hold.set()
        await until(lambda: not WORLD.running)
    assert (times(document, "a"), times(document, "b")) == (1, 1)


@pytest.mark.parametrize("keys", [keyring("k"), Keyring()], ids=["keys", "no keys"])
async def test_a_dry_run_does_not_resume_from_previews_that_somebody_invented(made_place, plan, keys):
    where = await made_place(keys)
    document = plan(step("a", "put", key="a", value=1))
    lie = {
        "kind": "previewed", "step": "a", "looked": True, "effect": "nothing of importance", "args": {}, "output": None,
        "observed": None, "undo": "not needed",
    }  # fmt: skip
    async with where.working():
        where.holding.hold("preview")
        handle = await where.airlock.submit(document)
        held = await where.holding.begun("preview")
        assert await where.attacker.heartbeat_by_id(*held, plain([lie]))
        await where.attacker.fail_by_id(*held)
        where.holding.let_go("preview")
        await awaiting(handle)
        shown = (await handle.preview()).text
    looked = ("dry", document["plan_id"], "a") in WORLD.log
    assert looked is bool(keys.keys)
    assert ("nothing of importance" in shown) is not looked
