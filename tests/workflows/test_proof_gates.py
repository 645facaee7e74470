"""Gates, claims and undos that an attacker resets, terminates, or speaks to in a worker's name."""

import itertools
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from pydantic_core import from_json
from temporalio.client import Client, WorkflowHandle

from airlock.activities.toolbox import Toolbox
from airlock.admission.policy import Policy
from airlock.base import names
from airlock.base.keyring import Keyring
from airlock.client import PlanHandle, UndoRefused
from airlock.client.live_gate import LiveGate
from airlock.client.undo import previewed, undo
from airlock.plans.state import State
from airlock.temporal.live_gate import start_live_gate
from airlock.worker.roles import build_workers
from tests.running import running
from tests.workflows.attacker import plain
from tests.workflows.attacker_starts import finished_tasks, history, set_back
from tests.workflows.conftest import approved, awaiting, catalogue, step, until
from tests.workflows.protected import Place, keyring, place
from tests.workflows.test_proof_deputies import of_type
from tests.workflows.world import WORLD

_NUMBERS = itertools.count(1)
EITHER = pytest.mark.parametrize("keys", [keyring("k"), Keyring()], ids=["keys", "no keys"])


@pytest.fixture
async def made_place(dev_server) -> Callable[..., Awaitable[Place]]:
    async def make(keys: Keyring, **policy: object) -> Place:
        return await place(dev_server.client, f"gates-origin{next(_NUMBERS)}", keys, **policy)

    return make


async def forget_everything(client: Client, workflow_id: str) -> None:
    """Reset a workflow to its first task, without the messages that came later."""

    async def first_task() -> int:
        return next(iter(finished_tasks(await history(client, workflow_id))), 0)

    await set_back(client, workflow_id, await until(first_task), forget=True)


async def gate_of(where: Place) -> Any:
    """The gate of the only resource in a namespace."""

    async def found() -> str:
        query = "WorkflowType = 'GateWorkflow' AND ExecutionStatus = 'Running'"
        runs = [run.id async for run in where.attacker.client.list_workflows(query)]
        return next((each for each in runs if each.startswith(names.RESOURCE_GATE_PREFIX)), "")

    return where.attacker.client.get_workflow_handle(await until(found))


async def queued(handle: Any) -> bool:
    status = await handle.status()
    return status.state is State.LIVE and status.waits_for.startswith("its turn at")


@EITHER
@pytest.mark.parametrize("point", [0, -1], ids=["first task", "before the lock"])
async def test_a_live_gate_that_is_reset_stays_locked(made_place, plan, keys, point):
    where = await made_place(keys)
    document = plan(step("a", "once", key="a", value=1))
    async with where.working():
        await start_live_gate(where.workers, Policy())
        gate = LiveGate(where.airlock.client)
        await until(lambda: _ready(gate))
        assert not (await gate.unlock(by="op", reason="so that a task follows the recall")).accepted
        before = finished_tasks(await history(where.attacker.client, names.LIVE_GATE))
        assert (await gate.lock(by="op", reason="stop")).accepted
        await set_back(where.attacker.client, names.LIVE_GATE, before[point], forget=True)
        handle = await where.airlock.submit(document)
        await approved(handle)
        status = await handle.wait_for(State.LOCKED)
        assert "stop" in status.why
        assert [lock.reason for lock in (await gate.status()).locks] == ["stop"]
        assert WORLD.attempts[f"{document['plan_id']}/a"] == 0
        assert (await gate.unlock(by="op", reason="go on")).accepted


async def _ready(gate: LiveGate) -> bool:
    return (await gate.status()).ready


@EITHER
async def test_a_gate_that_is_reset_twice_does_not_forget_who_is_in(made_place, plan, keys):
    where, key = await made_place(keys), f"door{next(_NUMBERS)}"
    first, second = (plan(step("a", "share", key=key, value=number)) for number in (1, 2))
    hold = WORLD.hold(first["plan_id"], "a")
    async with where.working():
        inside = await where.airlock.submit(first)
        await approved(inside)
        await until(lambda: WORLD.inside[key])
        gate = await gate_of(where)
        for _ in range(2):
            await forget_everything(where.attacker.client, gate.id)
        waiting = await where.airlock.submit(second)
        await approved(waiting)
        await until(lambda: queued(waiting))
        assert WORLD.together[key] == [frozenset({first["plan_id"]})]
        hold.set()
        assert (await inside.result()).outcome == "completed"
        assert (await waiting.result()).outcome == "completed"
    assert all(len(together) == 1 for together in WORLD.together[key])


@EITHER
async def test_a_release_that_no_worker_sent_frees_nothing(made_place, plan, keys):
    where, key = await made_place(keys), f"door{next(_NUMBERS)}"
    first, second = (plan(step("a", "share", key=key, value=number)) for number in (1, 2))
    hold = WORLD.hold(first["plan_id"], "a")
    async with where.working():
        inside = await where.airlock.submit(first)
        await approved(inside)
        await until(lambda: WORLD.inside[key])
        gate = await gate_of(where)
        await gate.signal("release", {"holder": inside.workflow.id, "request": "1"})
        waiting = await where.airlock.submit(second)
        await approved(waiting)
        if keys.keys:
            await until(lambda: queued(waiting))
            assert (await gate.query("status"))["refused"] == 1
            assert WORLD.together[key] == [frozenset({first["plan_id"]})]
        else:  # what the keys are for
            await until(lambda: len(WORLD.together[key]) == 2)
        hold.set()
        assert (await waiting.result()).outcome == "completed"


