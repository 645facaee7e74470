"""Mocks, dry runs, undo checks and probes for a worker of another generation: handed back before anything is looked at."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from pydantic import BaseModel
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from airlock import Preview, Probe, Tool, ToolCall, tool
from airlock.activities.calls.compensate import CompensateActivities
from airlock.activities.rehearsals.look_at_undo import UndoLookActivities
from airlock.activities.rehearsals.preview import PreviewActivities
from airlock.activities.rehearsals.rehearse import RehearseActivities
from airlock.activities.toolbox import Toolbox
from airlock.admission.policy import AgentPolicy, Policy
from airlock.plans.catalogue import Catalogue
from airlock.plans.outcome import PreviewFailed
from airlock.plans.plan import Step
from airlock.run.handed_back import ELSEWHERE, SINCE_EPOCH
from airlock.run.live.call_messages import MadeCall, UndoLookRequest
from airlock.wire import RehearsalRequest
from tests.activities.test_rehearsal_tries import MADE, environment

POLICY = Policy(agents={"*": AgentPolicy(permissions=("*",))})
LOOKED: list[str] = []


class Number(BaseModel):
    value: int = 0


def reader(name: str, *, probe: bool = False, variant: Callable[..., Any] | None = None) -> Tool:
    @tool(name=name, risk="LOW", reversibility="read_only")
    async def live(args: Number, call: ToolCall) -> dict[str, int]:
        return {"value": args.value}

    @live.mock
    async def mock(args: Number, call: ToolCall) -> dict[str, int]:
        LOOKED.append(call.step_id)
        return {"value": args.value}

    @live.dry_run
    async def look(args: Number, call: ToolCall) -> Preview:
        LOOKED.append(call.step_id)
        return Preview(effect="Would read.", output={"value": args.value})

    if probe:

        @live.probe
        async def asked(args: Number, call: ToolCall) -> Probe:
            return Probe(happened=False)

    if variant:
        live.variant(variant)
    return live


def breaks(args: Any) -> dict[str, Any]:
    raise ArithmeticError("this generation cannot compute it")


def other_for_nine(args: Any) -> dict[str, Any]:
    return {"timeout": 9.0} if args["value"] == 9 else {}


PLANNED = Catalogue([reader("one"), reader("two")])
OTHERS = {
    "lacks the tool": (Catalogue([reader("one")]), "step 'c': this worker's catalogue has no tool 'two'"),
    "another timeout": (
        Catalogue([reader("one"), reader("two")], overrides={"two": {"timeout": 61.0}}),
        "step 'c': the contract of two on this worker is not the one that the plan was admitted with: it differs in timeout",
    ),
    "cannot compute it": (
        Catalogue([reader("one"), reader("two", variant=breaks)]),
        "step 'c': two has no contract for the arguments of step 'c' on this worker",
    ),
    "another variant": (
        Catalogue([reader("one", variant=other_for_nine), reader("two")]),
        "step 'b': the contract of one on this worker is not the one that the plan was admitted with: it differs in timeout",
    ),
}
ACTIVITIES: dict[str, Callable[[Toolbox], Callable[[RehearsalRequest], Awaitable[Any]]]] = {
    "mock": lambda box: RehearseActivities(box).rehearse,
    "dry run": lambda box: PreviewActivities(box).preview,
}


def asked(epoch: int = SINCE_EPOCH) -> RehearsalRequest:
    named = (("a", "one", 1), ("b", "one", 9), ("c", "two", 1))
    steps = [Step(id=name, agent="a", tool=used, args={"value": value}, confidence=1.0) for name, used, value in named]
    contracts = {step.id: PLANNED.contract(step.tool, step.args) for step in steps}
    return RehearsalRequest(
        plan_id="p", steps=tuple(steps), epoch=epoch,
        contracts={contract.digest(): contract for contract in contracts.values()},
        contract_of={step: contract.digest() for step, contract in contracts.items()},
    )  # fmt: skip


@pytest.mark.parametrize("stage", ACTIVITIES)
@pytest.mark.parametrize("other", OTHERS)
async def test_a_rehearsal_is_handed_back_before_anything_is_looked_at(stage: str, other: str) -> None:
    LOOKED.clear()
    found, why = OTHERS[other]
    with pytest.raises(ApplicationError) as raised:
        await ActivityEnvironment().run(ACTIVITIES[stage](Toolbox(found, POLICY)), asked())
    assert (raised.value.type, raised.value.non_retryable, raised.value.message) == (ELSEWHERE, True, why)
    assert LOOKED == []


@pytest.mark.parametrize("stage", ACTIVITIES)
async def test_a_worker_with_the_contracts_of_the_plan_rehearses_it(stage: str) -> None:
    LOOKED.clear()
    await ActivityEnvironment().run(ACTIVITIES[stage](Toolbox(PLANNED, POLICY)), asked())
    assert sorted(LOOKED) == ["a", "b", "c"]


async def test_the_workflow_of_an_earlier_plan_gets_the_failure_it_knows() -> None:
    found, _ = OTHERS["lacks the tool"]
    result = await ActivityEnvironment().run(PreviewActivities(Toolbox(found, POLICY)).preview, asked(SINCE_EPOCH - 1))
    assert [preview.step for preview in result.previews if isinstance(preview, PreviewFailed)] == ["c"]


async def test_an_undo_check_is_handed_back_where_the_workflow_asks_again() -> None:
    bare = UndoLookActivities(Toolbox(Catalogue([]), POLICY))
    with pytest.raises(ApplicationError, match="this worker's catalogue has no tool 'far'") as raised:
        await environment().run(bare.look_at_undo, UndoLookRequest(plan_id="p", calls=(MADE,), hand_back=True))
    assert raised.value.type == ELSEWHERE


@pytest.mark.parametrize(("has_probe", "again"), [(True, True), (False, False)])
async def test_a_probe_that_another_worker_has_is_asked_for_again(has_probe: bool, again: bool) -> None:
    contract = reader("one", probe=has_probe).contract()
    step = Step(id="s", agent="a", tool="one", args={"value": 1}, confidence=1.0)
    probe = CompensateActivities(Toolbox(Catalogue([reader("one")]), POLICY)).probe
    made = MadeCall(plan_id="p", step=step, contract=contract)
    if again:
        with pytest.raises(ApplicationError, match="one has no probe on this worker"):
            await environment().run(probe, made)
        return
    assert (await environment().run(probe, made)).happened is None
