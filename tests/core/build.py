"""Builders shared by the tests of the core: a small catalogue, plans, and runs brought to a given state."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict

from airlock.admission.admitted import Admitted
from airlock.admission.examination import examine
from airlock.admission.policy import Policy
from airlock.base.incoming import Verdict
from airlock.plans.catalogue import Catalogue
from airlock.plans.contract import Contract, Mode
from airlock.plans.outcome import CallFailed, CallOutcome, CallSucceeded, StepPreview
from airlock.plans.plan import Plan, Step
from airlock.plans.state import Event, State
from airlock.plans.tool import Tool, tool
from airlock.plans.tool_call import Preview, ToolCall
from airlock.run.decisions.approval import approved_steps
from airlock.run.decisions.decision import decide
from airlock.run.live.call_results import after_calls, take_outcomes
from airlock.run.messages import parse_message
from airlock.run.rehearsal import begin_rehearsal, seal_run, take_mocks, take_previews
from airlock.run.state import Run

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
OPEN_POLICY = Policy.model_validate({"agents": {"*": {"permissions": ["*"]}}})


class Free(BaseModel):
    """Arguments of any shape."""

    model_config = ConfigDict(extra="allow")


def make_tool(name: str, risk: str, reversibility: str, *, compensate: bool = False, **promises: Any) -> Tool:
    """Return a tool whose functions are never called by these tests."""

    @tool(name=name, risk=risk, reversibility=reversibility, **promises)
    def live(args: Free, call: ToolCall) -> dict[str, Any]:
        """Do it."""
        raise AssertionError("the core calls no tool")

    @live.dry_run
    def look(args: Free, call: ToolCall) -> Preview:
        raise AssertionError("the core calls no tool")

    if compensate:

        @live.compensate
        def undo(args: Free, call: ToolCall) -> None:
            raise AssertionError("the core calls no tool")

    return live


def catalogue() -> Catalogue:
    """Return one tool of each kind: LOW to HIGH, read-only to irreversible."""
    return Catalogue(
        [
            make_tool("read", "LOW", "read_only"),
            make_tool("write", "MEDIUM", "reversible", compensate=True, resources=("row:{key}",)),
            make_tool("order", "MEDIUM", "compensable", compensate=True),
            make_tool("pay", "HIGH", "compensable", compensate=True, permissions={"money"}),
            make_tool("mail", "HIGH", "irreversible"),
            make_tool("post", "MEDIUM", "irreversible"),
        ]
    )


TOOLS = ("read", "write", "order", "pay", "mail", "post")


def step(step_id: str, tool_name: str = "write", *after: str, **more: Any) -> Step:
    """Return a step with full confidence."""
    return Step.model_validate({"id": step_id, "agent": "bot", "tool": tool_name, "confidence": 1.0, "after": after, **more})


def plan(*steps: Step, **more: Any) -> Plan:
    """Return a plan requested by `author`."""
    return Plan.model_validate(
        {"plan_id": "p-1", "goal": "a goal", "requested_by": "author", "steps": [s.model_dump() for s in steps], **more}
    )


def policy(**knobs: Any) -> Policy:
    """Return the careful policy with every permission granted."""
    return Policy.model_validate({"agents": {"*": {"permissions": ["*"]}}, **knobs})


def admitted(proposed: Plan, rules: Policy = OPEN_POLICY) -> Admitted:
    """Return the result of admission; the plan must be acceptable."""
    answer = examine(proposed, catalogue(), rules)
    assert answer.admitted is not None, answer.problems
    return answer.admitted


def reassigned(frozen: Admitted, step_id: str, agent: str) -> Admitted:
    """Return the admitted plan with one step moved to another agent."""
    moved = replace(frozen.steps[step_id], agent=agent)
    return frozen.model_copy(update={"steps": {**frozen.steps, step_id: moved}})


def new_run(proposed: Plan, rules: Policy = OPEN_POLICY) -> Run:
    """Return a run in MOCK, admitted."""
    run = Run(plan=proposed, submitted_at=NOW, since=NOW)
    begin_rehearsal(run, admitted(proposed, rules))
    return run


def preview(step_id: str, **more: Any) -> StepPreview:
    """Return the preview of a dry run."""
    return StepPreview.model_validate(
        {"step": step_id, "looked": True, "effect": f"does {step_id}", "args": {}, "observed": {"version": 1}, **more}
    )


def rehearse(run: Run, now: datetime = NOW, previews: Mapping[str, StepPreview] | None = None) -> Run:
    """From MOCK or DRY_RUN to AWAITING_APPROVAL, every rehearsal working, or to COMPLETED when nothing may go live."""
    if run.state is State.MOCK:
        begin_rehearsal(run, run.contracts())
        take_mocks(run, [])
        if not run.left(Mode.DRY_RUN):
            run.apply(Event.CAPPED, now)
            return run
        run.apply(Event.REHEARSED, now)
    take_previews(run, [(previews or {}).get(name) or preview(name) for name in run.left(Mode.DRY_RUN)])
    if not run.left(Mode.LIVE):
        run.apply(Event.CAPPED, now)
        return run
    seal_run(run, now)
    run.apply(Event.PREVIEWED, now)
    return run


def awaiting(proposed: Plan, rules: Policy = OPEN_POLICY, **previews: StepPreview) -> Run:
    """Return a run in AWAITING_APPROVAL."""
    run = rehearse(new_run(proposed, rules), previews=previews)
    assert run.state is State.AWAITING_APPROVAL
    return run


def say(run: Run, name: str, now: datetime = NOW, **fields: Any) -> Verdict:
    """Send one message; `by` is `boss` and a reason is given unless told otherwise."""
    fields = {"by": "boss", "reason": "because", **fields}
    if name == "approve" and "digest" not in fields:
        fields["digest"] = run.digest
    return decide(run, name, parse_message(name, (fields,)), now)


def live_run(proposed: Plan, rules: Policy = OPEN_POLICY, **fields: Any) -> Run:
    """Return a run in LIVE with nothing called yet."""
    run = awaiting(proposed, rules)
    verdict = say(run, "approve", **fields)
    assert verdict.accepted, verdict
    assert run.state is State.LIVE
    return run


def waive(run: Run, now: datetime = NOW) -> None:
    """Approve as a workflow does when the policy itself approves."""
    run.approved = approved_steps(run)
    run.apply(Event.APPROVED, now, by="policy")


def live(step_id: str, **more: Any) -> CallSucceeded:
    """Return a call that worked."""
    return CallSucceeded.model_validate({"step": step_id, "output": {"id": step_id}, "undo": {"token": step_id}, **more})


def failed(step_id: str, **more: Any) -> CallFailed:
    """Return a call that did not."""
    return CallFailed.model_validate({"step": step_id, "error": "500 from the target", **more})


def call(run: Run, *outcomes: CallOutcome, after: bool = False, **more: Any) -> Run:
    """Take outcomes, and with `after` decide where the plan goes."""
    take_outcomes(run, outcomes, NOW)
    if after:
        stale = [outcome for outcome in outcomes if outcome.kind == "stale"]
        after_calls(run, stale, NOW, deadline_passed=more.get("deadline_passed", False))
    return run


def later(hours: float) -> datetime:
    """Return some hours after NOW."""
    return NOW + timedelta(hours=hours)


def contract(**more: Any) -> Contract:
    """Return a consistent MEDIUM reversible contract, changed."""
    return Contract.model_validate(
        {"tool": "t", "risk": "MEDIUM", "reversibility": "reversible", "has_compensate": True, **more}
    )


names = st.integers(0, 10_000).map(lambda number: f"s{number}")


@st.composite
def dags(draw: st.DrawFn, max_size: int = 12) -> dict[str, tuple[str, ...]]:
    """Random acyclic graphs as parents by step; the names are in no relation to the order."""
    ids = draw(st.lists(names, min_size=1, max_size=max_size, unique=True))
    parents: dict[str, tuple[str, ...]] = {}
    for position, name in enumerate(ids):
        chosen = draw(st.lists(st.sampled_from(ids[:position]), unique=True, max_size=3)) if position else []
        parents[name] = tuple(sorted(chosen))
    shuffled = draw(st.permutations(sorted(parents)))
    return {name: parents[name] for name in shuffled}


def plan_of(
    parents: Mapping[str, Iterable[str]], tools: Mapping[str, str], confidence: Mapping[str, float] | None = None
) -> Plan:
    """Return a plan with this graph."""
    return plan(
        *(
            step(name, tools.get(name, "write"), *parents[name], confidence=(confidence or {}).get(name, 1.0))
            for name in parents
        )
    )


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
