"""Plans that share one world: who may call what at the same time, who waits, and what is given back when."""

import asyncio

import pytest

from airlock.activities.admit import resource_hash
from airlock.base import names
from airlock.plans.state import State
from tests.workflows.conftest import approved, awaiting, step, until
from tests.workflows.deadlines import approve_in_time, in_time
from tests.workflows.world import WORLD


async def gate_free(airlock, holder: str) -> None:
    """Wait until a plan holds nothing any more."""

    async def nothing() -> bool:
        return (await holder.status()).gates == ()

    await until(nothing)


async def test_two_plans_on_one_resource_go_one_after_the_other_and_each_comes_with_its_fence(airlock, plan):
    first, second = plan(step("a", "share", key="one", value=1)), plan(step("a", "share", key="one", value=2))
    hold = WORLD.hold(first["plan_id"], "a")
    running = await airlock.submit(first)
    await approved(running)
    await until(lambda: (first["plan_id"], "a") in WORLD.running)
    waiting = await airlock.submit(second)
    await approved(waiting)

    async def waits() -> bool:
        return "shared:one" in (await waiting.status()).waits_for

    await until(waits)
    assert f"plan-{first['plan_id']}" in (await waiting.status()).waits_for
    assert (second["plan_id"], "a") not in WORLD.running
    hold.set()
    assert (await running.result()).outcome == "completed"
    assert (await waiting.result()).outcome == "completed"
    assert all(len(inside) == 1 for inside in WORLD.together["one"])
    assert WORLD.fences["one"] == sorted(set(WORLD.fences["one"]))
    assert None not in WORLD.fences["one"]
    entries = (await waiting.audit()).entries
    assert [(entry.what, entry.answer) for entry in entries if entry.kind == "conflict"] == [("RESOURCE", "DELAY")]


async def test_plans_on_different_resources_do_not_wait_for_each_other(airlock, plan):
    documents = [plan(step("a", "share", key=f"own{n}", value=n)) for n in range(3)]
    holds = [WORLD.hold(document["plan_id"], "a") for document in documents]
    handles = [await airlock.submit(document) for document in documents]
    for handle in handles:
        await approved(handle)
    await until(lambda: all((document["plan_id"], "a") in WORLD.running for document in documents))
    for hold in holds:
        hold.set()
    assert {(await handle.result()).outcome for handle in handles} == {"completed"}


async def test_of_a_narrow_tool_only_as_many_calls_run_as_it_stands_over_all_plans(airlock, plan):
    documents = [plan(*(step(f"s{n}", "narrow", key=str(n)) for n in range(3))) for _ in range(3)]
    holds = [WORLD.hold(document["plan_id"], f"s{n}") for document in documents for n in range(3)]
    handles = [await airlock.submit(document) for document in documents]
    for handle in handles:
        await approved(handle)
    await until(lambda: len(WORLD.inside["narrow"]) == 2)
    for hold in holds:
        hold.set()
    assert {(await handle.result()).outcome for handle in handles} == {"completed"}
    assert max(len(inside) for inside in WORLD.together["narrow"]) == 2
    assert len(WORLD.together["narrow"]) == 9


async def test_so_many_plans_are_live_at_once_as_the_policy_allows(airlock_with, plan):
    airlock = await airlock_with(max_live_escalations=1)
    first, second = plan(step("a", "put", key="x")), plan(step("a", "put", key="y"))
    hold = WORLD.hold(first["plan_id"], "a")
    running, waiting = await airlock.submit(first), await airlock.submit(second)
    await approved(running)
    await until(lambda: (first["plan_id"], "a") in WORLD.running)
    await approved(waiting)

    async def waits() -> bool:
        return "its turn at live" in (await waiting.status()).waits_for

    await until(waits)
    hold.set()
    assert {(await handle.result()).outcome for handle in (running, waiting)} == {"completed"}


async def test_a_terminated_holder_is_found_and_its_place_given_on(airlock, plan):
    first = plan(step("a", "share", key="dead", value=1))
    second = plan(step("a", "share", key="dead", value=2))
    parked = await airlock.submit({**first, "steps": [*first["steps"], step("b", "put", ("a",), key="noprobe")]})
    WORLD.trouble[(first["plan_id"], "b")] = ["lost", "lost", "lost"]
    await approved(parked)
    assert (await parked.wait_for(State.LOCKED)).parked == ("b",)

    async def keeps_its_resources_only() -> bool:
        return (await parked.status()).gates == ("shared:dead",)

    await until(keeps_its_resources_only)  # its live slot is given back once it is parked
    waiting = await airlock.submit(second)
    await approved(waiting)

    async def waits() -> bool:
        return "shared:dead" in (await waiting.status()).waits_for

    await until(waits)
    await parked.workflow.terminate("gone")
    assert (await waiting.result()).outcome == "completed"
    assert WORLD.state["shared"]["dead"] == 2


