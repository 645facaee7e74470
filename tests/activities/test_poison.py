"""Poison from tools: in MOCK, DRY_RUN, LIVE, a probe. Each ends as an outcome of its step that every worker can read."""

import dataclasses
from typing import Any

import pytest
from temporalio.testing import ActivityEnvironment

from airlock.activities.calls.call import CallActivities
from airlock.activities.calls.compensate import CompensateActivities
from airlock.activities.rehearsals.preview import PreviewActivities
from airlock.activities.rehearsals.rehearse import RehearseActivities
from airlock.activities.toolbox import Toolbox
from airlock.admission.policy import AgentPolicy, Policy
from airlock.plans.catalogue import Catalogue
from airlock.plans.outcome import ProbeAnswer
from airlock.plans.plan import Step
from airlock.run.live.call_messages import CallRequest, ChainRequest, ChainResult, MadeCall
from airlock.temporal.connection import DATA_CONVERTER
from airlock.wire import PreviewResult, RehearsalRequest, RehearseResult
from tests.poison import PYTHON
from tests.poison_tools import GIVEN, keeps

KEPT = {
    "99 lists", "5,000 objects", "a text of 60 KB", "line ends", "an empty key", "4,000 digits",
    "an integer beyond 64 bits",
    "a tiny number", "an odd path", "an expression", "a reference in a reference", "the placeholder",
}  # fmt: skip
"""Poison that may be kept: bounded JSON, whatever it says."""
STEP = Step(id="s", agent="a", tool="keeps", confidence=1.0)
CATALOGUE = Catalogue([keeps])
CONTRACT = CATALOGUE.contract("keeps", {})
TOOLBOX = Toolbox(CATALOGUE, Policy(agents={"*": AgentPolicy(permissions=("*",), secrets=("*",))}))


@pytest.fixture(autouse=True)
def nothing_else_given():
    GIVEN.at.clear()
    yield
    GIVEN.at.clear()


async def answer(activity: Any, request: Any, kind: type) -> Any:
    """Return what the workflow decodes of an activity's answer."""
    env = ActivityEnvironment()
    env.info = dataclasses.replace(env.info, workflow_type="PlanWorkflow", workflow_id="plan-p")
    (sent,) = await DATA_CONVERTER.encode([await env.run(activity, request)])
    assert sent.ByteSize() < 300_000
    (read,) = await DATA_CONVERTER.decode([sent], [kind])
    return read


def rehearsal() -> RehearsalRequest:
    return RehearsalRequest(plan_id="p", steps=(STEP,), contracts={"c": CONTRACT}, contract_of={"s": "c"})


@pytest.mark.parametrize("name", PYTHON)
async def test_a_mock(name):
    GIVEN.at["mock"] = PYTHON[name]()
    result = await answer(RehearseActivities(TOOLBOX).rehearse, rehearsal(), RehearseResult)
    if name in KEPT:
        assert result.failures == ()
    for failure in result.failures:
        assert "WrongShape" not in failure.error
        assert len(failure.error) <= 500


@pytest.mark.parametrize("place", ["output", "observed", "effect"])
@pytest.mark.parametrize("name", PYTHON)
async def test_a_dry_run(name, place):
    GIVEN.at[place] = PYTHON[name]()
    result = await answer(PreviewActivities(TOOLBOX).preview, rehearsal(), PreviewResult)
    (preview,) = result.previews
    if place != "effect":
        # pydantic replaces the half of a pair in a key
        assert (preview.kind == "previewed") == (name in KEPT or name == "half a surrogate pair as a key"), preview
    assert len(preview.error if preview.kind == "preview_failed" else preview.effect) <= 500


@pytest.mark.parametrize("name", PYTHON)
async def test_an_output(name):
    GIVEN.at["output"] = PYTHON[name]()
    attempt = await live()
    assert attempt.kind == "live"
    assert (not attempt.broken) == (name in KEPT | NULL | READ_AS_JSON), attempt
    assert len(attempt.broken) <= 500


@pytest.mark.parametrize("name", PYTHON)
async def test_an_undo_token(name):
    GIVEN.at["undo token"] = PYTHON[name]()
    attempt = await live()
    assert attempt.kind == ("live" if name in KEPT else "in_doubt"), attempt
    assert attempt.kind == "live" or "undo it by hand" in attempt.error


@pytest.mark.parametrize("place", ["output", "undo token", "why"])
@pytest.mark.parametrize("name", PYTHON)
async def test_a_probe(name, place):
    GIVEN.at[place] = PYTHON[name]()
    request = MadeCall(plan_id="p", step=STEP, contract=CONTRACT)
    said = await answer(CompensateActivities(TOOLBOX).probe, request, ProbeAnswer)
    if place != "why":
        assert (said.happened is True) == (name in (KEPT | NULL | READ_AS_JSON if place == "output" else KEPT)), said
    assert len(said.why) <= 500


@pytest.mark.parametrize("name", PYTHON)
async def test_an_exception(name):
    GIVEN.at["error"] = PYTHON[name]()
    attempt = await live()
    assert attempt.kind in ("failed", "again", "in_doubt")
    assert len(attempt.error) <= 500


NULL = {"NaN", "Infinity"}
"""Values that pydantic writes as null."""
READ_AS_JSON = {"a set", "numbers as keys"}
"""Python's own types that pydantic writes as JSON."""


async def live() -> Any:
    request = CallRequest(step=STEP, contract=CONTRACT)
    asked = ChainRequest(plan_id="p", calls=(request,))
    return (await answer(CallActivities(TOOLBOX).call, asked, ChainResult)).attempts[0]
