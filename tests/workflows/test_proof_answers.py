"""Answers that no worker of Airlock made: forged, copied, empty. What they would cause is read from the world."""

import itertools
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from airlock.admission.examination import examine
from airlock.base import names
from airlock.base.keyring import Keyring
from airlock.client.live_gate import LiveGate
from airlock.client.undo import undo
from airlock.plans.contract import Risk
from airlock.plans.plan import Plan
from airlock.plans.state import State
from airlock.temporal.live_gate import start_live_gate
from tests.workflows.attacker import JUNK, NESTED, made_checked, plain
from tests.workflows.conftest import approved, awaiting, catalogue, step, until
from tests.workflows.protected import Place, keyring, place
from tests.workflows.world import WORLD

_NUMBERS = itertools.count(1)
FORGERIES = ("plain", "made_checked", "junk", "nested", "empty", "own_input", "of_another_plan", "of_an_earlier_run")


@pytest.fixture
async def made_place(dev_server) -> Callable[..., Awaitable[Place]]:
    async def make(keys: Keyring, **policy: object) -> Place:
        return await place(dev_server.client, f"proof{next(_NUMBERS)}", keys, **policy)

    return make


def waiving(document: dict, policy) -> dict:
    """Return the answer of admission under a policy that waives approval for everything."""
    lax = policy.model_copy(
        update={"approval_waived_for": (Risk.LOW, Risk.MEDIUM), "approval_required_for_high_risk": False}
    )
    admission = examine(Plan.model_validate(document), catalogue(), lax).admission
    assert admission.admitted is not None
    return admission.model_dump(mode="json")


def refused(entries) -> list[str]:
    return [entry.reason for entry in entries if entry.what == "forged answer"]


async def forged_admission(where: Place, document: dict, kind: str):
    """Return an answer to `admit` of some kind; every one of them waives approval as far as its kind allows that."""
    lie = plain(waiving(document, where.policy))
    if kind == "of_an_earlier_run":  # the same plan, admitted and ended, by the operator's own lax worker of another day
        lax = replace(where, policy=where.policy.model_copy(update={"approval_waived_for": (Risk.LOW, Risk.MEDIUM)}))
        async with lax.working():
            assert (await (await where.airlock.submit(document)).result()).outcome == "completed"
        (lie,) = await where.attacker.answers(names.plan_workflow_id(document["plan_id"]), "admit")
        assert lie.metadata["airlock-proof"]
        WORLD.state[document["plan_id"]].clear()
        WORLD.effects.clear()
        WORLD.attempts.clear()
    if kind == "of_another_plan":
        other = {**document, "plan_id": f"{document['plan_id']}-other"}
        async with where.working():
            await awaiting(await where.airlock.submit(other))
        (lie,) = await where.attacker.answers(names.plan_workflow_id(other["plan_id"]), "admit")
        assert lie.metadata["airlock-proof"]
    return {"junk": JUNK, "nested": NESTED, "empty": None}.get(kind, lie)


@pytest.mark.parametrize("kind", FORGERIES)
async def test_a_forged_admission_causes_no_call(made_place, plan, kind):
    where = await made_place(keyring("k"))
    document = plan(step("a", "put", key="a", value=1))
    plan_id, workflow_id = document["plan_id"], names.plan_workflow_id(document["plan_id"])
    answer = await forged_admission(where, document, kind)
    if kind == "of_an_earlier_run":
        handle = await start_again(where, document)
    async with where.only_workflows():
        if kind != "of_an_earlier_run":
            handle = await where.airlock.submit(document)
        task = await where.attacker.take(names.WORKFLOW_QUEUE, "admit")
        question = task.input.payloads[0]
        if kind == "made_checked":
            answer = made_checked(answer, question)
        await where.attacker.complete(task, question if kind == "own_input" else answer)
        await until(lambda: _asked_again(where, workflow_id))
    async with where.working():
        status = await awaiting(handle)
        assert WORLD.state[plan_id] == {}
        (reason,) = refused((await handle.audit()).entries)
        assert reason.startswith("no worker of Airlock answered")
        assert (await handle.decide("approve", by="alice", digest=status.digest)).accepted
        assert (await handle.result()).outcome == "completed"
    assert WORLD.state[plan_id] == {"a": 1}
    assert WORLD.attempts[f"{plan_id}/a"] == 1


