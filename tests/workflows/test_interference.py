"""Ways in which plans that share a world once harmed each other; each of them was seen to do so."""

from airlock.activities.gates import GateActivities
from airlock.base import names
from airlock.client.live_gate import LiveGate
from airlock.gates.answers import AcquireClosed
from airlock.plans.state import State
from tests.workflows.conftest import approved, awaiting, events, step, until
from tests.workflows.test_lock import in_state, live, proven
from tests.workflows.test_reset import reset, scheduled, tasks
from tests.workflows.world import WORLD


def before(found, activity_id: str) -> int:
    """Return the workflow task that scheduled an activity: a reset to it commands that activity again."""
    return max(point for point in tasks(found) if point < scheduled(found, activity_id))


def calls(document) -> list[str]:
    return [name for what, plan, name in WORLD.log if (what, plan) == ("live", document["plan_id"])]


async def aborted(airlock, document, failing: str):
    WORLD.trouble[(document["plan_id"], failing)] = ["fail"]
    handle = await airlock.submit(document)
    await approved(handle)
    assert (await handle.result()).outcome == "aborted"
    return handle


async def test_a_run_that_was_reset_into_live_does_not_believe_that_it_still_holds_its_places(airlock, plan):
    first = plan(step("a", "share", key="reset", value=1), step("b", "put", ("a",), key="x", value=1))
    handle = await aborted(airlock, first, "b")
    second = plan(step("a", "share", key="reset", value=2))
    holder, hold = await live(airlock, second)
    await reset(handle, before(await events(handle), "a:live"))
    await approved(handle)

    async def waits() -> bool:
        return "shared:reset" in (await handle.status()).waits_for

    await until(waits)
    hold.set()
    assert (await holder.result()).outcome == "completed"
    assert (await handle.result()).outcome == "completed"
    assert all(len(inside) == 1 for inside in WORLD.together["reset"])
    assert WORLD.fences["reset"] == sorted(set(WORLD.fences["reset"]))


async def test_a_run_that_was_reset_into_live_does_not_call_while_everything_is_locked(airlock_with, plan):
    airlock = await airlock_with()
    gate = LiveGate(airlock.client)
    document = plan(step("a", "put", key="x", value=1))
    handle = await aborted(airlock, document, "a")
    assert (await gate.lock("olga", "stop")).accepted
    assert (await proven(gate)).quiesced
    await reset(handle, before(await events(handle), "a:live"))
    await approved(handle)
    assert (await in_state(handle, State.LOCKED)).locked_by_gate
    assert calls(document) == ["a"]
    await gate.unlock("olga", "go on")
    await approved(handle)
    assert (await handle.result()).outcome == "completed"


async def test_a_run_that_was_reset_does_not_send_what_somebody_else_has_sent_meanwhile(airlock, plan):
    mail = {"to": "reset@acme.test", "body": "same"}
    first = plan(step("a", "put", key="x", value=1), step("mail", "send", ("a",), **mail))
    handle = await aborted(airlock, first, "a")
    second = plan(step("mail", "send", **mail))
    other = await airlock.submit(second)
    await approved(other)
    assert (await other.result()).outcome == "completed"
    await reset(handle, before(await events(handle), "a:live"))
    await approved(handle)
    assert (await handle.result()).outcome == "partial"
    assert "sent" not in WORLD.state[first["plan_id"]]


async def test_the_place_of_a_run_that_was_reset_is_found_and_freed(airlock, plan):
    first = plan(step("a", "share", key="leak", value=1))
    handle, hold = await live(airlock, first)
    await reset(handle, tasks(await events(handle))[0])
    hold.set()
    await awaiting(handle)
    other = await airlock.submit(plan(step("a", "share", key="leak", value=2)))
    await approved(other)
    assert (await other.result()).outcome == "completed"


async def test_a_budget_counts_what_a_run_uses_again_after_a_reset(airlock_with, plan):
    agents = {"*": {"permissions": ["*"], "budget": {"per": "1h", "live_calls": 1}}}
    airlock = await airlock_with(agents=agents)
    document = plan(step("a", "put", key="x", value=1))
    handle = await aborted(airlock, document, "a")
    await reset(handle, tasks(await events(handle))[0])
    await approved(handle)
    assert "1 is allowed (1 used)" in (await in_state(handle, State.LOCKED)).why
    assert calls(document) == ["a"]


