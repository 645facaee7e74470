"""Mocks, dry runs, probes, undo checks and compensations whose target does not answer now: they are asked again."""

import asyncio
import dataclasses
from typing import Any

import httpx
import pytest
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from airlock.activities.calls.compensate import CompensateActivities
from airlock.activities.options import PROBE_ATTEMPTS, TRIES
from airlock.activities.rehearsals import rehearsal_tries
from airlock.activities.rehearsals.look_at_undo import UndoLookActivities
from airlock.activities.rehearsals.preview import PreviewActivities
from airlock.activities.rehearsals.rehearse import RehearseActivities
from airlock.activities.toolbox import Toolbox
from airlock.admission.policy import Policy
from airlock.base.errors import InDoubt, ToolFailed
from airlock.plans.catalogue import Catalogue
from airlock.plans.contract import Mode
from airlock.plans.plan import Step
from airlock.plans.tool import tool
from airlock.plans.tool_call import Preview, Probe, ToolCall
from airlock.run.live.call_messages import MadeCall, UndoLookRequest
from airlock.wire import RehearsalRequest
from tests.poison_tools import Anything
from tests.processes.harness import until

BUSY = ToolFailed("450 greylisted", retry=True)
IN_AN_HOUR = ToolFailed("later", retry=True, after=3_600.0)
TROUBLE: dict[str, list[Exception]] = {}
ASKED: list[str] = []


def ask(call: ToolCall) -> None:
    """Fail as ordered for this step."""
    ASKED.append(call.step_id)
    if left := TROUBLE.get(call.step_id):
        raise left.pop(0)


@tool(name="far", risk="MEDIUM", reversibility="compensable", timeout=1)
async def far(args: Anything, call: ToolCall) -> dict[str, Any]:
    return {}


@far.dry_run
async def _look(args: Anything, call: ToolCall) -> Preview:
    ask(call)
    return Preview(effect="reaches it")


@far.mock
async def _mock(args: Anything, call: ToolCall) -> dict[str, Any]:
    ask(call)
    return {}


@far.compensate
async def _undo(args: Anything, call: ToolCall) -> None:
    ask(call)


@far.probe
async def _probe(args: Anything, call: ToolCall) -> Probe:
    ask(call)
    return Probe(happened=True, output={})


@far.undo_check
async def _undo_check(args: Anything, call: ToolCall) -> Preview:
    ask(call)
    return Preview(effect="can be undone")


CATALOGUE = Catalogue([far])
BOX = Toolbox(CATALOGUE, Policy())
CONTRACT = CATALOGUE.contract("far", {})


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rehearsal_tries, "PAUSE", 0.001)
    TROUBLE.clear()
    ASKED.clear()


def environment(attempt: int = 1) -> ActivityEnvironment:
    env = ActivityEnvironment()
    env.info = dataclasses.replace(env.info, workflow_type="PlanWorkflow", workflow_id="plan-p", attempt=attempt)
    return env


def step(name: str = "s", *after: str) -> Step:
    return Step(id=name, agent="a", tool="far", confidence=1.0, after=after)


async def rehearsed(mode: Mode, *steps: Step, env: ActivityEnvironment | None = None) -> Any:
    request = RehearsalRequest(
        plan_id="p", steps=steps, contracts={"c": CONTRACT}, contract_of={each.id: "c" for each in steps}
    )
    activity = PreviewActivities(BOX).preview if mode is Mode.DRY_RUN else RehearseActivities(BOX).rehearse
    return await (env or environment()).run(activity, request)


@pytest.mark.parametrize("mode", [Mode.MOCK, Mode.DRY_RUN])
@pytest.mark.parametrize(
    ("error", "times", "asked", "ends"),
    [
        (BUSY, 1, 2, "worked"), (BUSY, TRIES - 1, TRIES, "worked"), (BUSY, TRIES, TRIES, "unlooked"),
        (InDoubt("the answer was lost"), 1, 2, "worked"), (httpx.ReadTimeout("slow"), 1, 2, "worked"),
        (ConnectionResetError(), TRIES, TRIES, "unlooked"), (IN_AN_HOUR, 1, 1, "unlooked"),
        (ToolFailed("no such contact"), 1, 1, "failed"), (RuntimeError("a bug"), 1, 1, "failed"),
    ],
    ids=str,
)  # fmt: skip
async def test_what_says_that_it_could_not_look_is_looked_at_again(
    mode: Mode, error: Exception, times: int, asked: int, ends: str
) -> None:
    TROUBLE["s"] = [error] * times
    result = await rehearsed(mode, step())
    failures = result.failures if mode is Mode.MOCK else [each for each in result.previews if each.kind == "preview_failed"]
    assert len(ASKED) == asked
    assert [each.unlooked for each in failures] == {"worked": [], "failed": [False], "unlooked": [True]}[ends]