async def start_again(where: Place, document: dict):
    """Start the same plan under the same id once more, as any client can."""
    await where.attacker.client.start_workflow(
        names.PLAN_WORKFLOW, {"plan": document}, id=names.plan_workflow_id(document["plan_id"]),
        task_queue=names.WORKFLOW_QUEUE,
    )  # fmt: skip
    return where.airlock.plan(document["plan_id"])


async def _asked_again(where: Place, workflow_id: str) -> bool:
    events = await where.attacker.events(workflow_id)
    return sum(event.HasField("activity_task_scheduled_event_attributes") for event in events) == 2


async def test_without_keys_a_forged_admission_is_believed_by_the_plan_and_not_by_the_live_worker(made_place, plan):
    where = await made_place(Keyring())
    document = plan(step("a", "put", key="a", value=1))
    async with where.only_workflows():
        handle = await where.airlock.submit(document)
        task = await where.attacker.take(names.WORKFLOW_QUEUE, "admit")
        await where.attacker.complete(task, plain(waiving(document, where.policy)))
        await until(lambda: _asked_again(where, names.plan_workflow_id(document["plan_id"])))
    async with where.working():
        status = await awaiting(handle)  # admitted again, by a worker this time
        assert any("today's policy: step a is not approved" in refusal.reason for refusal in status.refusals)
    assert WORLD.state[document["plan_id"]] == {}


async def test_a_plan_of_which_only_forgers_answer_ends_and_says_so(made_place, plan):
    where = await made_place(keyring("k"))
    document = plan(step("a", "put", key="a", value=1))
    async with where.only_workflows():
        handle = await where.airlock.submit(document)
        for _ in range(5):
            task = await where.attacker.take(names.WORKFLOW_QUEUE, "admit")
            await where.attacker.complete(task, plain(waiving(document, where.policy)))
    async with where.working():
        result = await handle.result()
    assert result.outcome == "aborted"
    assert "no worker of Airlock made" in result.why
    assert WORLD.state[document["plan_id"]] == {}


async def test_the_first_answer_of_a_run_does_not_answer_its_second_question(made_place, plan):
    """Both have the same activity id; only the nonce tells them apart."""
    where = await made_place(keyring("k"))
    document = plan(step("a", "put", key="a", value=1), step("b", "put", key="undryable", value=1))
    workflow_id = names.plan_workflow_id(document["plan_id"])
    async with where.working():
        handle = await where.airlock.submit(document)
        await awaiting(handle)
        WORLD.state[document["plan_id"]]["a"] = "moved"
        await approved(handle)  # stale: previewed again
        await until(lambda: WORLD.log.count(("dry", document["plan_id"], "a")) >= 2)
        await awaiting(handle)
        assert (await handle.decide("lock", by="op", reason="stop")).accepted
    (first, *_) = await where.attacker.answers(workflow_id, "admit")
    async with where.working():
        where.holding.hold("admit")
        await handle.workflow.signal("unlock", {"by": "op", "reason": "go on"})
        await where.answered_for("admit", first)
        await until(lambda: refusals(handle))
        await awaiting(handle)
        (reason,) = refused((await handle.audit()).entries)
        assert "it answers another question" in reason


async def refusals(handle):
    return refused((await handle.audit()).entries)


@pytest.fixture(params=[Keyring(), keyring("k")], ids=["no keys", "keys"])
async def either(request, made_place) -> Place:
    """Nothing at all is never an answer, with keys and without."""
    return await made_place(request.param)