async def claim_while(where: Place, sending: PlanHandle, other: PlanHandle) -> WorkflowHandle[Any, Any]:
    """Return the only claim, while the first plan's call `a` holds it and the other plan waits for approval."""
    await awaiting(other)
    await approved(sending)
    await until(lambda: (sending.plan_id, "a") in WORLD.running)
    (claim,) = await until(lambda: of_type(where, names.CLAIM_WORKFLOW))
    return where.attacker.client.get_workflow_handle(claim)


@EITHER
async def test_a_claim_that_is_terminated_during_its_call_is_not_free(made_place, plan, keys):
    where, mail = await made_place(keys), f"mail {next(_NUMBERS)} of a terminated claim"
    first, second = (plan(step("a", "send", to="jo", body=mail)) for _ in range(2))
    hold = WORLD.hold(first["plan_id"], "a")
    async with where.working():
        sending, other = [await where.airlock.submit(document) for document in (first, second)]
        handle = await claim_while(where, sending, other)
        await handle.terminate("test")
        await approved(other)
        assert (await other.result()).outcome != "completed"
        hold.set()
        assert (await sending.result()).outcome == "completed"
        third = plan(step("a", "send", to="jo", body=mail))
        late = await where.airlock.submit(third)
        result = await until(lambda: left_out(late))
        assert "in doubt" in result or "made this call" in result, result
    sent = [WORLD.attempts[f"{document['plan_id']}/a"] for document in (first, second, third)]
    assert sent == [1, 0, 0]


async def left_out(handle: Any) -> str:
    """Approve whatever is shown; return why the plan's only call was left out."""
    status = await handle.status()
    if status.state is State.AWAITING_APPROVAL:
        await handle.decide("approve", by="alice", digest=status.digest)
    found = [entry.reason for entry in (await handle.audit()).entries if entry.what == "DUPLICATE_ACTION"]
    return found[0] if found else ""


@EITHER
async def test_a_settlement_that_no_worker_sent_frees_no_claim(made_place, plan, keys):
    where, mail = await made_place(keys), f"mail {next(_NUMBERS)} of a settled claim"
    first, second = (plan(step("a", "send", to="jo", body=mail)) for _ in range(2))
    hold = WORLD.hold(first["plan_id"], "a")
    async with where.working():
        sending, other = [await where.airlock.submit(document) for document in (first, second)]
        handle = await claim_while(where, sending, other)
        await handle.signal("settle", {"holder": sending.workflow.id, "outcome": "free"})
        await approved(other)
        if keys.keys:
            assert (await other.result()).outcome != "completed"
            assert "no worker of Airlock" in (await handle.query("status"))["last_refusal"]
        hold.set()
        await sending.result()
        await other.result()
    assert WORLD.attempts[f"{second['plan_id']}/a"] == (0 if keys.keys else 1)  # what the keys are for


@EITHER
async def test_an_undo_does_not_believe_a_forged_answer_that_nothing_was_called(made_place, plan, keys):
    where = await made_place(keys)
    document = plan(step("a", "once", key="a", value=1))
    plan_id, workflow_id = document["plan_id"], names.plan_workflow_id(document["plan_id"])
    hold = WORLD.hold(plan_id, "a")
    async with where.working("live"):
        toolbox = Toolbox(catalogue(), where.policy)
        workers = [each for role in ("orchestrate", "rehearse") for each in build_workers(where.workers, toolbox, role)]
        async with running(workers):  # not `working`, which would let the call go on in the end
            handle = await where.airlock.submit(document)
            await approved(handle)
            await until(lambda: (plan_id, "a") in WORLD.running)
        await where.attacker.complete_by_id(workflow_id, "a:live", plain({"attempts": [], "stopped": True}))
        hold.set()
        await where.attacker.client.get_workflow_handle(workflow_id).terminate("test")
    async with where.working():
        undoing = await undo(where.airlock.client, plan_id, by="op", reason="not wanted")
        if not keys.keys:  # what the keys are for
            with pytest.raises(UndoRefused, match="nothing of this plan went live"):
                await previewed(undoing)
            return
        await previewed(undoing)
        (shown,) = (await undoing.status()).steps
        assert "in doubt" in str(shown).lower() or "in_doubt" in str(shown).lower()


@EITHER
async def test_a_report_that_no_worker_sent_is_not_counted(made_place, plan, keys):
    where = await made_place(keys)
    async with where.working():
        handle = await where.airlock.submit(plan(step("a", "once", key="a", value=1)))
        await approved(handle)
        assert (await handle.result()).outcome == "completed"
        (monitor,) = await until(lambda: of_type(where, names.MONITOR_WORKFLOW))
        reports = [
            payload
            for event in await history(where.attacker.client, monitor)
            for payload in event.workflow_execution_signaled_event_attributes.input.payloads
        ]
        asked = where.attacker.client.get_workflow_handle(monitor)
        counted = (await asked.query("health"))["counted"]
        assert counted > 0
        lie = from_json(reports[0].data)
        for each in lie["reports"]:
            each["key"]["run_id"] = "another"
        await asked.signal("report", lie)
        seen = await until(lambda: _changed(asked, counted))
        assert (seen["counted"] > counted, seen["refused"]) == (not keys.keys, int(bool(keys.keys)))


async def _changed(asked: Any, counted: int) -> Any:
    seen = await asked.query("health")
    return seen if seen["counted"] > counted or seen["refused"] else None
