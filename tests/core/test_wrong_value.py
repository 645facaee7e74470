"""Messages about values of a wrong type: they name the wanted and the found type, never the value itself."""

import re
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, Field

from airlock.admission.configuration.config import parse_config
from airlock.admission.lint import argument_problems
from airlock.base.errors import ConfigError, PlanError, Problem
from airlock.base.text_form import form_in_words
from airlock.base.wrong_value import wrong_value
from airlock.plans.catalogue import Catalogue
from airlock.plans.plan import Step, parse_plan
from airlock.plans.tool import tool
from airlock.plans.tool_call import ToolCall
from tests.core.plan_build import PLAN, STEP

PYDANTIC = re.compile(
    r"Input should|Input is|Field required|Extra inputs|should have|tuple|dictionary|instance of|boolean|string|integer"
    r"|pattern",
    re.I,
)
"""Words for people who know Python and pydantic."""


class Named(BaseModel, extra="forbid"):
    """The name of a note."""

    name: Annotated[str, Field(pattern="^[a-z][a-z]{0,9}$", description="lower case, such as note")]
    size: int


@tool(name="note_named", risk="LOW", reversibility="read_only")
def note_named(args: Named, call: ToolCall) -> None:
    """Read a note."""


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
            assert not PYDANTIC.search(f"{problem.message} {problem.fix}"), problem
            assert "correct the value" not in problem.fix, problem


def test_a_wrong_value_is_never_quoted() -> None:
    secret = "hunter2-hunter2"
    found = of_config(
        f'[policy]\nmax_live_escalations = "{secret}"\nsignature_required = "{secret}"\n[keys]\nfile = ["{secret}"]'
    )
    assert len(found) == 3
    assert secret not in str(found)


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        (r"^[a-z][a-z0-9-]{0,63}$", "one of a-z, then 0 to 63 of a-z, 0-9 or '-'"),
        (r"^[1-9]\d*/[smhd]$", "one of 1-9, then any number of 0-9, then '/', then one of 's', 'm', 'h' or 'd'"),
        (r"^0?[0-7]{3}$", "an optional '0', then 3 of 0-7"),
        (r"^[^\r\n]+$", "1 or more characters except line breaks"),
        (r"^ORD-\d{6}$", "'ORD-', then 6 of 0-9"),
        (r"^a{2,}\.b*\Z", "2 or more of 'a', then '.', then any number of 'b'"),
        (r"^[\w.\-\]]+@x y$", "1 or more of letters, digits, '_', '.', '-' or ']', then '@x y'"),
        (r"^.*[^0-9].?$", "any number of characters except line breaks, then one character except 0-9, "
         "then at most one character except line breaks"),
        # no words: alternatives, one end open, an escaped end, sets of sets, lazy, control characters
        (r"^(a|b)$", ""), (r"[a-z]+", ""), (r"^a\$", ""), (r"^[a-z&&[^b]]$", ""), (r"^[[:alpha:]]$", ""), (r"^a+?$", ""),
        (r"^[\x00-\x1f]$", ""), (r"^\bx$", ""), ("^$", ""),
    ],
)  # fmt: skip
def test_a_form_is_told_in_words(pattern: str, words: str) -> None:
    assert form_in_words(pattern) == words


IDS = "at most 64, beginning with a letter or digit"


@pytest.mark.parametrize(
    ("field", "value", "fix"),
    [("plan_id", "a b", "use letters, digits, '.', '-' and '_' only, at most 128, beginning with a letter or digit"),
     ("plan_id", "x" * 129, "at most 128"), ("plan_id", "", "at most 128"), ("id", "a.b", IDS), ("id", "-a", IDS),
     ("agent", "x" * 201, "write a text of at most 200 characters"), ("tool", " ", "write a text of at least 1 character")],
)  # fmt: skip
def test_a_wrong_id_is_told_which_characters_and_lengths_there_are(field: str, value: str, fix: str) -> None:
    step = {**STEP, field: value} if field in STEP else STEP
    with pytest.raises(PlanError) as refused:
        parse_plan({**PLAN, "steps": [step], **({field: value} if field not in STEP else {})})
    (problem,) = refused.value.problems
    assert fix in problem.fix
    assert not PYDANTIC.search(problem.message)


def test_the_form_of_an_argument_comes_with_its_description() -> None:
    args = {"name": "A b", "size": 1}
    _, (wrong,) = argument_problems(Step(id="s", agent="a", tool="note_named", args=args, confidence=1.0), note_named)
    assert wrong.fix == "write one of a-z, then 0 to 9 of a-z (name: lower case, such as note)"


def test_a_form_without_words_shows_the_expression() -> None:
    item = {"type": "string_pattern_mismatch", "input": "S3CRET", "ctx": {"pattern": "^(a|b)$"}}
    assert wrong_value(item) == ("has another form than it must have",
                                 "write a text that the regular expression ^(a|b)$ matches")  # fmt: skip


def test_a_rate_limit_is_told_with_examples_and_a_broken_file_with_its_syntax() -> None:
    with pytest.raises(ConfigError) as refused:
        Catalogue([note_named], {"note_named": {"rate_limit": "5 per minute"}})
    (wrong,) = refused.value.problems
    assert wrong.fix.endswith('"5/s", "100/m", "1000/h" or "1/d", or remove it')
    ((_, fix),) = of_config("policy:\n  a: 1\n").values()
    assert fix.startswith("correct that line: a section is [policy]")