async def test_a_lock_of_the_live_gate_does_not_swallow_a_rollback(airlock_with, plan):
    airlock = await airlock_with()
    gate = LiveGate(airlock.client)
    document = plan(step("a", "put", key="x", value=1), step("b", "put", ("a",), key="y", value=1))
    handle, hold = await live(airlock, document, "b")
    assert (await handle.decide("rollback", by="olga", reason="undo it")).accepted
    assert (await gate.lock("olga", "stop")).accepted
    hold.set()
    assert (await handle.result()).outcome == "aborted"
    assert WORLD.state[document["plan_id"]] == {}
    assert (await proven(gate)).quiesced


async def test_a_closed_gate_s_late_answer_does_not_stop_a_rollback(airlock_with, plan, monkeypatch):
    airlock = await airlock_with()
    document = plan(step("a", "put", key="x", value=1), step("o", "once", ("a",), key="o", value=1))
    WORLD.trouble[(document["plan_id"], "o")] = ["lost_after"]
    handle = await airlock.submit(document)
    await approved(handle)
    await handle.wait_for(State.LOCKED)
    assert (await LiveGate(airlock.client).lock("olga", "stop")).accepted
    original = GateActivities.ask

    async def late(self, client, request):
        result = await original(self, client, request)
        if isinstance(result, AcquireClosed):
            assert (await handle.decide("rollback", by="olga", reason="undo all")).accepted
        return result

    monkeypatch.setattr(GateActivities, "ask", late)
    settled = {"outcome": "happened", "output": {"key": "k", "step": "o"}, "reason": "it is there"}
    assert (await handle.decide("resolve", by="op", step="o", **settled)).accepted
    assert (await handle.result()).outcome == "aborted"
    assert WORLD.state[document["plan_id"]] == {}


async def test_an_unlock_that_overtakes_the_answer_of_a_closed_gate_is_not_lost(airlock_with, plan, monkeypatch):
    airlock = await airlock_with()
    gate = LiveGate(airlock.client)
    assert (await gate.lock("olga", "stop")).accepted
    handle = await airlock.submit(plan(step("a", "put", key="x", value=1)))
    original = GateActivities.ask

    async def slow(self, client, request):
        result = await original(self, client, request)
        if isinstance(result, AcquireClosed):
            await gate.unlock("olga", "go")

            async def heard() -> bool:
                return any(entry.what == "unlock" for entry in (await handle.audit()).entries)

            await until(heard)
        return result

    monkeypatch.setattr(GateActivities, "ask", slow)
    await approved(handle)
    assert (await handle.result()).outcome == "completed"


async def test_a_lock_and_an_unlock_at_the_same_moment_leave_nobody_locked(airlock_with, plan):
    airlock = await airlock_with(max_live_escalations=1)
    _, hold = await live(airlock, plan(step("a", "put", key="x", value=1)))
    waiting = [await airlock.submit(plan(step("a", "put", key="x", value=1))) for _ in range(6)]
    for handle in waiting:
        await approved(handle)

        async def queued(handle=handle) -> bool:
            return "its turn at live" in (await handle.status()).waits_for

        await until(queued)
    gate = airlock.client.get_workflow_handle(names.LIVE_GATE)
    await gate.signal("lock", {"by": "olga", "reason": "r"})
    await gate.signal("unlock", {"by": "olga", "reason": "r"})
    for handle in waiting:
        await awaiting(handle)
    hold.set()


async def test_a_call_in_doubt_keeps_its_resource_under_a_lock_too(airlock_with, plan):
    airlock = await airlock_with()
    first = plan(step("a", "share", agent="crm", key="doubt", value=1))
    WORLD.trouble[(first["plan_id"], "a")] = ["lost_after"] * 5
    handle, hold = await live(airlock, first)
    other = await airlock.submit(plan(step("a", "share", agent="other", key="doubt", value=2)))
    await approved(other)
    assert (await LiveGate(airlock.client).lock("olga", "look at crm", "agent:crm")).accepted
    await in_state(handle, State.LOCKED)
    hold.set()

    async def parked() -> bool:
        return (await handle.status()).parked == ("a",)

    await until(parked)

    async def only_the_resource() -> bool:
        return (await handle.status()).gates == ("shared:doubt",)

    await until(only_the_resource)
    assert "shared:doubt" in (await other.status()).waits_for
    assert (await handle.decide("resolve", by="op", step="a", outcome="skip", reason="never mind")).accepted is False
    assert (await handle.decide("abort", by="op", reason="settled by hand")).accepted
    assert (await other.result()).outcome == "completed"


