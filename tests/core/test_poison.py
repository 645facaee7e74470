"""Poison in plans: refused with the field, or examined like any other plan, and never more than a moment's work."""

import json
from typing import Any

import pytest

from airlock.admission.examination import examine
from airlock.admission.policy import AgentPolicy, Policy
from airlock.base.canonical import MAX_VALUES, bounded_json, require_bounded
from airlock.base.errors import PlanError, Problem, RefError
from airlock.plans.catalogue import Catalogue
from airlock.plans.plan import Plan, parse_plan
from airlock.plans.refs import MAX_FILLED, as_marker, bind
from airlock.wire import PlanStart
from tests.poison import OTHER, PYTHON, laughs, nested
from tests.poison_tools import keeps

POLICY = Policy(agents={"*": AgentPolicy(permissions=("*",), secrets=("*",))})
PLACES = {
    "an argument": lambda value: {"steps": [{**STEP, "args": {"value": value}}]},
    "the goal": lambda value: {"goal": value},
    "what a step waits for": lambda value: {"steps": [{**STEP, "after": value}]},
    "the deadline": lambda value: {"deadline": value},
}
STEP = {"id": "s", "agent": "a", "tool": "keeps", "confidence": 0.9, "args": {}}
PLAN = {"plan_id": "p", "requested_by": "rita", "steps": [STEP]}


def read(document: dict[str, Any]) -> tuple[Plan | None, list[Problem]]:
    """Return the plan, or the problems that refuse it."""
    try:
        return parse_plan(document), []
    except PlanError as refused:
        return None, list(refused.problems)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", PYTHON)
def test_a_plan_is_refused_or_goes_through_every_encoding(name, place):
    plan, problems = read(PLAN | PLACES[place](PYTHON[name]()))
    assert (plan is None) == bool(problems)
    assert all(len(str(problem)) < 2_000 for problem in problems)
    if plan is None:
        return
    assert name not in OTHER or name == "numbers as keys" or place == "the goal"
    examined = examine(plan, Catalogue([keeps]), POLICY)
    assert all(len(str(problem)) < 2_000 for problem in (*examined.problems, *examined.warnings))
    sent = PlanStart(plan=plan).model_dump_json()
    assert PlanStart.model_validate(json.loads(sent)).plan == plan
    assert PlanStart.model_validate_json(sent).plan == plan


@pytest.mark.parametrize("value", [laughs(60), laughs(25), range(MAX_VALUES), [{1, 2}] * MAX_VALUES, nested(101, 1)])
def test_a_value_that_no_walk_would_end_is_refused(value):
    with pytest.raises(ValueError, match=r"holds more than 1,000,000 values|nested more than 100 levels"):
        bounded_json(value)


def test_a_value_of_the_largest_legal_size_is_accepted():
    require_bounded([1] * (MAX_VALUES - 1))
    require_bounded(nested(100, 1))


def test_an_output_is_not_copied_into_one_call_without_end():
    many = {"value": [{"$ref": "one.text"}] * 200}
    outputs = {"one": {"text": "x" * 60_000}}
    with pytest.raises(RefError, match=r"^value\[133\]: what the references of this step read is too large together"):
        bind(many, outputs, as_marker)
    assert MAX_FILLED // 60_001 == 133
    assert len(bind({"value": many["value"][:100]}, outputs, as_marker).args["value"]) == 100


def test_a_plan_of_unknown_tools_is_refused_at_once():
    steps = [{**STEP, "id": f"s{n}", "tool": f"{n}{'keeps' * 30}"} for n in range(5_000)]
    examined = examine(Plan.model_validate(PLAN | {"steps": steps}), Catalogue([keeps]), POLICY)
    assert len(examined.problems) == 5_000
    assert len(examined.admission.problems) == 100
    assert examined.problems[0].fix.startswith("use one of")
    assert examined.problems[-1].fix == "use a tool of the catalogue"