async def test_empty_answers_on_the_way_to_live_wedge_nothing(either, plan):
    document = plan(step("a", "once", key="a", value=1))
    plan_id = document["plan_id"]
    kinds = ("admit", "rehearse", "preview", "acquire", "call", "leave")
    async with either.working():
        # as workers do: to a gate that begins later, an empty answer to a call is a sign that there was one
        await start_live_gate(either.workers, either.policy)
        either.holding.hold(*kinds)
        handle = await either.airlock.submit(document)
        for kind in kinds[:3]:
            await either.answered_for(kind)
        await approved(handle)
        await either.answered_for("call")
        await either.answered_for("acquire")  # what the gates had granted to that call
        status = await handle.wait_for(State.LOCKED)
        assert status.parked == ("a",)  # the client that answered may have made it
        assert WORLD.state[plan_id] == {}
        await either.answered_for("leave")
        assert len(await refusals(handle)) == 5
        assert (await handle.decide("resolve", by="op", step="a", outcome="happened", reason="seen")).accepted
        assert (await handle.result()).outcome == "completed"
    assert WORLD.attempts[f"{plan_id}/a"] == 0


async def test_an_empty_answer_of_a_compensation_parks_and_one_of_a_probe_settles_nothing(either, plan):
    document = plan(step("a", "once", key="a", value=1), step("b", "put", ("a",), key="b", value=1))
    plan_id = document["plan_id"]
    WORLD.trouble[(plan_id, "b")] = ["lost_after"] * 3
    async with either.working():
        either.holding.hold("probe", "compensate")
        handle = await either.airlock.submit(document)
        await approved(handle)
        await either.answered_for("probe")
        status = await handle.wait_for(State.LOCKED)
        assert status.parked == ("b",)
        assert (await handle.decide("resolve", by="op", step="b", outcome="did_not_happen", reason="seen")).accepted
        await either.answered_for("compensate")
        status = await until(lambda: parked(handle, "a"))
        assert "it may have been undone" in next(each.error for each in status.steps if each.id == "a")
        assert WORLD.state[plan_id] == {"a": 1, "b": 1}
        assert (await handle.decide("resolve", by="op", step="a", outcome="retry", reason="again")).accepted
        assert (await handle.result()).undone == ("a",)
    assert "a" not in WORLD.state[plan_id]


async def parked(handle, step_id: str):
    status = await handle.status()
    return status if status.state is State.LOCKED and step_id in status.parked and not status.in_flight else None


async def test_empty_answers_to_the_undo_of_an_ended_plan_wedge_nothing(either, plan):
    document = plan(step("a", "put", key="a", value=1))
    async with either.working():
        handle = await either.airlock.submit(document)
        await approved(handle)
        assert (await handle.result()).outcome == "completed"
        either.holding.hold("recover", "look_at_undo")
        undoing = await undo(either.airlock.client, document["plan_id"], by="op", reason="not wanted")
        await either.answered_for("recover")
        await either.answered_for("look_at_undo")
        await approved(undoing)
        assert (await undoing.result()).undone == ("a",)
        assert len(await refusals(undoing)) == 2
    assert WORLD.state[document["plan_id"]] == {}


async def test_empty_answers_to_a_gate_leave_it_closed_and_answering(either):
    async with either.working():
        either.holding.hold("recall", "lock_wish")
        await start_live_gate(either.workers, either.policy)
        gate = LiveGate(either.airlock.client)
        await either.answered_for("recall")
        view = await until(gate.status)
        assert any("no worker of Airlock answered" in lock.reason for lock in view.locks), view
        await either.attacker.client.get_workflow_handle(names.LIVE_GATE).signal(
            "auto_lock", {"monitor": names.monitor_id(0)}
        )
        await either.answered_for("lock_wish")
        view = await until(lambda: _refused(gate))
        assert "no worker of Airlock answered" in view.refusals[-1].why
        assert (await gate.unlock(by="op", reason="go on")).accepted


async def _refused(gate: LiveGate):
    view = await gate.status()
    return view if view.refusals else None
