"""The memory of gates: locks, budgets, refused nonsense and holders, through new runs and their own ends."""

import itertools
from collections.abc import AsyncIterator
from typing import Any

import pytest
from temporalio.client import Client, WorkflowUpdateFailedError

from airlock.admission.budget import Spending
from airlock.admission.policy import Policy, WindowBudget
from airlock.base import names
from airlock.gates.answers import AcquireRefused
from airlock.gates.protocol import AcquireRequest, LiveSlot
from airlock.gates.view import GateView
from airlock.temporal.live_gate import start_live_gate
from tests.workflows.conftest import until
from tests.workflows.gate_visits import (
    LIVE,
    closed,
    decide,
    gate_of,
    gates,
    inside,
    live_gate,
    resource,
    status,
    visit,
    waiting,
)
from tests.workflows.tiny_plan import QUEUE, TinyPlan, Visit


@pytest.fixture
async def alone(dev_server: Any) -> AsyncIterator[Client]:
    """Yield a namespace of its own, for what happens at the live gate."""
    async with gates(dev_server) as client:
        yield client


async def test_continue_as_new_loses_nobody(alone):
    name, handle = resource(), None
    first = await inside(alone, resources=(name,))
    handle = gate_of(alone, name)
    waiters = []
    for number in range(1, 4):
        waiters.append(await visit(alone, resources=(name,)))
        await waiting(handle, number)
    before = (await handle.describe()).run_id
    fence = (await status(handle)).holders[0].fence

    async def next_run() -> bool:
        for _ in range(100):
            await handle.signal("nonsense", {"x": 1})
        return (await handle.describe()).run_id != before

    await until(next_run, 60)
    view = await status(handle)
    assert [row.holder for row in view.holders] == [first.handle.id]
    assert view.holders[0].fence == fence
    assert [row.holder for row in view.waiting] == [plan.handle.id for plan in waiters]
    assert view.refused >= 100
    for before_it, plan in itertools.pairwise([first, *waiters]):
        await before_it.leave()
        await until(plan.inside)
    await waiters[-1].leave()
    assert await closed(handle) == "COMPLETED"


NONSENSE: list[tuple[str, list[Any], str]] = [
    ("lock", [], "got 0 arguments"),
    ("lock", [None], "got null"),
    ("lock", ["stop"], "got a text"),
    ("lock", [{"by": "olga"}], "reason"),
    ("lock", [{"by": "policy", "reason": "x"}], "not people"),
    ("lock", [{"by": "olga", "reason": "x", "scope": "planet:mars"}], "scope"),
    ("lock", [{"by": "olga", "reason": "x", "scope": "agent:*"}], "scope"),
    ("lock", [{"by": "olga", "reason": "x", "scop": "agent:a"}], "no field scop"),
    ("unlock", [{"by": "olga", "reason": "x"}], "nothing is locked"),
    ("release", [{"holder": 7}], "holder"),
    ("hold_off", [{"seconds": -1}], "seconds"),
    ("hold_off", [{"seconds": 1e9}], "seconds"),
    ("hold_off", [{}], "seconds"),
    ("open_sesame", [{}], "unknown signal"),
]


async def test_nonsense_is_refused_counted_and_shown(alone):
    # as a person would start it by hand, without any input
    await alone.start_workflow(names.GATE_WORKFLOW, id=names.LIVE_GATE, task_queue=names.WORKFLOW_QUEUE)
    handle = live_gate(alone)
    for number, (name, arguments, why) in enumerate(NONSENSE, 1):
        await handle.signal(name, args=arguments)

        async def counted(number: int = number) -> GateView | None:
            view = await status(handle)
            return view if view.refused == number else None

        view = await until(counted)
        assert view.refusals[-1].what == name
        assert why in view.refusals[-1].why, view.refusals[-1]
        assert not view.locks
    assert len(view.refusals) == 10
    for said, why in (
        ({"decision": "lock", "by": "olga"}, "reason"),
        ({"decision": "open", "by": "olga", "reason": "x"}, "decision"),
        ({"by": "olga", "reason": "x"}, "decision"),
        ([], "JSON object"),
    ):
        with pytest.raises(WorkflowUpdateFailedError) as caught:
            await handle.execute_update("decide", said)
        assert why in str(caught.value.cause)
    for wanted, why in (
        ({"holder": "", "request": "1"}, "holder"),
        ({"holder": "plan-a", "request": "1", "slots": 0}, "slots"),
        ({"holder": "plan-a", "request": "1", "grace": "soon"}, "grace"),
        ({"holder": names.LIVE_GATE, "request": "1"}, "holder"),
    ):
        with pytest.raises(WorkflowUpdateFailedError) as caught:
            await handle.execute_update("acquire", wanted)
        assert why in str(caught.value.cause)
    verdict = await decide(handle, "unlock", scope="agent:a")
    assert (verdict.accepted, verdict.reason) == (False, "nothing is locked")


