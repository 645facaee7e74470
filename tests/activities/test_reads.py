"""The activity `read` by itself: what its own worker refuses, whatever the request says."""

import dataclasses
from typing import Any

import pytest
from temporalio.testing import ActivityEnvironment

from airlock.activities.calls.call import CallActivities
from airlock.activities.calls.read import ReadActivities
from airlock.activities.entry import EntryActivities
from airlock.activities.gates import GateActivities
from airlock.activities.toolbox import Toolbox
from airlock.admission.examination import examine
from airlock.base import names
from airlock.plans.catalogue import Catalogue
from airlock.plans.tool import tool
from airlock.plans.tool_call import ToolCall
from airlock.run.live.call_messages import CallRequest
from airlock.run.live.read_lane import begin_reads, gate_question
from airlock.run.live.read_messages import ReadRequest
from airlock.run.rehearsal import begin_rehearsal
from airlock.run.state import Run
from tests.core.build import NOW, Free, plan, policy, step

LANE = policy(read_lane=True)
CALLED: list[dict[str, Any]] = []


@tool(name="read", risk="LOW", reversibility="read_only")
def read(args: Free, _call: ToolCall) -> dict[str, Any]:
    """Read it."""
    CALLED.append(args.model_dump())
    return {"found": 1}


@tool(name="other", risk="LOW", reversibility="read_only")
def other(args: Free, _call: ToolCall) -> dict[str, Any]:
    """Read something else."""
    CALLED.append(args.model_dump())
    return {"found": 2}


TOOLBOX = Toolbox(Catalogue([read, other]), LANE)


@pytest.fixture
def activities(monkeypatch: pytest.MonkeyPatch) -> ReadActivities:
    async def open_gate(*_: Any) -> str:
        return ""

    CALLED.clear()
    monkeypatch.setattr(GateActivities, "let_pass", open_gate)
    monkeypatch.setattr("airlock.activities.calls.read.activity.client", lambda: None)
    entry = EntryActivities(TOOLBOX)
    return ReadActivities(TOOLBOX, entry, CallActivities(TOOLBOX, entry=entry))


def request(**more: Any) -> ReadRequest:
    proposed = plan(step("a", "read", args={"key": "k"}), step("b", "read", args={"key": {"$ref": "a.found"}}))
    run = Run(plan=proposed, submitted_at=NOW, since=NOW)
    begin_rehearsal(run, admitted_by(proposed))
    steps = ("a", "b")
    contracts = run.contracts()
    calls = tuple(
        CallRequest(step=run.step(name), contract=contracts.contract(name), epoch=contracts.epoch) for name in steps
    )
    evidence = begin_reads(run, steps, NOW)
    made = ReadRequest(
        plan_id="p-1", holder="plan-p-1", execution="", request="read:1", evidence=evidence,
        live=gate_question(run, steps), calls=calls, parents={"a": (), "b": ("a",)},
    )  # fmt: skip
    return made.model_copy(update=more)


def admitted_by(proposed: Any) -> Any:
    found = examine(proposed, TOOLBOX.catalogue, LANE).admitted
    assert found is not None
    return found


async def answer(activities: ReadActivities, asked: ReadRequest) -> Any:
    env = ActivityEnvironment()
    env.info = dataclasses.replace(
        env.info, workflow_type=names.PLAN_WORKFLOW, workflow_id="plan-p-1", workflow_namespace="default"
    )
    return await env.run(activities.read, asked)


async def test_reads_are_made_in_their_order_and_hand_on_what_they_returned(activities: ReadActivities) -> None:
    result = await answer(activities, request())
    assert [(each.step, each.made.output) for each in result.reads] == [("a", {"found": 1}), ("b", {"found": 1})]
    assert CALLED == [{"key": "k"}, {"key": 1}]
    assert all(each.read.at and each.read.digest for each in result.reads)


def changed(call: CallRequest, **more: Any) -> CallRequest:
    return call.model_copy(update={"step": call.step.model_copy(update=more)})


@pytest.mark.parametrize(
    "tamper",
    [
        lambda calls: (changed(calls[0], args={"key": "another"}), calls[1]),
        lambda calls: (changed(calls[0], tool="other"), calls[1]),
        lambda calls: (changed(calls[0], agent="another"), calls[1]),
        lambda calls: calls[:1],
        lambda calls: (*calls, changed(calls[0], id="c")),
    ],
    ids=["arguments", "tool", "agent", "fewer", "more"],
)
async def test_calls_that_were_not_sealed_are_not_made(activities: ReadActivities, tamper: Any) -> None:
    result = await answer(activities, request(calls=tamper(request().calls)))
    assert (result.reads, result.refused) == ((), "the calls are not those of the sealed reads")
    assert CALLED == []


async def test_a_seal_that_is_not_that_of_its_digest_lets_nothing_be_read(activities: ReadActivities) -> None:
    asked = request()
    lie = asked.evidence.model_copy(update={"digest": "0" * 64})
    result = await answer(activities, asked.model_copy(update={"evidence": lie}))
    assert "digest" in result.refused
    assert CALLED == []


async def test_a_step_behind_one_that_was_not_read_is_not_read(activities: ReadActivities, monkeypatch: Any) -> None:
    def refuse(_args: Free, _call: ToolCall) -> Any:
        raise ValueError("no such row")

    monkeypatch.setattr(read, "live", refuse)
    asked = request()
    once = tuple(call.model_copy(update={"attempt": 1}) for call in asked.calls)
    monkeypatch.setattr("airlock.activities.options.MAX_BACKOFF", 0.0)
    result = await answer(activities, asked.model_copy(update={"calls": once}))
    assert "no such row" in result.reads[0].failed
    assert "'a', which it depends on, was not read" in result.reads[1].skipped


async def test_a_lock_that_comes_after_a_while_stops_the_reads_that_have_not_begun(
    activities: ReadActivities, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter(["", "", "locked by olga"])

    async def gate(*_: Any) -> str:
        return next(answers)

    monkeypatch.setattr(GateActivities, "let_pass", gate)
    monkeypatch.setattr("airlock.activities.calls.read.CONSENT_FOR", 0.0)
    result = await answer(activities, request())
    assert CALLED == [{"key": "k"}]
    assert (result.reads[0].made.output, result.reads[1].skipped) == ({"found": 1}, "locked by olga")
