"""Plan files: what is wrong is told with the step, the field and the fix, in both formats."""

import json
import random
import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airlock.admission.call_digest import call_digest
from airlock.admission.examination import examine
from airlock.base.errors import PlanError
from airlock.base.names import idempotency_key, plan_id_of, plan_workflow_id
from airlock.plans.assignments import is_assignments, read_plan
from airlock.plans.catalogue import Catalogue
from airlock.plans.contract import Mode
from airlock.plans.plan import MAX_PLAN_BYTES, MAX_STEPS, Plan, parse_plan, seconds
from airlock.plans.tool import tool
from airlock.plans.tool_call import ToolCall
from tests.core import build
from tests.core.build import OPEN_POLICY, Free, catalogue, json_values

STEP: dict[str, Any] = {"id": "create", "agent": "crm", "tool": "write", "confidence": 0.9}
PLAN: dict[str, Any] = {"plan_id": "p-1", "requested_by": "ann", "steps": [STEP]}


def problems(document: Any) -> list[tuple[str, str, str]]:
    with pytest.raises(PlanError) as caught:
        read_plan(document)
    for found in caught.value.problems:
        assert found.where
        assert found.message
        assert found.fix
        assert str(found) in str(caught.value)
    return [(found.where, found.message, found.fix) for found in caught.value.problems]


def test_the_smallest_plan() -> None:
    found = parse_plan(PLAN)
    assert (found.max_mode, found.deadline, found.steps[0].args, found.steps[0].parents) == (Mode.LIVE, None, {}, ())
    assert found.step("create") is found.steps[0]
    assert found.step("other") is None


def test_the_design_s_plan() -> None:
    document = {
        "plan_id": "onboard-acme-001",
        "goal": "Onboard ACME",
        "requested_by": "sales-lead",
        "steps": [
            {"id": "find", "agent": "researcher", "tool": "ghl_search", "args": {"query": "jo"}, "confidence": 0.93},
            {"id": "create", "agent": "crm", "tool": "x", "args": {}, "confidence": 0.91, "after": ["find"]},
            {"id": "r", "agent": "o", "tool": "y", "args": {"id": {"$ref": "create.contact.id"}}, "confidence": 0.95},
        ],
        "max_mode": "LIVE",
        "deadline": "2h",
        "phase21_plan_id": None,
        "phase22_validation_id": None,
    }
    found = parse_plan(document)
    assert found.deadline_seconds == 7_200
    assert [step.parents for step in found.steps] == [(), ("find",), ("create",)]
    assert parse_plan(json.loads(found.model_dump_json())) == found


@pytest.mark.parametrize("document", [None, [], "x", 5, True], ids=repr)
def test_not_an_object(document: Any) -> None:
    assert problems(document) == [("plan", "is not a JSON object", "write {...}")]