async def test_a_lock_tells_everybody_and_proves_that_they_stopped(alone):
    first, second = await inside(alone, live=LIVE), await inside(alone, live=LIVE)
    third = await visit(alone, live=LIVE)
    handle = live_gate(alone)
    await waiting(handle, 1)
    verdict = await decide(handle, "lock")
    assert verdict.accepted, verdict
    assert (await decide(handle, "lock")).reason == "the gate is locked already, by olga: drill"
    for plan in (first, second, third):
        heard = await until(lambda plan=plan: plan.heard("lock"))
        assert heard == [{"by": "olga", "reason": "live gate locked: drill", "gate": True}]
    late = await visit(alone, live=LIVE)

    async def kept_out() -> bool:
        result = (await late.state())["result"]
        return bool(result and result.get("closed") == {"by": "olga", "reason": "live gate locked: drill"})

    await until(kept_out)
    await first.leave()

    async def one_quiesced() -> GateView | None:
        view = await status(handle)
        return view if view.told[0].quiesced_at else None

    view = await until(one_quiesced)
    assert [told.holder for told in view.told] == [first.handle.id, second.handle.id]
    assert view.told[1].quiesced_at is None
    assert (view.waits, view.kept_out, view.kept_out_first) == (0, 2, (third.handle.id, late.handle.id))
    assert "finishing a call" in (details := await handle.query("__temporal_workflow_metadata")).current_details, details
    assert (await decide(handle, "unlock", by="paul")).accepted
    for plan in (first, third, late):
        if plan is first:
            continue  # it has ended
        heard = await until(lambda plan=plan: plan.heard("unlock"))
        assert heard == [{"by": "paul", "reason": "drill", "gate": True}]
    await second.leave()  # it was still finishing: told as soon as it is out
    for plan in (late,):
        await until(plan.inside)


async def test_a_scoped_lock_closes_the_gate_for_its_scope_only(alone):
    crm = LiveSlot(capacity=5, scopes=("agent:crm", "tool:mail", "resource:*"))
    ops = LiveSlot(capacity=5, scopes=("agent:ops", "tool:mail", "resource:a"))
    await start_live_gate(alone, Policy())
    handle = live_gate(alone)
    assert (await decide(handle, "lock", scope="resource:b")).accepted
    await inside(alone, live=ops)
    kept = await visit(alone, live=crm)

    async def refused() -> Any:
        result = (await kept.state())["result"]
        return result and result.get("closed")

    assert (await until(refused))["reason"] == "live gate locked for resource:b: drill"
    assert (await decide(handle, "lock", scope="agent:crm")).accepted
    assert (await decide(handle, "unlock", scope="resource:b")).reason.endswith("still locked: agent:crm")
    assert not await kept.heard("unlock")  # the other lock keeps it out still
    assert (await decide(handle, "unlock", scope="agent:crm")).accepted
    await until(kept.inside)


async def test_a_budget_is_refused_with_the_numbers(alone):
    def live(calls: int) -> LiveSlot:
        budgets = {"crm": WindowBudget(live_calls=10, per="24h")}
        return LiveSlot(capacity=5, spending={"crm": Spending(live_calls=calls)}, budgets=budgets)

    await inside(alone, live=live(8))
    refused = await visit(alone, live=live(4), stay=False)
    result = await refused.handle.result()
    assert isinstance(result, AcquireRefused)
    assert result.refused == "agent 'crm' would make 12 live calls within 24h, 10 are allowed (8 used)"
    await inside(alone, live=live(2))


@pytest.mark.parametrize("how", ["found by the one who starts it", "found by the gate"])
async def test_a_terminated_live_gate_is_still_locked_and_knows_who_is_in(alone, how):
    plan = await inside(alone, live=LIVE)
    handle = live_gate(alone)
    assert (await decide(handle, "lock")).accepted
    fence = (await status(handle)).holders[0].fence
    await handle.terminate("by mistake")
    if how == "found by the gate":
        # visibility lags behind: a gate that is started by hand knows nothing of the earlier run
        async def listed() -> bool:
            found = [run async for run in alone.list_workflows(f"WorkflowId = '{names.LIVE_GATE}'")]
            return [run.status.name for run in found if run.status] == ["TERMINATED"]

        await until(listed)
        await alone.start_workflow(
            names.GATE_WORKFLOW, {"gate": {}}, id=names.LIVE_GATE, task_queue=names.WORKFLOW_QUEUE
        )  # fmt: skip
    late = await visit(alone, live=LIVE)

    async def kept_out() -> bool:
        result = (await late.state())["result"]
        return bool(result and result.get("closed"))

    await until(kept_out)
    view = await status(handle)
    assert [lock.by for lock in view.locks] == ["olga"]
    assert [(row.holder, row.fence) for row in view.holders] == [(plan.handle.id, fence)]
    await plan.leave()
    await plan.handle.result()

    async def quiesced() -> bool:
        return all(told.quiesced_at for told in (await status(handle)).told)

    await until(quiesced)


async def test_a_live_gate_that_cannot_read_what_it_knew_stays_closed(alone):
    # a workflow of another type under the gate's id does not answer what a gate answers
    not_a_gate = Visit(request=AcquireRequest(plan_id="x", holder="x", request="1"))
    await alone.start_workflow(TinyPlan.run, not_a_gate, id=names.LIVE_GATE, task_queue=QUEUE)
    await live_gate(alone).terminate("not a gate")
    await start_live_gate(alone, Policy())

    async def ready() -> GateView | None:
        view = await status(live_gate(alone))
        return view if view.ready else None

    view = await until(ready)
    assert [lock.by for lock in view.locks] == ["airlock"]
    assert "cannot be read" in view.locks[0].reason
    assert (await decide(live_gate(alone), "unlock")).accepted