async def test_a_person_s_lock_outlasts_the_gate_s(airlock_with, plan):
    airlock = await airlock_with()
    gate = LiveGate(airlock.client)
    handle, hold = await live(airlock, plan(step("a", "put", key="x", value=1), step("b", "put", ("a",), key="y")))
    assert (await gate.lock("olga", "stop")).accepted
    await in_state(handle, State.LOCKED)
    hold.set()
    await proven(gate)
    assert (await handle.decide("lock", by="pete", reason="this one must stay")).accepted
    await gate.unlock("olga", "go")

    async def told() -> bool:
        return any(entry.kind == "refused" and entry.what == "unlock" for entry in (await handle.audit()).entries)

    await until(told)
    assert (await handle.status()).state is State.LOCKED


async def test_a_place_in_a_queue_is_not_forgotten_by_a_rollback(airlock_with, plan):
    airlock = await airlock_with()
    first = plan(
        step("a", "share", key="q1", value=1),
        step("z", "put", ("a",), key="z"),
        step("b", "share", ("z",), key="q2", value=1),
    )
    handle, hold = await live(airlock, first, "z")
    assert (await handle.decide("lock", by="olga", reason="stop")).accepted
    hold.set()

    async def free() -> bool:
        return not (await handle.status()).gates

    await until(free)
    other, other_hold = await live(airlock, plan(step("a", "share", key="q2", value=2)))
    assert (await handle.decide("unlock", by="olga", reason="go")).accepted
    await approved(handle)

    async def waits() -> bool:
        return "shared:q2" in (await handle.status()).waits_for

    await until(waits)
    WORLD.undo_trouble[(first["plan_id"], "z")] = 100
    assert (await handle.decide("rollback", by="olga", reason="undo")).accepted

    async def parked() -> bool:
        return bool((await handle.status()).parked)

    await until(parked, 60)
    other_hold.set()
    assert (await other.result()).outcome == "completed"
    third = await airlock.submit(plan(step("a", "share", key="q2", value=3)))
    await approved(third)
    assert (await third.result()).outcome == "completed"


async def test_nobody_widens_a_resource_gate(airlock_with, plan):
    airlock = await airlock_with()
    first, second = plan(step("a", "share", key="wide", value=1)), plan(step("a", "share", key="wide", value=2))
    handle, hold = await live(airlock, first)
    waiting = await airlock.submit(second)
    await approved(waiting)

    async def waits() -> bool:
        return "shared:wide" in (await waiting.status()).waits_for

    await until(waits)

    async def gates() -> list[str]:
        found = [run.id async for run in airlock.client.list_workflows("WorkflowType = 'GateWorkflow'")]
        return [gate for gate in found if gate.startswith("gate-resource")]

    (gate_id,) = await until(gates)  # visibility lags behind
    gate = airlock.client.get_workflow_handle(gate_id)
    await gate.execute_update("acquire", {"holder": "x", "request": "1", "capacity": 3, "wait": False})
    view = await gate.query("status")
    assert view["capacity"] == 1
    assert [holder["holder"] for holder in view["holders"]] == [handle.workflow.id]
    assert "shared:wide" in (await waiting.status()).waits_for
    hold.set()
    assert (await handle.result()).outcome == "completed"
    assert (await waiting.result()).outcome == "completed"
    assert all(len(inside) == 1 for inside in WORLD.together["wide"])


async def test_a_plan_that_is_started_anew_under_its_id_does_not_call_again_what_its_first_life_may_have_done(airlock, plan):
    document = plan(step("mail", "send", to="anew@acme.test", body="same"))
    handle, hold = await live(airlock, document, "mail")
    await handle.workflow.terminate("oops")
    hold.set()
    await until(lambda: WORLD.state[document["plan_id"]].get("sent"))
    # what no command of Airlock does: the same id once more, with Temporal's default for used ids
    await airlock.client.start_workflow("PlanWorkflow", {"plan": document}, id=handle.workflow.id, task_queue="airlock")
    await approved(handle)
    assert (await handle.result()).live == ()
    assert WORLD.state[document["plan_id"]]["sent"] == ["anew@acme.test"]
