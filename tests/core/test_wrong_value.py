"""Messages about values of a wrong type: they name the wanted and the found type, never the value itself."""

import re
from typing import Any

import pytest

from airlock.admission.config import parse_config
from airlock.base.errors import ConfigError, PlanError, Problem
from airlock.plans.plan import parse_plan
from tests.core.test_plan import PLAN, STEP

PYDANTIC = re.compile(
    r"Input should|Input is|Field required|Extra inputs|should have|tuple|dictionary|instance of|boolean|string|integer",
    re.I,
)
"""Words for people who know Python and pydantic."""


def of_config(text: str) -> dict[str, tuple[str, str]]:
    with pytest.raises(ConfigError) as refused:
        parse_config(text)
    return told(refused.value.problems)


def told(problems: tuple[Problem, ...]) -> dict[str, tuple[str, str]]:
    return {problem.where: (problem.message, problem.fix) for problem in problems}


TEXT, LIST, TRUTH = 'write a text in quotes: "..."', 'write a list: ["...", "..."]', "write true or false, without quotes"
DURATION = 'write a duration in quotes: "90s", "30m", "24h" or "7d"'


@pytest.mark.parametrize(
    ("key", "value", "message", "fix"),
    [
        ("confidence_threshold_for_live", '"high"', "is a text, not a number", "write a number"),
        ("confidence_threshold_for_live", "75", "is more than 1", "write a number of at most 1"),
        ("confidence_threshold_for_live", "{}", "is a table of keys, not a number", "write a number"),
        ("dry_run_only", '"maybe"', "is a text, not true or false", TRUTH),
        ("dry_run_only", "3", "is a whole number, not true or false", TRUTH),
        ("max_live_escalations", '"five"', "is a text, not a whole number", "write a whole number"),
        ("max_live_escalations", "2.5", "is a number with a fraction, not a whole number", "write a whole number"),
        ("max_live_escalations", "2026-01-01", "is a date or a time, not a whole number", "write a whole number"),
        ("approvals_required", "0", "is less than 1", "write a number of at least 1"),
        ("approval_timeout", "24", "is a whole number, not a text", DURATION),
        ("approvers", '"alice"', "is a text, not a list", LIST),
        ("approvers", "[7]", "is a whole number, not a text", TEXT),
        ("signature_required", '"sometimes"', "is another text, not 'never', 'high' or 'always'",
         "write 'never', 'high' or 'always'"),
        ("signature_required", "true", "is true or false, not 'never', 'high' or 'always'",
         "write 'never', 'high' or 'always'"),
        ("budget", "3", "is a whole number, not a table of keys", "write a section: [policy.budget]"),
        ("agents", "[]", "is a list, not a table of keys", "write a section: [policy.agents]"),
    ],
)  # fmt: skip
def test_a_key_of_the_configuration_says_what_is_wanted_and_what_was_found(
    key: str, value: str, message: str, fix: str
) -> None:
    (found,) = of_config(f"[policy]\n{key} = {value}").items()
    assert found[0].removesuffix(".0") == f"policy.{key}"
    assert found[1] == (message, fix)


@pytest.mark.parametrize("value", [None, True, 7, 2.5, "text", [], {}, [None], "", "x" * 2_001])
@pytest.mark.parametrize(
    "field", [*STEP, "after", "dedupe_key", "plan_id", "goal", "steps", "max_mode", "allow_missing_arguments"]
)
def test_no_value_of_a_plan_is_answered_in_the_words_of_a_library(field: str, value: Any) -> None:
    document = (
        {**PLAN, "steps": [{**STEP, field: value}]} if field in {*STEP, "after", "dedupe_key"} else {**PLAN, field: value}
    )
    try:
        parse_plan(document)
    except PlanError as refused:
        for problem in refused.problems:
            if "pattern" not in problem.message:
                assert not PYDANTIC.search(f"{problem.message} {problem.fix}"), problem
            assert "correct the value" not in problem.fix, problem


def test_a_wrong_value_is_never_quoted() -> None:
    secret = "hunter2-hunter2"
    found = of_config(
        f'[policy]\nmax_live_escalations = "{secret}"\nsignature_required = "{secret}"\n[keys]\nfile = ["{secret}"]'
    )
    assert len(found) == 3
    assert secret not in str(found)
