"""A role without a worker is named, and what the server refuses about a plan is not blamed on it."""

import asyncio
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflow.v1 import WorkflowExecutionInfo
from temporalio.common import SearchAttributeKey, SearchAttributePair, TypedSearchAttributes
from temporalio.service import RPCError

from airlock.activities.toolbox import Toolbox
from airlock.base import names
from airlock.cli.missing_workers import missing_workers, with_workers
from airlock.client import Airlock
from airlock.client.errors import NoAnswer
from airlock.client.gate_status import read_gate
from airlock.client.listing import count_plans, list_plans, summary_of
from airlock.client.patience import answered
from airlock.client.pollers import QUEUES_OF, last_poll
from airlock.client.visibility import MAX_ATTRIBUTE, attributes_of
from airlock.plans.plan import Plan
from airlock.plans.state import State
from airlock.worker.roles import build_workers
from tests.running import running
from tests.workflows.conftest import POLICY, approved, awaiting, catalogue, namespace, step, until

_STATE = SearchAttributeKey.for_keyword(names.ATTRIBUTE_STATE)
AGENT = "https://agents.acme.example/teams/onboarding/agents/worker-"


async def test_a_plan_without_a_live_worker_says_so_until_one_comes(dev_server: Any, plan: Any) -> None:
    client = await namespace(dev_server.client, "no-live-worker")
    toolbox = Toolbox(catalogue(), POLICY)
    handle = Airlock(client).plan("unheard")
    found = await missing_workers(handle, *QUEUES_OF)
    assert [sentence.partition(":")[0] for sentence in found] == [
        "no orchestrate worker", "no rehearse worker", "no live worker",
    ]  # fmt: skip
    async with running([each for role in ("orchestrate", "rehearse") for each in build_workers(client, toolbox, role)]):
        handle = await Airlock(client).submit(plan(step("s", "put", key="k", value=1)))
        status, missing = await with_workers(handle, await awaiting(handle))
        assert missing == (
            "no live worker: no worker serves airlock-permit, airlock-live, airlock-undo; "
            "start one: airlock-worker --role live",
        )
        await approved(handle)
        status, _ = await with_workers(handle, await handle.wait_for(State.LIVE))
        assert status.waits_for.startswith("a live worker: no worker serves airlock-")
        # an entry alone: the call is asked for, and no worker takes it
        live = build_workers(client, toolbox, "live")
        entries = [each for each in live if each.task_queue == names.PERMIT_QUEUE]
        async with running(entries):
            called = await until(lambda: _with_a_call(handle))

            async def found_missing() -> bool:
                """Temporal lists a worker a moment after it has begun to poll."""
                status, missing = await with_workers(handle, called)
                assert [each.status for each in status.steps] == ["scheduled"]
                said = "no live worker: no worker serves airlock-live, airlock-undo; start one: airlock-worker --role live"
                return missing == (said,) and (
                    status.waits_for == "a live worker: no worker serves airlock-live; scheduled: s"
                )

            await until(found_missing)
            async with running([each for each in live if each not in entries]):
                assert (await handle.result()).outcome == "completed"
                assert await missing_workers(handle, *QUEUES_OF) == ()


async def _with_a_call(handle: Any) -> Any:
    status = await handle.status()
    return status if status.in_flight else None


async def test_names_longer_than_the_server_takes_are_left_out_of_the_index(airlock: Airlock, plan: Any) -> None:
    steps = [step(f"s{number}", "look", agent=f"{AGENT}{number:03}") for number in range(32)]
    document = {**plan(*steps), "goal": "目標" * 900, "requested_by": "依頼者" * 60}
    handle = await airlock.submit(document)
    assert (await awaiting(handle)).state is State.AWAITING_APPROVAL
    indexed = (await handle.facts()).summary.agents
    assert 20 < len(indexed) < 32
    assert set(indexed) < {each["agent"] for each in steps}
    await handle.decide("abort", by="alice", reason="enough")


def test_a_run_that_never_was_a_plan_is_listed_with_no_agents() -> None:
    assert summary_of(WorkflowExecutionInfo(execution=WorkflowExecution(workflow_id="plan-junk"))).agents == ()


