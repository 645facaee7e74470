"""Gates on a real Temporal server: who is in, who is next, what a lock proves, and that nothing of it is forgotten."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client, WorkflowHandle, WorkflowUpdateFailedError
from temporalio.worker import Worker

from airlock.activities.admit import resource_hash
from airlock.activities.gates import GateActivities
from airlock.activities.policy import PolicyActivities
from airlock.activities.toolbox import Toolbox
from airlock.admission.budget import Spending
from airlock.admission.policy import Policy, WindowBudget
from airlock.base import names
from airlock.base.incoming import Verdict
from airlock.gates.answers import AcquireBusy, AcquireRefused
from airlock.gates.protocol import AcquireRequest, LiveSlot, Permit, PermitAnswer, ToolSlots
from airlock.gates.view import GateView
from airlock.temporal.live_gate import start_live_gate
from airlock.worker.roles import patient, runner
from airlock.workflows.gates.gate import GateWorkflow
from airlock.workflows.interceptors import SafeSignals
from tests.replay.replay import replayer
from tests.running import running
from tests.workflows.conftest import POLICY, catalogue, namespace, until
from tests.workflows.tiny_plan import QUEUE, TinyPlan, Visit, Workshop

_NUMBERS = itertools.count(1)
KEY = "a key"
WORKSHOP = Workshop()


@asynccontextmanager
async def gates(dev_server: Any) -> AsyncIterator[Client]:
    """A namespace of its own, with a worker for gates and one for tiny plans."""
    client = await namespace(dev_server.client, f"gates{next(_NUMBERS)}")
    toolbox = Toolbox(catalogue(), POLICY, KEY)
    work, policy = GateActivities(toolbox), PolicyActivities(toolbox)
    gate_worker = Worker(
        client, task_queue=names.WORKFLOW_QUEUE, workflows=[GateWorkflow], workflow_runner=runner(),
        activities=[work.acquire, work.leave, work.look, work.recall, policy.policy_now], interceptors=[SafeSignals()],
    )  # fmt: skip
    tiny = Worker(
        client, task_queue=QUEUE, workflows=[TinyPlan], activities=[WORKSHOP.work], workflow_runner=runner()
    )  # fmt: skip
    async with running([patient(gate_worker), patient(tiny)]):
        yield client


@pytest.fixture(scope="module")
async def shared(dev_server: Any) -> AsyncIterator[Client]:
    async with gates(dev_server) as client:
        yield client


@pytest.fixture
async def alone(dev_server: Any) -> AsyncIterator[Client]:
    """Yield a namespace of its own, for what happens at the live gate."""
    async with gates(dev_server) as client:
        yield client


class Plan:
    def __init__(self, client: Client, handle: WorkflowHandle[Any, Any]) -> None:
        self.client, self.handle = client, handle

    async def state(self) -> dict[str, Any]:
        return await self.handle.query("state")

    async def inside(self) -> bool:
        return bool((await self.state())["inside"])

    async def heard(self, kind: str) -> list[Any]:
        return [news[kind] for news in (await self.state())["heard"] if kind in news]

    async def leave(self) -> None:
        await self.handle.signal("leave")


async def visit(client: Client, stay: bool = True, leave: bool = True, work: bool = False, **wants: Any) -> Plan:
    plan_id = f"t{next(_NUMBERS)}"
    holder = names.plan_workflow_id(plan_id)
    request = AcquireRequest(**{"plan_id": plan_id, "holder": holder, "request": "1", **wants})
    visiting = Visit(request=request, stay=stay, leave=leave, work=work)
    handle = await client.start_workflow(TinyPlan.run, visiting, id=holder, task_queue=QUEUE)
    return Plan(client, handle)


async def inside(client: Client, **wants: Any) -> Plan:
    plan = await visit(client, **wants)
    await until(plan.inside)
    return plan


def resource() -> str:
    return f"thing:{next(_NUMBERS)}"


def gate_of(client: Client, name: str) -> WorkflowHandle[Any, Any]:
    return client.get_workflow_handle(names.resource_gate_id(resource_hash(KEY, name)))


def live_gate(client: Client) -> WorkflowHandle[Any, Any]:
    return client.get_workflow_handle(names.LIVE_GATE)


async def status(handle: WorkflowHandle[Any, Any]) -> GateView:
    return await handle.query("status", result_type=GateView)


async def waiting(handle: WorkflowHandle[Any, Any], number: int) -> GateView:
    async def enough() -> GateView | None:
        view = await status(handle)
        return view if view.waits == number else None

    return await until(enough)


async def closed(handle: WorkflowHandle[Any, Any]) -> str:
    async def status_name() -> str:
        found = await handle.describe()
        return found.status.name if found.status and found.status.name != "RUNNING" else ""

    return await until(status_name)


async def decide(handle: WorkflowHandle[Any, Any], decision: str, **more: Any) -> Verdict:
    said = {"decision": decision, "by": "olga", "reason": "drill", **more}
    return await handle.execute_update("decide", said, result_type=Verdict)


LIVE = LiveSlot(capacity=2)


async def test_a_place_costs_a_start_an_update_and_a_signal_and_the_gate_is_gone(shared):
    name = resource()
    plan = await inside(shared, resources=(name,))
    held = (await plan.state())["result"]["held"]
    assert [place["name"] for place in held] == [name]
    assert held[0]["fence"] > 1_600_000_000_000
    assert [row.holder for row in (await status(gate_of(shared, name))).holders] == [plan.handle.id]
    await plan.leave()
    await plan.handle.result()
    assert await closed(gate_of(shared, name)) == "COMPLETED"
    kinds = [EventType.Name(event.event_type) async for event in gate_of(shared, name).fetch_history_events()]
    assert not [kind for kind in kinds if "TIMER" in kind or "ACTIVITY" in kind], kinds
    assert kinds.count("EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED") == 1
    assert kinds.count("EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED") == 1


async def test_who_waits_is_told_in_order_and_fences_rise(shared):
    name = resource()
    first = await inside(shared, resources=(name,))
    others = []
    for number in range(1, 4):
        others.append(await visit(shared, resources=(name,)))
        await waiting(gate_of(shared, name), number)
    urgent = await visit(shared, resources=(name,), urgent=True)
    view = await waiting(gate_of(shared, name), 4)
    assert [row.holder for row in view.waiting] == [plan.handle.id for plan in (urgent, *others)]
    said = (await others[0].state())["result"]["waiting"]
    assert said["name"] == name
    assert said["holders"] == [first.handle.id]
    fences = [(await first.state())["result"]["held"][0]["fence"]]
    before = first
    for plan in (urgent, *others):
        assert not await plan.inside()
        await before.leave()
        await until(plan.inside)
        assert (await plan.heard("granted")) == [{"gate": gate_of(shared, name).id, "request": "1"}]
        fences.append((await plan.state())["result"]["held"][0]["fence"])
        before = plan
    assert fences == sorted(set(fences))
    await before.leave()
    assert await closed(gate_of(shared, name)) == "COMPLETED"
    await replayer().replay_workflow(await gate_of(shared, name).fetch_history())


async def test_busy_is_answered_to_who_does_not_wait(shared):
    name, other = resource(), resource()
    first = await inside(shared, resources=(name,))
    second = await visit(shared, resources=(name, other), wait=False, stay=False)
    result = await second.handle.result()
    assert isinstance(result, AcquireBusy)
    assert result.busy.holders == (first.handle.id,)


async def test_a_tool_has_as_many_slots_as_its_contract_says(shared):
    tool = f"tool{next(_NUMBERS)}"
    first = await inside(shared, tools={tool: ToolSlots(capacity=3, wanted=2)})
    second = await inside(shared, tools={tool: ToolSlots(capacity=3, wanted=2)})
    slots = [(await plan.state())["result"]["held"][0]["slots"] for plan in (first, second)]
    assert slots == [2, 1]
    await first.leave()
    await second.leave()


@pytest.mark.slow
@pytest.mark.parametrize("gone", ["terminated", "completed"])
async def test_a_holder_that_is_gone_is_found_while_somebody_waits(shared, gone):
    name = resource()
    first = await inside(shared, resources=(name,), leave=False, grace=3.0)
    if gone == "terminated":
        await first.handle.terminate("gone")
    else:
        await first.leave()
    second = await visit(shared, resources=(name,))
    await waiting(gate_of(shared, name), 1)
    third = await visit(shared, resources=(name,))
    await waiting(gate_of(shared, name), 2)
    await third.handle.terminate("gone too")
    await until(second.inside, 40)
    view = await status(gate_of(shared, name))
    assert [row.holder for row in view.holders] == [second.handle.id]
    assert view.waits == 0  # who terminated in the queue was found as well
    await second.leave()
    assert await closed(gate_of(shared, name)) == "COMPLETED"


async def test_a_grant_to_somebody_who_is_gone_goes_to_the_next_at_once(shared):
    name = resource()
    first = await inside(shared, resources=(name,))
    second = await visit(shared, resources=(name,))
    await waiting(gate_of(shared, name), 1)
    third = await visit(shared, resources=(name,))
    await waiting(gate_of(shared, name), 2)
    await second.handle.terminate("gone")
    await first.leave()
    await until(third.inside, 5)  # sooner than the first look
    await third.leave()
    assert await closed(gate_of(shared, name)) == "COMPLETED"


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


async def test_a_terminated_resource_gate_knows_who_is_in(shared):
    name = resource()
    first = await inside(shared, resources=(name,))
    second = await visit(shared, resources=(name,))
    await waiting(gate_of(shared, name), 1)
    await gate_of(shared, name).terminate("by mistake")
    third = await visit(shared, resources=(name,))
    view = await waiting(gate_of(shared, name), 2)
    assert [row.holder for row in view.holders] == [first.handle.id]
    assert [row.holder for row in view.waiting] == [second.handle.id, third.handle.id]
    await gate_of(shared, name).terminate("again")
    await first.leave()  # a release starts it too
    await until(second.inside)
    await second.leave()
    await until(third.inside)
    await third.leave()
    assert await closed(gate_of(shared, name)) == "COMPLETED"


async def test_cancelling_a_gate_changes_nothing(shared):
    name = resource()
    plan = await inside(shared, resources=(name,))
    await gate_of(shared, name).cancel()

    async def refused() -> bool:
        return (await status(gate_of(shared, name))).refused == 1

    await until(refused)
    assert (await status(gate_of(shared, name))).holders[0].holder == plan.handle.id
    await plan.leave()
    assert await closed(gate_of(shared, name)) == "COMPLETED"


@pytest.mark.slow
async def test_gates_that_end_while_they_are_asked_never_have_two_in(shared):
    name, turns, runs = resource(), 6, 4
    WORKSHOP.most = WORKSHOP.done = 0

    async def loop() -> None:
        for _ in range(turns):
            plan = await visit(shared, resources=(name,), stay=False, work=True)
            await plan.handle.result()

    await asyncio.gather(*(loop() for _ in range(runs)))
    assert (WORKSHOP.done, WORKSHOP.most) == (turns * runs, 1)
    assert await closed(gate_of(shared, name)) == "COMPLETED"


async def test_turns_under_a_rate_limit(shared):
    handle = await shared.start_workflow(
        names.GATE_WORKFLOW, {}, id=f"gate-tool-x{next(_NUMBERS)}", task_queue=names.WORKFLOW_QUEUE,
        start_signal="hold_off", start_signal_args=[{"seconds": 1}],
    )  # fmt: skip

    async def turn(key: str) -> float:
        permit = Permit(key=key, calls=2, per=1.0)
        return (await handle.execute_update("permit", permit, result_type=PermitAnswer)).wait

    waits = [await turn(key) for key in ("a", "b", "c", "a")]
    assert 0.5 < waits[0] <= 1.0
    assert waits[2] - waits[0] == pytest.approx(1.0, abs=0.5)
    assert waits[3] <= waits[0]
    assert await closed(handle) == "COMPLETED"  # when the last turn has left its window


async def test_only_the_run_itself_may_ask(shared):
    name = resource()
    plan = await visit(shared, resources=(name,), holder="plan-somebody-else")

    async def failure() -> str:
        pending = [
            item
            async for item in plan.handle.fetch_history_events()
            if item.HasField("activity_task_failed_event_attributes")
        ]
        return pending[0].activity_task_failed_event_attributes.failure.message if pending else ""

    assert "is not the workflow that asks" in await until(failure)