@pytest.mark.parametrize(
    ("change", "where", "message", "fix"),
    [
        ({"id": None}, "steps.#1.id", "is null, not a text", "write a text in quotes"),
        ({"id": ""}, "steps.#1.id", "another form", "letters, digits"),
        ({"id": "a b"}, "steps.a b.id", "another form", "letters, digits"),
        ({"id": "a.b"}, "steps.a.b.id", "another form", "letters, digits, '-' and '_' only, at most 64"),
        ({"id": "x" * 65}, "steps." + "x" * 65 + ".id", "another form", "letters"),
        ({"agent": 7}, "steps.create.agent", "is a whole number, not a text", "write a text in quotes"),
        ({"agent": "  "}, "steps.create.agent", "is empty", "write a text of at least 1 character"),
        ({"tool": ["write"]}, "steps.create.tool", "is a list, not a text", "write a text in quotes"),
        ({"args": []}, "steps.create.args", "is a list, not an object", "write an object {...}"),
        ({"args": "{}"}, "steps.create.args", "is a text, not an object", "write an object {...}"),
        ({"confidence": 1.01}, "steps.create.confidence", "is more than 1", "0.0 to 1.0"),
        ({"confidence": -0.1}, "steps.create.confidence", "is less than 0", "0.0 to 1.0"),
        ({"confidence": "high"}, "steps.create.confidence", "is a text, not a number", "0.0 to 1.0"),
        ({"confidence": "0.9"}, "steps.create.confidence", "is a text, not a number", "0.0 to 1.0"),
        ({"confidence": True}, "steps.create.confidence", "is true or false, not a number", "0.0 to 1.0"),
        ({"confidence": None}, "steps.create.confidence", "is null, not a number", "0.0 to 1.0"),
        ({"after": "find"}, "steps.create.after", "is a text, not a list", "write a list: ["),
        ({"after": [1]}, "steps.create.after.0", "is a whole number, not a text", "write a text in quotes"),
        ({"afer": ["find"]}, "steps.create.afer", "is unknown here", "did you mean 'after'?"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_wrong_step(change: dict[str, Any], where: str, message: str, fix: str) -> None:
    ((found, said, mend),) = problems({**PLAN, "steps": [{**STEP, **change}]})
    assert found == where
    assert message in said
    assert fix in mend


@pytest.mark.parametrize("field", ["id", "agent", "tool", "confidence"])
def test_a_missing_field_of_a_step(field: str) -> None:
    ((where, message, fix),) = problems({**PLAN, "steps": [{k: v for k, v in STEP.items() if k != field}]})
    assert where == f"steps.{'#1' if field == 'id' else 'create'}.{field}"
    assert (message, fix) == ("is missing", f"add {field!r}")


@pytest.mark.parametrize(
    ("change", "where", "fix"),
    [
        ({"plan_id": "a/b"}, "plan_id", "letters, digits, '.', '-' and '_' only, at most 128"),
        ({"plan_id": ""}, "plan_id", "letters, digits"),
        ({"plan_id": "x" * 129}, "plan_id", "letters"),
        ({"plan_id": "p\n"}, "plan_id", "letters"),
        ({"plan_id": 5}, "plan_id", "write a text in quotes"),
        ({"requested_by": ""}, "requested_by", "write a text of at least 1 character"),
        ({"goal": 5}, "goal", "write a text in quotes"),
        ({"goal": "x" * 2_001}, "goal", "write a text of at most 2,000 characters"),
        ({"steps": {}}, "steps", "write a list of steps: [{...}, {...}]"),
        ({"steps": []}, "steps", "give at least one step"),
        ({"steps": "create"}, "steps", "write a list of steps: [{...}, {...}]"),
        ({"steps": [None]}, "steps.#1", "write an object {...}"),
        ({"steps": [STEP] * (MAX_STEPS + 1)}, "steps", "give at most 5,000 entries"),
        ({"max_mode": "live"}, "max_mode", "write MOCK, DRY_RUN or LIVE"),
        ({"max_mode": True}, "max_mode", "write MOCK, DRY_RUN or LIVE"),
        ({"deadline": "soon"}, "deadline", 'write a duration in quotes, for example "2h"'),
        ({"deadline": 3600}, "deadline", 'write a duration in quotes, for example "2h"'),
        ({"policy": {}}, "policy", "remove 'policy'"),
        ({"approvers": ["me"]}, "approvers", "remove 'approvers'"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_wrong_plan(change: dict[str, Any], where: str, fix: str) -> None:
    found = problems({**PLAN, **change})
    assert where in [place for place, _, _ in found]
    assert fix in found[0][2]


def test_every_problem_is_told_at_once() -> None:
    found = problems({"plan_id": "/", "steps": [{**STEP, "confidence": 2}, {"id": "b"}], "extra": 1})
    assert [where for where, _, _ in found] == [
        "plan_id",
        "requested_by",
        "steps.create.confidence",
        "steps.b.agent",
        "steps.b.tool",
        "steps.b.confidence",
        "extra",
    ]


def test_too_large() -> None:
    ((where, message, fix),) = problems({**PLAN, "steps": [{**STEP, "args": {"body": "x" * MAX_PLAN_BYTES}}]})
    assert where == "plan"
    assert "more than the 1,500,000 (300,000 compressed) one plan may have" in message
    assert "by reference" in fix


def test_text_that_does_not_compress_counts_more() -> None:
    noise = "".join(random.Random(1).choices(string.ascii_letters + string.digits, k=500_000))
    ((where, message, _),) = problems({**PLAN, "steps": [{**STEP, "args": {"body": noise}}]})
    assert where == "plan"
    assert "compressed), more than" in message


@pytest.mark.parametrize("plan_id", ["plan-x", "undo-x"])
def test_a_plan_id_that_reads_like_a_workflow_id(plan_id: str) -> None:
    ((where, message, _),) = problems({**PLAN, "plan_id": plan_id})
    assert where == "plan_id"
    assert "must not begin with plan- or undo-" in message


def test_the_largest_plan() -> None:
    room = MAX_PLAN_BYTES - len(json.dumps({**PLAN, "steps": [{**STEP, "args": {"body": ""}}]}, separators=(",", ":")))
    assert parse_plan({**PLAN, "steps": [{**STEP, "args": {"body": "x" * room}}]})
    problems({**PLAN, "steps": [{**STEP, "args": {"body": "x" * (room + 1)}}]})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "\ud800", {"\udc00": 1}], ids=ascii)
def test_what_json_cannot_say(value: Any) -> None:
    ((where, message, _),) = problems({**PLAN, "steps": [{**STEP, "args": {"x": value}}]})
    assert where == "plan"
    assert message.startswith("is not JSON")


@pytest.mark.parametrize("depth", [101, 199, 250, 900, 5_000])
def test_too_deep(depth: int) -> None:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    for where, message, fix in problems({**PLAN, "steps": [{**STEP, "args": {"x": value}}]}):
        assert len(where) <= 200
        assert message
        assert fix


@given(st.dictionaries(st.sampled_from([*PLAN, "x"]), json_values) | json_values)
def test_any_document_is_a_plan_or_a_plan_error(document: Any) -> None:
    assert refused_places(document) != []


@given(st.dictionaries(st.sampled_from([*STEP, "args", "after", "x"]), json_values))
def test_any_step_is_a_step_or_a_plan_error(document: dict[str, Any]) -> None:
    places = refused_places({**PLAN, "steps": [{**STEP, **document}]})
    assert places is None or all(place.startswith(("steps.", "plan")) for place in places)


def refused_places(document: Any) -> list[str] | None:
    """Return the places of a document's problems; None when it is a plan."""
    try:
        parse_plan(document)
    except PlanError as error:
        return [problem.where for problem in error.problems]
    return None


@pytest.mark.parametrize(
    ("text", "expected"),
    [("90s", 90), ("30m", 1_800), ("2h", 7_200), ("1d", 86_400), ("0.5h", 1_800), (" 2 h ", 7_200), ("3650d", 315_360_000)],
)
def test_durations(text: str, expected: float) -> None:
    assert seconds(text) == expected


@pytest.mark.parametrize(
    "text", ["", "2", "h", "2 hours", "-1h", "0s", "0.0d", "1e3s", "2H", "1h30m", "3651d", "9" * 400 + "d", "nan s", "infs"]
)
def test_wrong_durations(text: str) -> None:
    with pytest.raises(ValueError, match=r"duration|ten years"):
        seconds(text)
    assert problems({**PLAN, "deadline": text})[0][0] == "deadline"


def test_the_longest_deadline_is_a_date() -> None:
    from airlock.run.state import Run
    from tests.core.build import NOW

    assert Run(plan=parse_plan({**PLAN, "deadline": "3650d"}), submitted_at=NOW, since=NOW).deadline_at


def test_the_digest_says_whether_two_files_propose_the_same() -> None:
    same = parse_plan({**PLAN, "goal": "", "max_mode": "LIVE", "steps": [{**STEP, "args": {}, "after": []}]})
    assert same.digest() == parse_plan(PLAN).digest()
    assert parse_plan({**PLAN, "goal": "x"}).digest() != parse_plan(PLAN).digest()


def test_names() -> None:
    assert plan_workflow_id("p-1") == "plan-p-1"
    assert plan_id_of("plan-p-1") == plan_id_of("p-1") == "p-1"
    assert [idempotency_key("p", "s", undone) for undone in (0, 1)] == ["p/s", "p/s/1"]


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


def test_a_step_that_is_not_there_comes_with_the_one_that_was_meant() -> None:
    plan = parse_plan({**PLAN, "steps": [{**STEP, "id": "create-contact"}]})
    assert plan.no_step("create-contct") == "there is no step 'create-contct' in this plan; did you mean 'create-contact'?"
    assert plan.no_step("x") == "there is no step 'x' in this plan"


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


SCHEDULED = "weekly-2026-11-28T15:00:00Z"


@pytest.mark.parametrize(
    ("workflow_id", "plan_id"),
    [
        (f"plan-{SCHEDULED}", SCHEDULED),
        ("plan-weekly", "weekly"),
        ("plan-weekly-2026-11-28T15:00:00", "weekly"),
        ("plan-weekly-2026-11-28T15:00:00Z\n", "weekly"),
        ("plan-monthly-2026-11-28T15:00:00Z", "weekly"),
        (f"undo-{SCHEDULED}", "weekly"),
    ],
)
def test_a_schedule_makes_a_plan_of_its_own_out_of_each_run(workflow_id, plan_id):
    made = build.plan(build.step("a"), plan_id="weekly").on_occasion(workflow_id)
    assert made.plan_id == plan_id
    assert Plan.model_validate(made.model_dump(mode="json")) == made  # as a continue-as-new carries it
    assert made.on_occasion(f"plan-{plan_id}") == made


def test_a_plan_file_names_no_time():
    document = build.plan(build.step("a")).model_dump(mode="json") | {"plan_id": SCHEDULED}
    with pytest.raises(PlanError, match="a schedule appends it"):
        read_plan(document)


def test_the_same_call_counts_once_in_each_run_of_a_schedule():
    once = call_digest("mail", {"to": "jo"}, None)
    assert call_digest("mail", {"to": "jo"}, None, "") == once
    runs = {call_digest("mail", {"to": "jo"}, key, at) for key in (None, "key") for at in ("", "-1Z", "-2Z")}
    assert len(runs) == 6
