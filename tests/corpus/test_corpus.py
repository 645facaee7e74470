"""Thirty real plans through a real server and worker; what counts is the state of the APIs, read from the service."""

from collections import Counter
from typing import Any

import pytest

from airlock.client import PlanHandle
from airlock.plans.state import State
from airlock.run.outcome import Outcome
from devtools.corpus_checks import FAULTS, choose, failure_for
from devtools.corpus_run import APPROVER, Corpus, backward, failing_id, forward
from sandbox.corpus_data import CorpusPlan, load_plans
from sandbox.corpus_world import MODULE_OF, World

SEED = 7
PLANS = choose(load_plans(), 30, SEED)
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]  # 20 s on an idle machine


def directly(plan: CorpusPlan, calls: int | None = None) -> World:
    world = World(plan.classes, plan.initial_config)
    for module, method, args in list(plan.calls())[:calls]:
        world.call(module, method, args)
    return world


def files(step: str, method: str, **args: Any) -> dict[str, Any]:
    after = [f"s{int(step[1:]) - 1}"] if step != "s1" else []
    tool = f"gorilla_file_system.{method}"
    return {"id": step, "agent": "gorilla_file_system", "tool": tool, "args": args, "confidence": 0.95, "after": after}


async def submitted(corpus: Corpus, plan_id: str, *steps: dict[str, Any]) -> PlanHandle:
    body = {"classes": ["GorillaFileSystem"], "initial_config": {}}
    (await corpus.service.post(f"/worlds/{plan_id}", json=body)).raise_for_status()
    plan = {"plan_id": plan_id, "goal": "files", "requested_by": "rita", "steps": list(steps)}
    return await corpus.airlock.submit(plan)


def test_the_thirty_cover_every_api_and_every_way_to_fail() -> None:
    assert len({plan.plan_id for plan in PLANS}) == 30
    assert {module for plan in PLANS for module, _, _ in plan.calls()} == set(MODULE_OF.values())
    assert {failure_for(plan, SEED).kind for plan in PLANS} == set(FAULTS)


async def test_live_ends_in_the_state_that_calling_directly_does(corpus: Corpus) -> None:
    checked = await forward(corpus, PLANS, lambda _checked: None)
    assert [each for each in checked if each.why] == []
    assert sum(each.calls for each in checked) == sum(len(plan.plan["steps"]) for plan in PLANS)
    for plan in PLANS:
        world, found = directly(plan), await corpus.state(plan.plan_id)
        assert found["state"] == world.state(), plan.plan_id
        assert found["generators"] == world.generators(), plan.plan_id


async def test_a_failure_rolls_back_to_the_initial_state(corpus: Corpus) -> None:
    checked = await backward(corpus, PLANS, SEED, lambda _checked: None)
    assert [each for each in checked if each.why] == []
    had_moved = 0
    for plan in PLANS:
        initial = directly(plan, 0)
        assert (await corpus.state(failing_id(plan)))["state"] == initial.state(), plan.plan_id
        had_moved += directly(plan, failure_for(plan, SEED).effects).state() != initial.state()
    assert had_moved >= 15  # or there would have been little to undo
    assert had_moved == sum(each.moved for each in checked)


async def test_the_preview_says_what_can_be_known_and_nothing_else(corpus: Corpus) -> None:
    handle = await submitted(corpus, "preview", files("s1", "mkdir", dir_name="new"), files("s2", "cd", folder="new"))
    await handle.wait_for(State.AWAITING_APPROVAL)
    sealed = (await handle.preview()).sealed
    assert sealed is not None
    made, entered = (step.preview for step in sealed.steps)
    assert made is not None
    assert entered is not None
    assert made.output == entered.output == "(known after live)"
    assert "No such file or directory" in entered.effect  # now; the step before it will have made it
    assert made.observed == entered.observed == {"digest": (await observed(corpus, "preview"))}


async def observed(corpus: Corpus, plan_id: str) -> str:
    answer = await corpus.service.get(f"/worlds/{plan_id}/digest/gorilla_file_system")
    return str(answer.json()["digest"])


async def test_arguments_the_api_does_not_take_never_go_live(corpus: Corpus) -> None:
    handle = await submitted(corpus, "wrong", files("s1", "mkdir", name="new"), files("s2", "ls"))
    result = await handle.result()
    assert (result.outcome, result.live) == (Outcome.REHEARSED, ())
    assert "mkdir" in result.steps[0].reasons[0]


async def test_a_state_that_a_stranger_moved_needs_a_new_approval(corpus: Corpus) -> None:
    handle = await submitted(corpus, "stale", files("s1", "mkdir", dir_name="a"), files("s2", "mkdir", dir_name="b"))
    first = await handle.wait_for(State.AWAITING_APPROVAL)
    theirs = {"module": "gorilla_file_system", "method": "mkdir", "args": {"dir_name": "theirs"}}
    (await corpus.service.post("/worlds/stale/call", json=theirs)).raise_for_status()
    assert (await handle.decide("approve", by=APPROVER, digest=first.digest)).accepted
    second = first
    async for second in handle.follow():
        if second.state is State.AWAITING_APPROVAL and second.digest != first.digest:
            break
    assert Counter(step.status for step in second.steps) == {"waiting": 2}
    assert (await handle.decide("approve", by=APPROVER, digest=second.digest)).accepted
    assert (await handle.result()).outcome is Outcome.COMPLETED
    listed = {"module": "gorilla_file_system", "method": "ls", "args": {}}
    answer = await corpus.service.post("/worlds/stale/call", json=listed)
    assert set(answer.json()["result"]["current_directory_content"]) == {"theirs", "a", "b"}
