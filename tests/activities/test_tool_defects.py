"""A defect of a tool function: one traceback in the worker's log, its place in the record, a secret in neither."""

import dataclasses
import inspect
import json
import sys

import httpx
import pytest
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from airlock.activities.calls.call import CallActivities
from airlock.activities.calls.compensate import CompensateActivities
from airlock.activities.rehearsals import rehearsal_tries
from airlock.activities.rehearsals.look_at_undo import UndoLookActivities
from airlock.activities.rehearsals.preview import PreviewActivities
from airlock.activities.rehearsals.rehearse import RehearseActivities
from airlock.activities.toolbox import Toolbox
from airlock.admission.policy import AgentPolicy, Policy
from airlock.base.errors import InDoubt, Stale, ToolFailed
from airlock.plans.catalogue import Catalogue
from airlock.plans.plan import Step
from airlock.plans.tool import tool
from airlock.plans.tool_call import Preview, Probe, ToolCall
from airlock.run.live.call_messages import CallRequest, ChainRequest, MadeCall, UndoLookRequest
from airlock.wire import RehearsalRequest
from tests.activities.test_preview import Anything

SECRET = "tok_live_EXAMPLE_0123456789"
GIVEN: list[BaseException] = []


def fail(call: ToolCall) -> None:
    token = call.secret("TOKEN") if call.mode.value != "MOCK" else ""
    error = GIVEN[0]
    if isinstance(error, KeyError):
        raise KeyError(f"abc {token}")  # the place
    raise error


@tool(name="broken", risk="MEDIUM", reversibility="compensable", max_attempts=1)
async def broken(args: Anything, call: ToolCall) -> dict[str, str]:
    fail(call)
    return {}


@broken.mock
async def _mock(args: Anything, call: ToolCall) -> dict[str, str]:
    fail(call)
    return {}


@broken.dry_run
def _dry_run(args: Anything, call: ToolCall) -> Preview:
    fail(call)
    return Preview(effect="none")


@broken.compensate
def _compensate(args: Anything, call: ToolCall) -> None:
    fail(call)


@broken.probe
async def _probe(args: Anything, call: ToolCall) -> Probe:
    fail(call)
    return Probe(happened=None)


@broken.undo_check
async def _undo_check(args: Anything, call: ToolCall) -> Preview:
    fail(call)
    return Preview(effect="none")


LINES, FIRST = inspect.getsourcelines(fail)
LINE = FIRST + next(number for number, line in enumerate(LINES) if "# the place" in line)
PLACE = f"(test_tool_defects.py, line {LINE})"
STEP = Step(id="s", agent="a", tool="broken", confidence=1.0)
CATALOGUE = Catalogue([broken])
CONTRACT = CATALOGUE.contract("broken", {})
TOOLBOX = Toolbox(CATALOGUE, Policy(agents={"*": AgentPolicy(permissions=("*",), secrets=("*",))}))
REHEARSAL = RehearsalRequest(plan_id="p", steps=(STEP,), contracts={"c": CONTRACT}, contract_of={"s": "c"})
MADE = MadeCall(plan_id="p", step=STEP, contract=CONTRACT)
CALL = ChainRequest(plan_id="p", calls=(CallRequest(step=STEP, contract=CONTRACT, attempt=3),))
FUNCTIONS = {
    "mock": (RehearseActivities(TOOLBOX).rehearse, REHEARSAL),
    "dry run": (PreviewActivities(TOOLBOX).preview, REHEARSAL),
    "live call, attempt 3": (CallActivities(TOOLBOX).call, CALL),
    "undo, attempt 1": (CompensateActivities(TOOLBOX).compensate, MADE),
    "probe": (CompensateActivities(TOOLBOX).probe, MADE),
    "undo check": (UndoLookActivities(TOOLBOX).look_at_undo, UndoLookRequest(plan_id="p", calls=(MADE,))),
}


@pytest.fixture(autouse=True)
def _secret(monkeypatch):
    monkeypatch.setenv("AIRLOCK_SECRET_TOKEN", SECRET)
    monkeypatch.setattr(rehearsal_tries, "PAUSE", 0.001)
    yield
    GIVEN.clear()


async def record_of(name):
    """Return what the run's history keeps of a failed function, as text."""
    function, request = FUNCTIONS[name]
    env = ActivityEnvironment()
    env.info = dataclasses.replace(env.info, workflow_type="PlanWorkflow", workflow_id="plan-p")
    try:
        answer = await env.run(function, request)
    except ApplicationError as error:  # a compensation is retried by Temporal
        return str(error)
    return json.dumps(answer.model_dump(mode="json"))


