"""Fixtures: steps as an operator imagines them, and the answer that the rules must give."""

from typing import Any

import pytest
from pydantic import ValidationError

from airlock.admission.policy import Policy
from airlock.admission.rules.fixtures import Fixture, FixtureFile, tried, uncovered
from tests.core.build import catalogue, policy

RULES = policy(
    roles={"finance": ("finn", "fay")},
    rule=[
        {"id": "big", "when": "step.tool == 'pay' && step.args.amount > 1000", "then": 'ask(2, "finance")'},
        {"id": "many", "when": "plan.steps > 100", "then": "deny"},
        {"id": "reads", "when": "step.read_only", "then": "allow"},
    ],
)


def fixture(expect: Any, tool: str = "pay", rules: Any = None, plan: Any = None, **more: Any) -> Fixture:
    document = {"name": "a name", "step": {"tool": tool, **more}, "expect": expect, "plan": plan or {}, "rules": rules}
    return Fixture.model_validate(document)


def problem(found: Fixture, rules: Policy = RULES) -> str:
    return tried(found, rules, catalogue()).problem


@pytest.mark.parametrize(
    "found",
    [
        fixture('ask(2, "finance")', args={"amount": 2000}, rules=["big"]),
        fixture("ask( 2 , 'finance' )", args={"amount": 2000}),
        fixture(['ask(2, "finance")'], args={"amount": {"$ref": "first.amount"}}),
        fixture("none", args={"amount": 3}),
        fixture("allow", tool="read"),
        fixture("none", tool="read", risk="HIGH", reversibility="irreversible"),
        fixture("deny", tool="read", plan={"steps": 101}, rules=["many", "reads"]),
        fixture("none", tool="new", risk="LOW", reversibility="reversible"),
    ],
)
def test_what_the_rules_answer_is_expected(found):
    assert problem(found) == ""


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (fixture("deny", args={"amount": 2000}), 'expected deny, the policy says ask(2, "finance") by big'),
        (fixture("none"), "its condition failed: there is no 'amount'"),
        (fixture("allow", tool="read", rules=["big"]), "expected the rules big, there applied reads"),
        (fixture("none", tool="new"), "the catalogue has no tool 'new': name a tool that it has, or add risk"),
    ],
)
def test_another_answer_is_told_with_the_rules_that_gave_it(found, words):
    assert words in problem(found)


@pytest.mark.parametrize("expect", [[], ["deny", "allow"], "perhaps", ["ask(1)", "none"]])
def test_an_expectation_that_cannot_be_is_refused(expect):
    with pytest.raises(ValidationError):
        fixture(expect)


def test_a_misspelled_field_of_a_fixture_is_refused():
    with pytest.raises(ValidationError):
        FixtureFile.model_validate({"test": [{"name": "a", "step": {"tol": "pay"}, "expect": "deny"}]})


def test_a_rule_is_covered_only_by_a_step_to_which_it_applies_for_certain():
    unsure = fixture('ask(2, "finance")', args={"amount": {"$ref": "first.amount"}})
    results = [tried(found, RULES, catalogue()) for found in (unsure, fixture("allow", tool="read"))]
    assert uncovered(RULES, results) == ("big", "many")