async def test_somebody_who_waits_can_be_aborted_and_its_place_in_the_queue_is_gone(airlock, plan):
    first, second, third = (plan(step("a", "share", key="queue", value=n)) for n in range(3))
    hold = WORLD.hold(first["plan_id"], "a")
    running, quitter, patient = [await airlock.submit(document) for document in (first, second, third)]
    await approved(running)
    await until(lambda: (first["plan_id"], "a") in WORLD.running)
    for handle in (quitter, patient):
        await approved(handle)

        async def waits(handle=handle) -> bool:
            return "shared:queue" in (await handle.status()).waits_for

        await until(waits)
    assert (await quitter.decide("rollback", by="olga", reason="not needed")).accepted
    assert (await quitter.result()).outcome == "aborted"
    hold.set()
    assert (await running.result()).outcome == "completed"
    assert (await patient.result()).outcome == "completed"
    assert WORLD.state["shared"]["queue"] == 2


async def test_a_rollback_keeps_the_resource_until_it_is_done(airlock, plan):
    failing = plan(step("a", "share", key="kept", value=1), step("b", "put", ("a",), key="z"))
    WORLD.trouble[(failing["plan_id"], "b")] = ["fail"]
    WORLD.undo_trouble[(failing["plan_id"], "a")] = 1
    other = plan(step("a", "share", key="kept", value=2))
    hold = WORLD.hold(failing["plan_id"], "b")
    rolled, waiting = await airlock.submit(failing), await airlock.submit(other)
    await approved(rolled)
    await until(lambda: (failing["plan_id"], "b") in WORLD.running)
    await approved(waiting)
    hold.set()
    assert (await rolled.result()).outcome == "aborted"
    assert (await waiting.result()).outcome == "completed"
    assert WORLD.state["shared"]["kept"] == 2
    assert WORLD.log.index(("undo", failing["plan_id"], "a")) < WORLD.log.index(("live", other["plan_id"], "a"))


async def test_the_plan_s_deadline_counts_while_it_waits(airlock, plan):
    async def attempt(deadline: int) -> None:
        key = f"late-{deadline}"
        first = plan(step("a", "share", key=key, value=1))
        second = plan(step("a", "brief", key=key, value=2), deadline=f"{deadline}s")
        hold = WORLD.hold(first["plan_id"], "a")
        try:
            running = await airlock.submit(first)
            await approved(running)
            await until(lambda: (first["plan_id"], "a") in WORLD.running)
            late = await airlock.submit(second)
            await approve_in_time(late, await late.wait_for(State.AWAITING_APPROVAL))
            result = await late.result()
            assert result.outcome == "aborted"
            assert "deadline" in str((await late.audit()).entries)
        finally:
            hold.set()
        assert (await running.result()).outcome == "completed"

    await in_time(attempt, longest=16)  # the call in the way is given up after half a minute


async def test_a_call_that_learns_late_of_a_resource_whose_gate_is_locked_is_not_made(airlock, plan):
    first = plan(step("a", "share", key="x", value=1))
    second = plan(step("find", "put", key="k"), step("use", "share", key={"$ref": "find.key"}, value=1))
    name = f"{second['plan_id']}/find"  # what `put` returns as key: known only when it is live
    first["steps"][0]["args"]["key"] = name
    hold = WORLD.hold(first["plan_id"], "a")
    running, surprised = await airlock.submit(first), await airlock.submit(second)
    await approved(running)
    await until(lambda: (first["plan_id"], "a") in WORLD.running)
    gate = names.resource_gate_id(resource_hash("", f"shared:{name}"))
    await airlock.client.get_workflow_handle(gate).signal("lock", {"by": "olga", "reason": "drill"})
    old = (await awaiting(surprised)).digest
    await approved(surprised)

    async def previewed_again() -> bool:
        status = await surprised.status()
        return status.state is State.AWAITING_APPROVAL and status.digest != old

    await until(previewed_again)
    assert "a gate that olga closed" in str((await surprised.audit()).entries)
    assert len(WORLD.fences[name]) == 1, "only the plan that holds the slot has made its call"
    await airlock.client.get_workflow_handle(gate).signal("unlock", {"by": "olga", "reason": "over"})
    hold.set()
    await surprised.decide("abort", by="olga", reason="the drill is over")
    assert (await surprised.result()).outcome == "aborted"