def logged(caplog):
    return [record.getMessage() for record in caplog.records if record.name == "airlock.tool"]


@pytest.mark.parametrize("name", FUNCTIONS)
async def test_a_defect_is_logged_once_and_its_place_is_recorded(name, caplog):
    GIVEN.append(KeyError())
    kept = await record_of(name)
    (said,) = logged(caplog)
    assert "KeyError: 'abc" in kept
    assert PLACE in kept
    assert said.startswith(f"plan p, step s, {name}: KeyError: 'abc")
    assert f'test_tool_defects.py", line {LINE}, in fail' in said
    assert said.count("Traceback (most recent call last):") == 1
    assert SECRET not in kept + said
    if name != "mock":  # a mock gets no secret
        assert "(secret TOKEN)" in kept
        assert "(secret TOKEN)" in said


@pytest.mark.parametrize(
    "error",
    [ToolFailed("no"), Stale("moved"), InDoubt("lost"), TimeoutError(), ConnectionResetError(), httpx.ReadTimeout("slow")],
)
@pytest.mark.parametrize("name", FUNCTIONS)
async def test_what_a_tool_or_its_target_reports_is_no_defect(name, error, caplog):
    GIVEN.append(error)
    assert "test_tool_defects.py" not in await record_of(name)
    assert logged(caplog) == []


@pytest.mark.parametrize("name", FUNCTIONS)
async def test_an_exit_of_a_tool_is_a_defect(name, caplog):
    GIVEN.append(SystemExit(3))
    kept = await record_of(name)
    (said,) = logged(caplog)
    assert "the tool ended with SystemExit (test_tool_defects.py, line " in kept
    assert "in fail" in said


async def test_the_place_stays_where_the_text_is_cut_and_one_record_stays_one(caplog):
    GIVEN.append(ValueError("\x1b[2Along\n" + "long\n" * 5_000))
    kept = await record_of("live call, attempt 3")
    assert "test_tool_defects.py, line" in kept
    (said,) = logged(caplog)
    assert sum(line.startswith("long") for line in said.splitlines()) == 0
    assert "\x1b" not in said  # it could move the cursor of a terminal that shows the log


async def test_the_causes_are_logged_and_a_recursion_is_bounded(caplog):
    def recurse():
        return recurse()

    try:
        try:
            recurse()
        except RecursionError as cause:
            raise ValueError("from " + SECRET) from cause
    except ValueError as error:
        GIVEN.append(error)
    await record_of("live call, attempt 3")
    (said,) = logged(caplog)
    assert SECRET not in said
    first, then = said.split("\nwhich led to:\n")
    assert "RecursionError" in first
    assert "ValueError: from (secret TOKEN)" in then
    assert len(said.splitlines()) < sys.getrecursionlimit() // 2


class Ended(BaseException):
    """An end of a library's own, such as that of a cancel scope."""


@pytest.mark.parametrize("name", FUNCTIONS)
async def test_an_end_of_any_class_is_a_defect_and_shows_no_secret(name, caplog):
    GIVEN.append(Ended(SECRET))
    kept = await record_of(name)
    (said,) = logged(caplog)
    assert "the tool ended with Ended (test_tool_defects.py, line " in kept
    assert "in fail" in said
    assert SECRET not in kept
    if name != "mock":  # a mock gets no secret
        assert SECRET not in said


@pytest.mark.parametrize("ends", [False, True])
async def test_each_exception_of_a_group_is_named_and_logged(ends, caplog):
    def raised(error):
        try:
            raise error
        except BaseException as caught:  # noqa: BLE001
            return caught

    inner = ExceptionGroup("in", [raised(KeyError(SECRET)), raised(ValueError("second"))])
    others = [raised(LookupError(number)) for number in range(20)]
    error = BaseExceptionGroup("out", [inner, *others, *([Ended()] if ends else [])])
    error.add_note("a note with " + SECRET)
    GIVEN.append(error)
    kept = await record_of("live call, attempt 3")
    (said,) = logged(caplog)
    assert f"test_tool_defects.py, line {raised.__code__.co_firstlineno + 2}" in kept
    assert SECRET not in kept + said
    assert said.index("\nValueError: second") < said.index("\na note with (secret TOKEN)")
    assert "KeyError: '(secret TOKEN)'" in said
    assert said.count("in raised") == 8
    if not ends:
        assert "22 sub-exceptions" not in kept
        assert "KeyError: '(secret TOKEN)'; ValueError: second; LookupError: 0 (" in kept