def test_an_index_of_agents_is_bounded_in_any_alphabet() -> None:
    for name in ("agent-{}", AGENT + "{}", "エージェント" * 30 + "{}", "🦊" * 100 + "{}"):
        steps = [{"id": f"s{n}", "agent": name.format(n), "tool": "t", "confidence": 1.0} for n in range(300)]
        plan = Plan.model_validate({"plan_id": "p", "requested_by": "me", "steps": steps})
        (agents,) = [pair.value for pair in attributes_of(plan) if pair.key.name == names.ATTRIBUTE_AGENTS]
        assert 0 < len(agents) <= 100
        assert len(json.dumps(list(agents), separators=(",", ":")).encode()) <= MAX_ATTRIBUTE


async def test_a_list_knows_how_many_plans_it_leaves_out(airlock_with: Any, plan: Any, tmp_path: Path) -> None:
    airlock = await airlock_with()
    for _ in range(3):
        last = await airlock.submit(plan(step("s", "put", key="k", value=1)))
        await awaiting(last)
    for foreign in (last.plan_id, "gate-other"):  # it would be listed by the name of the plan, in a state of its own
        attributes = TypedSearchAttributes([SearchAttributePair(_STATE, State.AWAITING_APPROVAL.value)])
        await airlock.client.start_workflow(
            names.PLAN_WORKFLOW, id=foreign, task_queue="mallory", search_attributes=attributes
        )
    await until(lambda: _seen(airlock, names.PLAN_WORKFLOW, 5))
    await until(lambda: _counted(airlock, 3))
    assert len(await list_plans(airlock.client, state=State.AWAITING_APPROVAL, limit=2)) == 2
    assert await count_plans(airlock.client) == 3
    assert await count_plans(airlock.client, state=State.LIVE) == 0


async def _seen(airlock: Airlock, kind: str, number: int) -> bool:
    return (await airlock.client.count_workflows(f"WorkflowType = '{kind}'")).count == number


async def _counted(airlock: Airlock, number: int) -> bool:
    return await count_plans(airlock.client, state=State.AWAITING_APPROVAL) == number


async def test_a_worker_that_polls_is_busy_and_not_away(airlock: Airlock, plan: Any) -> None:
    handle = await airlock.submit(plan(step("s", "put", key="k", value=1)))
    await awaiting(handle)
    # as on a busy machine: three times without the time for an answer
    limits = iter([timedelta(microseconds=1)] * 3 + [timedelta(seconds=60)])
    told = await answered(airlock.client, lambda: handle.workflow.query("status", rpc_timeout=next(limits)), patient=True)
    assert told["plan_id"] == handle.plan_id
    assert list(limits) == []
    handle.patient = True
    assert (await handle.status()).plan_id == handle.plan_id
    with pytest.raises(NoAnswer):
        await read_gate(airlock.client, names.LIVE_GATE, 0.000001)
    asking = asyncio.create_task(read_gate(airlock.client, names.LIVE_GATE, 0.000001, patient=True))
    done, _ = await asyncio.wait({asking}, timeout=0.5)
    assert not done, "a worker polls, so the gate is asked again"
    asking.cancel()
    await handle.decide("abort", by="alice", reason="enough")


async def test_a_worker_that_stops_in_order_is_gone_at_once_and_another_one_is_there(dev_server: Any, plan: Any) -> None:
    client = await namespace(dev_server.client, "gone-in-order")
    toolbox = Toolbox(catalogue(), POLICY)
    async with running(build_workers(client, toolbox)):
        assert await until(lambda: last_poll(client))
    assert await last_poll(client) is None  # its last poll is seconds old, and would count for more than a minute
    handle = await Airlock(client).submit(plan(step("s", "put", key="k", value=1)))
    handle.patient = True
    with pytest.raises(NoAnswer, match="no worker polls"):
        await handle.status()
    async with running(build_workers(client, toolbox)):  # of the same name
        assert await until(lambda: last_poll(client))
        assert (await awaiting(handle)).digest is not None


async def test_a_question_to_no_worker_ends(dev_server: Any, plan: Any) -> None:
    client = await namespace(dev_server.client, "never-a-worker")
    handle = await Airlock(client).submit(plan(step("s", "put", key="k", value=1)))
    asked: list[int] = []

    async def ask() -> Any:
        asked.append(1)
        return await handle.workflow.query("status", rpc_timeout=timedelta(milliseconds=200))

    with pytest.raises(RPCError):
        await answered(client, ask, patient=True)
    assert len(asked) == 1