async def test_a_resource_learned_late_is_not_waited_for_but_previewed_anew(airlock, plan):
    first = plan(step("a", "share", key="x", value=1))
    second = plan(step("find", "put", key="k"), step("use", "share", key={"$ref": "find.key"}, value=1))
    name = f"{second['plan_id']}/find"  # what `put` returns as key: known only when it is live
    first["steps"][0]["args"]["key"] = name
    hold = WORLD.hold(first["plan_id"], "a")
    running, surprised = await airlock.submit(first), await airlock.submit(second)
    await approved(running)
    await until(lambda: (first["plan_id"], "a") in WORLD.running)
    old = (await awaiting(surprised)).digest
    await approved(surprised)

    async def anew() -> bool:
        status = await surprised.status()
        return status.state is State.AWAITING_APPROVAL and status.digest != old

    await until(anew)
    assert "holds at the moment" in str((await surprised.audit()).entries)
    hold.set()
    assert (await running.result()).outcome == "completed"
    await approved(surprised)
    assert (await surprised.result()).outcome == "completed"
    assert WORLD.effects[f"{second['plan_id']}/find"] == 1
    assert all(len(inside) == 1 for inside in WORLD.together[name])


async def test_two_identical_plans_at_the_same_time_send_one_mail(airlock, plan):
    to = "only-once@acme.test"
    documents = [plan(step("a", "put", key="k"), step("mail", "send", ("a",), to=to, body="")) for _ in range(2)]
    handles = await asyncio.gather(*(airlock.submit(document) for document in documents))
    await asyncio.gather(*(approved(handle) for handle in handles))
    results = [await handle.result() for handle in handles]
    assert sorted(result.outcome for result in results) == ["completed", "partial"]
    assert sum(WORLD.state[document["plan_id"]].get("sent", []).count(to) for document in documents) == 1
    loser = handles[[result.outcome for result in results].index("partial")]
    assert any((entry.what, entry.answer) == ("DUPLICATE_ACTION", "ABORT") for entry in (await loser.audit()).entries)


async def test_a_mail_that_was_sent_is_not_sent_by_a_later_plan_unless_it_says_that_it_repeats(airlock, plan):
    to = "later@acme.test"
    first, again = plan(step("mail", "send", to=to, body="")), plan(step("mail", "send", to=to, body=""))
    meant = plan({**step("mail", "send", to=to, body=""), "dedupe_key": "the second newsletter"})
    handle = await airlock.submit(first)
    await approved(handle)
    assert (await handle.result()).outcome == "completed"
    refused = await airlock.submit(again)
    status = await refused.wait_for(State.COMPLETED)
    assert status.outcome == "rehearsed", status
    assert "DUPLICATE_ACTION" in str(status.conflicts)
    repeated = await airlock.submit(meant)
    await approved(repeated)
    assert (await repeated.result()).outcome == "completed"
    sent = [WORLD.state[document["plan_id"]].get("sent", []) for document in (first, again, meant)]
    assert sent == [[to], [], [to]]


async def test_a_claim_in_doubt_blocks_until_it_is_settled_and_a_failed_one_does_not(airlock, plan):
    to = "doubt@acme.test"
    first = plan(step("once", "send", to=to, body=""))
    WORLD.trouble[(first["plan_id"], "once")] = ["lost"]
    unsure = await airlock.submit(first)
    await approved(unsure)
    await unsure.wait_for(State.LOCKED)
    second = await airlock.submit(plan(step("once", "send", to=to, body="")))
    assert (await second.wait_for(State.COMPLETED)).outcome == "rehearsed"
    assert (await unsure.decide("resolve", by="olga", step="once", outcome="did_not_happen", reason="looked it up")).accepted
    assert (await unsure.result()).outcome == "aborted"
    third_document = plan(step("once", "send", to=to, body=""))
    third = await airlock.submit(third_document)
    await approved(third)
    assert (await third.result()).outcome == "completed"
    assert WORLD.state[third_document["plan_id"]]["sent"] == [to]


@pytest.mark.parametrize("word", ["lock", "rollback"])
async def test_a_plan_that_is_stopped_while_live_gives_everything_back(airlock, plan, word):
    document = plan(step("a", "share", key=f"stop-{word}", value=1), step("b", "put", ("a",), key="k"))
    hold = WORLD.hold(document["plan_id"], "b")
    handle = await airlock.submit(document)
    await approved(handle)
    await until(lambda: (document["plan_id"], "b") in WORLD.running)
    assert set((await handle.status()).gates) == {f"shared:stop-{word}", "live"}
    assert (await handle.decide(word, by="olga", reason="stop")).accepted
    hold.set()
    await gate_free(airlock, handle)
    other = await airlock.submit(plan(step("a", "share", key=f"stop-{word}", value=2)))
    await approved(other)
    assert (await other.result()).outcome == "completed"
