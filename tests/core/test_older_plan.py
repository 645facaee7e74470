"""Plan files of the older format, and their arguments."""

from typing import Any

import pytest

from airlock.admission.examination import examine
from airlock.base.errors import PlanError
from airlock.plans.assignments import is_assignments, read_plan
from airlock.plans.catalogue import Catalogue
from airlock.plans.contract import Mode
from airlock.plans.plan import Plan, parse_plan
from airlock.plans.tool import tool
from airlock.plans.tool_call import ToolCall
from tests.core.build import OPEN_POLICY, Free, catalogue
from tests.core.plan_build import PLAN, STEP, problems

# the older format

OLD: dict[str, Any] = {
    "plan_id": "old-1",
    "agent_assignments": {"research": ["read", "look up"], "sales": ["write", "mail"]},
    "confidence_scores": {"read": 0.9, "look up": 0.8, "sales": 0.95},
}


def calls(plan: Plan) -> list[tuple[str, str, float]]:
    return [(step.agent, step.tool, step.confidence) for step in plan.steps]


def test_without_an_order_the_assignments_count() -> None:
    found = read_plan(OLD)
    assert calls(found) == [
        ("research", "read", 0.9),
        ("research", "look up", 0.8),
        ("sales", "write", 0.95),
        ("sales", "mail", 0.95),
    ]
    assert [step.id for step in found.steps] == ["s01-read", "s02-look-up", "s03-write", "s04-mail"]
    assert [step.after for step in found.steps] == [(), ("s01-read",), ("s02-look-up",), ("s03-write",)]
    assert found.allow_missing_arguments
    assert found.requested_by == "agent_assignments"


@pytest.mark.parametrize(
    ("order", "tools"),
    [
        (["mail", "write", "look up", "read"], ["mail", "write", "look up", "read"]),
        (["sales", "research"], ["write", "mail", "read", "look up"]),
        (["mail"], ["mail", "read", "look up", "write"]),
        (["sales", "read"], ["write", "mail", "read", "look up"]),
        (["mail", "sales"], ["mail", "write", "read", "look up"]),
        (["mail", "mail"], ["mail", "read", "look up", "write"]),
    ],
)
def test_an_order_by_tools_and_by_agents(order: list[str], tools: list[str]) -> None:
    assert [step.tool for step in read_plan({**OLD, "execution_order": order}).steps] == tools


def test_every_assigned_call_is_made_exactly_once() -> None:
    shared = {**OLD, "agent_assignments": {"a": ["read", "read"], "b": ["read"]}, "execution_order": ["read"]}
    assert calls(read_plan(shared)) == [("a", "read", 0.9), ("a", "read", 0.9), ("b", "read", 0.9)]


def test_arguments_by_tool() -> None:
    found = read_plan({**OLD, "arguments": {"mail": {"to": "jo@acme.test"}}, "goal": "g", "max_mode": "DRY_RUN"})
    assert [step.args for step in found.steps] == [{}, {}, {}, {"to": "jo@acme.test"}]
    assert (found.goal, found.max_mode) == ("g", Mode.DRY_RUN)


def test_a_validations_file() -> None:
    found = read_plan({**OLD, "phase21_plan_id": "p21"}, {"validation_id": "v-1", "anything": [1]})
    assert (found.phase21_plan_id, found.phase22_validation_id) == ("p21", "v-1")


def test_a_validation_of_this_plan_that_says_yes() -> None:
    validation = {"validation_id": "v-1", "plan_id": OLD["plan_id"], "approved": True}
    assert read_plan(OLD, validation).phase22_validation_id == "v-1"


@pytest.mark.parametrize(
    ("more", "where"),
    [
        ({"plan_id": "some-other-plan"}, "validations.plan_id"), ({"plan_id": None}, "validations.plan_id"),
        *(({"approved": said}, "validations.approved") for said in (False, None, "no", 0, 1, "true")),
    ],
)  # fmt: skip
def test_a_validation_of_another_plan_or_one_that_says_no_is_refused(more: dict[str, Any], where: str) -> None:
    with pytest.raises(PlanError) as refused:
        read_plan(OLD, {"validation_id": "v-1", **more})
    assert [problem.where for problem in refused.value.problems] == [where]
    with pytest.raises(PlanError) as all_at_once:
        read_plan(OLD, {"plan_id": "x", "approved": False})
    assert len(all_at_once.value.problems) == 3


@pytest.mark.parametrize("validation", [{}, [], "v-1", {"validation_id": ""}, {"validation_id": 5}], ids=repr)
def test_a_wrong_validations_file(validation: Any) -> None:
    with pytest.raises(PlanError, match=r"validations\.validation_id"):
        read_plan(OLD, validation)


