"""Proof of a lock over calls in doubt, and over plans that are gone."""

from airlock.client.live_gate import HolderState, LiveGate, Proof
from airlock.gates.lock_proof import Proved, ProvedExcept, Unknown
from airlock.plans.state import State
from tests.workflows.conftest import approved, step, until
from tests.workflows.test_lock import in_state, live, proven
from tests.workflows.world import WORLD


def named(proof: Proof) -> list[tuple[str, str]]:
    assert isinstance(proof.value, ProvedExcept | Unknown), proof
    return [(call.plan, call.step) for call in proof.value.calls]


async def test_a_call_in_doubt_is_no_proof_until_a_person_settles_it(airlock_with, plan):
    airlock = await airlock_with()
    gate = LiveGate(airlock.client)
    document = plan(step("mail", "send", to="jo"))
    WORLD.trouble[document["plan_id"], "mail"] = ["lost"]
    handle = await airlock.submit(document)
    await approved(handle)
    await in_state(handle, State.LOCKED)
    # the plan had left the gate before the lock came; its call may be carried out under the lock all the same
    await until_left(gate)
    assert (await gate.lock("olga", "stop")).accepted
    proof = await proven(gate, within=30)
    assert isinstance(proof.value, ProvedExcept)
    assert (proof.quiesced, proof.final, named(proof)) == (False, True, [(document["plan_id"], "mail")])
    said = await handle.decide("resolve", by="boss", step="mail", outcome="did_not_happen", reason="the log has none")
    assert said.accepted, said

    async def is_proved():
        return isinstance((await proven(gate, within=0)).value, Proved)

    await until(is_proved)


async def test_a_call_that_ends_in_doubt_under_the_lock_is_named(airlock_with, plan):
    airlock = await airlock_with()
    gate = LiveGate(airlock.client)
    document = plan(step("mail", "send", to="jo"))
    WORLD.trouble[document["plan_id"], "mail"] = ["lost"]
    handle, hold = await live(airlock, document, "mail")
    assert (await gate.lock("olga", "stop")).accepted
    assert isinstance((await proven(gate, within=0)).value, Unknown)
    hold.set()
    proof = await proven(gate)
    assert [(row.standing, row.calls) for row in proof.rows] == [(HolderState.IN_DOUBT, ("mail",))]
    assert named(proof) == [(document["plan_id"], "mail")]
    # the end of the plan settles nothing
    assert (await handle.decide("abort", by="boss", reason="over")).accepted
    await handle.result()
    assert named(await proven(gate, within=30)) == [(document["plan_id"], "mail")]


async def test_a_plan_that_is_gone_is_unknown_first_and_then_in_doubt_by_its_history(airlock_with, plan):
    airlock = await airlock_with()
    gate = LiveGate(airlock.client)
    document = plan(step("a", "once", key="x"), step("b", "once", ("a",), key="y"))
    handle, hold = await live(airlock, document, "b")
    assert (await gate.lock("olga", "stop")).accepted
    await handle.workflow.terminate("gone")
    first = await proven(gate, within=0)
    assert isinstance(first.value, Unknown)
    proof = await proven(gate, within=120)
    assert isinstance(proof.value, ProvedExcept), proof
    assert {step for _, step in named(proof)} <= {"a", "b"}
    assert (document["plan_id"], "b") in named(proof)
    hold.set()


async def until_left(gate: LiveGate) -> None:
    async def left():
        view = await gate.status()
        return view is not None and not view.holders

    await until(left)
