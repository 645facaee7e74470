"""Copies of the inputs of gates, claims, monitors and undos, started in every way: what goes live is in the world."""

import itertools
from typing import Any

import pytest
from pydantic_core import from_json
from temporalio.api.common.v1 import Payload

from airlock.base import names
from airlock.client.live_gate import LiveGate
from airlock.client.undo import undo as airlock_undo
from airlock.plans.state import State
from airlock.workflows import monitor, plan_stages
from airlock.workflows.gates import gate
from airlock.workflows.history_budget import HistoryBudget
from tests.workflows.attacker_starts import STARTS, ended, history, latest_run
from tests.workflows.conftest import approved, awaiting, step, until
from tests.workflows.protected import Place, keyring, place
from tests.workflows.test_proof_calls import times
from tests.workflows.test_proof_deputies import of_type
from tests.workflows.test_proof_gates import left_out
from tests.workflows.test_proof_origin import failures
from tests.workflows.world import WORLD

_NUMBERS = itertools.count(1)
SHORT = HistoryBudget(events=12)
OTHERS = [kind for kind in STARTS if kind != "changeling"]
"""The ways to start gates, claims and monitors; `test_proof_onward` continues them as new."""


@pytest.fixture
async def where(dev_server, monkeypatch) -> Place:
    for module in (gate, monitor, plan_stages):
        monkeypatch.setattr(module, "HISTORY", SHORT)
    return await place(dev_server.client, f"others{next(_NUMBERS)}", keyring("k"))


async def begun_with(where: Place, workflow_id: str, field: str) -> Payload:
    """Return the latest state that a run of a workflow carried on to the next one."""
    client, run_id = where.attacker.client, await latest_run(where.attacker.client, workflow_id)
    while run_id:
        started = (await history(client, workflow_id, run_id))[0].workflow_execution_started_event_attributes
        (payload,) = started.input.payloads
        if field in from_json(payload.data):
            return payload
        run_id = started.continued_execution_run_id
    raise AssertionError(f"no run of {workflow_id} went on")


async def went_on(where: Place, workflow_id: str, field: str) -> Payload:
    """Send junk until a run continues as new, and return what it carried on."""
    run = where.attacker.client.get_workflow_handle(workflow_id)
    for _ in range(30):
        await run.signal("junk", 1)
    await until(lambda: _continues(where, workflow_id))
    return await begun_with(where, workflow_id, field)


async def _continues(where: Place, workflow_id: str) -> bool:
    events = await history(where.attacker.client, workflow_id)
    return bool(events[0].workflow_execution_started_event_attributes.continued_execution_run_id)


async def completed(where: Place, document: dict[str, Any]) -> Any:
    handle = await where.airlock.submit(document)
    await approved(handle)
    assert (await handle.result()).outcome == "completed"
    return handle


# not "signal with start", whose signal is an unlock: any client may send one, unless the policy demands evidence
@pytest.mark.parametrize("kind", [kind for kind in OTHERS if kind != "signal with start"])
async def test_a_copied_gate_that_was_open_lets_nothing_in_once_it_is_locked(where, plan, kind):
    client = where.attacker.client
    async with where.working():
        await completed(where, plan(step("a", "once", key="a", value=1)))
        copied = await went_on(where, names.LIVE_GATE, "gate")
        assert (await LiveGate(where.airlock.client).lock("olga", "stop")).accepted
        await client.get_workflow_handle(names.LIVE_GATE).terminate("mine")
        await STARTS[kind](client, names.GATE_WORKFLOW, names.LIVE_GATE, copied)
        if kind == "cron":  # it fails each second, and no gate lets anything in meanwhile
            await ended(client, names.LIVE_GATE)
        document = plan(step("a", "once", key="a", value=1))
        handle = await where.airlock.submit(document)
        await approved(handle)
        status = await until(lambda: stopped(handle))
        assert status.state is State.LOCKED, status
    assert times(document, "a") == 0


async def stopped(handle: Any) -> Any:
    status = await handle.status()
    return status if status.state in (State.LOCKED, State.COMPLETED) else None


@pytest.mark.parametrize("kind", STARTS)
async def test_a_copied_undo_takes_nothing_back(where, plan, kind):
    document = plan(step("a", "put", key="a", value=1), step("b", "put", ("a",), key="b", value=1))
    plan_id, client = document["plan_id"], where.attacker.client
    async with where.working():
        await completed(where, document)
        undo = await airlock_undo(where.airlock.client, plan_id, by="rita", reason="wrong")
        await approved(undo)
        assert set((await undo.result()).undone) == {"a", "b"}
        copied = await begun_with(where, undo.workflow.id, "run")
        before = undone(plan_id)
        await STARTS[kind](client, names.PLAN_WORKFLOW, undo.workflow.id, copied)
        assert all("run: " in why or "cron" in why for why in await until(lambda: failures(where, undo.workflow.id)))
        await ended(client, undo.workflow.id)
        await completed(where, plan(step("a", "once", key="a", value=1)))  # its workers had the time
    assert undone(plan_id) == before


def undone(plan_id: str) -> int:
    return len([each for each in WORLD.log if each[:2] == ("undo", plan_id)])


@pytest.mark.parametrize("kind", OTHERS)
async def test_a_copied_claim_frees_no_call_that_was_made(where, plan, kind):
    body, client = f"others {next(_NUMBERS)}", where.attacker.client
    first, second = (plan(step("a", "send", to="jo", body=body)) for _ in range(2))
    async with where.working():
        await completed(where, first)
        (claim,) = await until(lambda: of_type(where, names.CLAIM_WORKFLOW))
        started = (await history(client, claim))[0].workflow_execution_started_event_attributes
        await STARTS[kind](client, names.CLAIM_WORKFLOW, claim, started.input.payloads[0])
        other = await where.airlock.submit(second)
        assert await until(lambda: left_out(other))
        await ended(client, claim)
    assert [times(document, "a") for document in (first, second)] == [1, 0]


@pytest.mark.parametrize("kind", OTHERS)
async def test_a_copied_monitor_counts_nothing_twice(where, plan, kind):
    client, shard = where.attacker.client, names.monitor_id(0)
    async with where.working():
        await completed(where, plan(step("a", "once", key="a", value=1)))
        copied = await went_on(where, shard, "state")
        await client.get_workflow_handle(shard).terminate("mine")
        await STARTS[kind](client, names.MONITOR_WORKFLOW, shard, copied)
        whys = await until(lambda: failures(where, shard))
        assert all("state: " in why or "cron" in why for why in whys), whys
        await ended(client, shard)


async def test_the_undo_of_these_tests_carries_an_approved_state(where, plan):
    """The copy is no state in which an undo would wait for its approval anyway."""
    document = plan(step("a", "put", key="a", value=1), step("b", "put", ("a",), key="b", value=1))
    async with where.working():
        await completed(where, document)
        undo = await airlock_undo(where.airlock.client, document["plan_id"], by="rita", reason="wrong")
        await awaiting(undo)
        await approved(undo)
        await undo.result()
        run = from_json((await begun_with(where, undo.workflow.id, "run")).data)["run"]
    assert run["state"] in ("LIVE", "ROLLBACK"), run["state"]