@pytest.mark.parametrize(
    ("change", "where", "message"),
    [
        ({"plan_id": None}, "plan_id", "is null, not a text"),
        ({"plan_id": "a/b"}, "plan_id", "another form"),
        ({"agent_assignments": {}}, "agent_assignments", "is empty"),
        ({"agent_assignments": {"a": "read"}}, "agent_assignments.a", "is a text, not a list"),
        ({"agent_assignments": {"a": []}}, "agent_assignments.a", "is empty"),
        ({"agent_assignments": {"b": [], "a": []}}, "agent_assignments.b", "is empty"),
        ({"execution_order": ["nobody"]}, "execution_order", "'nobody' is neither"),
        ({"confidence_scores": {"read": 0.9}}, "confidence_scores", "no score for tool 'look up'"),
        ({"confidence_scores": {**OLD["confidence_scores"], "read": 1.5}}, "steps.s01-read.confidence", "is more than 1"),
        ({"arguments": {"fax": {}}}, "arguments.fax", "no agent is assigned this tool"),
        ({"arguments": {"read": []}}, "arguments.read", "is a list, not an object"),
        ({"exection_order": []}, "exection_order", "is unknown here"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_wrong_older_plan(change: dict[str, Any], where: str, message: str) -> None:
    found = problems({**OLD, **change})
    assert found[0][0] == where
    assert message in found[0][1]


@pytest.mark.parametrize(
    ("change", "fix"),
    [({"agent_assignments": ["a"]}, 'write the tools of each agent: {"agent": ["tool", "tool"]}'),
     ({"confidence_scores": {"read": "high"}}, 'write a number from 0.0 to 1.0 for each tool or agent: {"tool": 0.9}'),
     ({"execution_order": "read"}, 'write tools, or agents, in their order: ["tool", "tool"]'),
     ({"exection_order": []}, "did you mean 'execution_order'?"),
     ({"colour": 1}, "remove 'colour'; a plan with agent_assignments takes: plan_id, agent_assignments, execution_order"),
     ({"plan_id": 7}, "write a text in quotes"), ({"max_mode": "FAST"}, "write MOCK, DRY_RUN or LIVE"),
     ({"plan_id": ...}, "add 'plan_id': a text")],
    ids=lambda value: str(value)[:30],
)  # fmt: skip
def test_the_fix_of_an_older_plan_is_told_in_words(change: dict[str, Any], fix: str) -> None:
    with pytest.raises(PlanError) as refused:
        read_plan({key: value for key, value in {**OLD, **change}.items() if value is not ...})
    assert refused.value.problems[0].fix.startswith(fix)


def test_which_format_it_is() -> None:
    assert is_assignments(OLD)
    assert not is_assignments(PLAN)
    assert not is_assignments([])


class Mail(Free):
    """Arguments of which one is required."""

    to: str
    retries: int = 0


@tool(name="strict", risk="LOW", reversibility="read_only")
def strict(args: Mail, call: ToolCall) -> None:
    """Needs `to`."""


OLD_STRICT = {"plan_id": "p", "agent_assignments": {"a": ["strict"]}, "confidence_scores": {"a": 1.0}}


def test_missing_arguments_are_only_mocked_and_the_ceiling_says_why() -> None:
    answer = examine(read_plan(OLD_STRICT), Catalogue([strict]), OPEN_POLICY)
    assert answer.admitted is not None
    assert [cap.reason for cap in answer.admitted.caps["s01-strict"] if cap.mode is Mode.MOCK] == [
        "required arguments are missing: to"
    ]


def test_supplied_arguments_are_not_capped_and_wrong_ones_are_refused() -> None:
    answer = examine(read_plan({**OLD_STRICT, "arguments": {"strict": {"to": "x"}}}), Catalogue([strict]), OPEN_POLICY)
    assert answer.admitted is not None
    assert all(cap.mode is Mode.LIVE for cap in answer.admitted.caps["s01-strict"])
    answer = examine(read_plan({**OLD_STRICT, "arguments": {"strict": {"retries": "x"}}}), Catalogue([strict]), OPEN_POLICY)
    assert [problem.where for problem in answer.problems] == ["steps.s01-strict.args.retries"]


def test_the_other_format_refuses_missing_arguments() -> None:
    answer = examine(parse_plan({**PLAN, "steps": [{**STEP, "tool": "strict"}]}), Catalogue([strict]), OPEN_POLICY)
    assert [str(problem) for problem in answer.problems] == [
        "steps.create.args.to: strict needs this argument (fix: add 'to')"
    ]


def test_an_older_plan_is_admitted() -> None:
    document = {**OLD, "agent_assignments": {"research": ["read"], "sales": ["write", "mail"]}}
    assert examine(read_plan(document), catalogue(), OPEN_POLICY).admitted is not None