async def test_a_dry_run_that_took_all_its_time_has_not_looked() -> None:
    TROUBLE["s"] = [TimeoutError()]
    (preview,) = (await rehearsed(Mode.DRY_RUN, step())).previews
    assert (preview.unlooked, preview.error, len(ASKED)) == (True, "it took longer than 1 s", 1)


async def test_once_a_step_has_no_answer_no_further_step_is_looked_at() -> None:
    TROUBLE["a"] = [BUSY] * TRIES
    result = await rehearsed(Mode.DRY_RUN, step("a"), step("b"), step("c", "b"))
    assert [(each.step, each.kind) for each in result.previews] == [("a", "preview_failed"), ("b", "previewed")]
    assert "c" not in ASKED


@pytest.mark.parametrize("mode", [Mode.MOCK, Mode.DRY_RUN])
async def test_an_activity_that_is_stopped_does_not_wait_for_the_next_try(
    mode: Mode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rehearsal_tries, "PAUSE", 600.0)
    TROUBLE["s"] = [BUSY]
    env = environment()
    running = asyncio.ensure_future(rehearsed(mode, step(), env=env))
    await until(lambda: ASKED, "the first try")
    env.cancel()
    async with asyncio.timeout(120):
        if mode is Mode.MOCK:
            with pytest.raises(ApplicationError, match="stopped before every step was mocked"):
                await running
        else:
            result = await running
            assert (result.previews, result.remaining) == ((), ("s",)), "it is asked for again, by another activity"


MADE = MadeCall(plan_id="p", step=step(), contract=CONTRACT, undo={"id": 1})


@pytest.mark.parametrize("error", [BUSY, InDoubt("lost"), ConnectionResetError()], ids=str)
async def test_a_probe_that_gets_no_answer_is_asked_again_and_tells_nothing_in_the_end(error: Exception) -> None:
    TROUBLE["s"] = [error] * 2
    with pytest.raises(ApplicationError):
        await environment(PROBE_ATTEMPTS - 1).run(CompensateActivities(BOX).probe, MADE)
    answer = await environment(PROBE_ATTEMPTS).run(CompensateActivities(BOX).probe, MADE)
    assert answer.happened is None
    assert (await environment().run(CompensateActivities(BOX).probe, MADE)).happened is True


async def test_a_probe_that_knows_no_more_than_that_it_happened_settles_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    async def found(args: Anything, call: ToolCall) -> Probe:
        return Probe(happened=True, why="it is there")

    monkeypatch.setitem(far.functions, "probe", found)
    answer = await environment().run(CompensateActivities(BOX).probe, MADE)
    assert (answer.happened, answer.output, answer.why) == (True, None, "it is there")


@pytest.mark.parametrize("error", [ToolFailed("no"), TimeoutError(), RuntimeError("a bug")], ids=str)
async def test_a_probe_that_fails_otherwise_is_asked_once(error: Exception) -> None:
    TROUBLE["s"] = [error]
    assert (await environment().run(CompensateActivities(BOX).probe, MADE)).happened is None


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (ToolFailed("429", retry=True, after=7_200.0), 7_200.0), (InDoubt("503", after=30.0), 30.0), (InDoubt("500"), None),
        (ToolFailed("429", retry=True, after=90_000.0), "parked"), (ToolFailed("422"), "parked"),
    ],
    ids=str,
)  # fmt: skip
async def test_a_compensation_is_repeated_not_before_its_target_asks(error: Exception, seconds: Any) -> None:
    TROUBLE["s"] = [error]
    if seconds == "parked":
        assert (await environment().run(CompensateActivities(BOX).compensate, MADE)).kind == "undo_failed"
        return
    with pytest.raises(ApplicationError) as raised:
        await environment().run(CompensateActivities(BOX).compensate, MADE)
    delay = raised.value.next_retry_delay
    assert (delay.total_seconds() if delay else None) == seconds


@pytest.mark.parametrize(
    ("error", "times", "looked", "failed"),
    [(BUSY, 1, True, False), (BUSY, TRIES, False, True), (ToolFailed("it was changed since"), 1, True, True)],
    ids=str,
)
async def test_an_undo_check_without_an_answer_says_nothing_about_the_undo(
    error: Exception, times: int, looked: bool, failed: bool
) -> None:
    TROUBLE["s"] = [error] * times
    request = UndoLookRequest(plan_id="p", calls=(MADE,))
    (look,) = (await environment().run(UndoLookActivities(BOX).look_at_undo, request)).looks
    assert (look.looked, bool(look.error)) == (looked, failed)


async def test_a_worker_without_the_tool_says_nothing_about_the_undo() -> None:
    """While a deployment rolls, a worker of another generation may have it, and makes the undo."""
    bare = Toolbox(Catalogue([]), Policy())
    request = UndoLookRequest(plan_id="p", calls=(MADE,))
    (look,) = (await environment().run(UndoLookActivities(bare).look_at_undo, request)).looks
    assert not look.looked
    assert "this worker's catalogue has no tool 'far'" in look.error
