"""Plan files: what is wrong is told with the step, the field and the fix."""

import json
import random
import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airlock.admission.call_digest import call_digest
from airlock.base.errors import PlanError
from airlock.base.names import idempotency_key, plan_id_of, plan_workflow_id
from airlock.plans.assignments import read_plan
from airlock.plans.contract import Mode
from airlock.plans.plan import MAX_PLAN_BYTES, MAX_STEPS, Plan, parse_plan, seconds
from tests.core import build
from tests.core.build import json_values
from tests.core.plan_build import PLAN, STEP, problems


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


def test_a_step_that_is_not_there_comes_with_the_one_that_was_meant() -> None:
    plan = parse_plan({**PLAN, "steps": [{**STEP, "id": "create-contact"}]})
    assert plan.no_step("create-contct") == "there is no step 'create-contct' in this plan; did you mean 'create-contact'?"
    assert plan.no_step("x") == "there is no step 'x' in this plan"


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
