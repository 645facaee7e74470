"""Duplicate calls: the same irreversible call is made once."""

from typing import Any

import pytest

from airlock.plans.contract import Mode
from airlock.run.rehearsal import begin_rehearsal
from airlock.run.state import Run
from tests.core.build import NOW, plan, step
from tests.core.conflict_build import answered, lowered, on, told, wrote


def test_the_same_irreversible_call_twice_is_made_once() -> None:
    found = answered(plan(wrote("b", "jo"), wrote("a", "jo", "z"), step("z", "read"), step("c", "write", "a")))
    assert lowered(found) == {"a": "DUPLICATE_ACTION: step b of this plan is the same call"}
    assert told(found) == ["DUPLICATE_ACTION -> ABORT: the same irreversible call of mail as b: a is left out"]
    run = Run(plan=plan(step("x")), submitted_at=NOW, since=NOW)
    begin_rehearsal(run, found)
    assert run.ceilings["a"].mode is Mode.MOCK
    assert run.ceilings["c"].reasons == ("depends on 'a', which stays at MOCK",)


@pytest.mark.parametrize(
    ("first", "second", "double"),
    [
        ({"args": {"to": "jo"}}, {"args": {"to": "kim"}}, False),
        ({"args": {"to": "jo", "x": 1}}, {"args": {"x": 1, "to": "jo"}}, True),
        ({"args": {"to": "jo"}, "dedupe_key": "one"}, {"args": {"to": "jo"}, "dedupe_key": "two"}, False),
        ({"args": {"to": "jo"}, "dedupe_key": "one"}, {"args": {"to": "kim"}, "dedupe_key": "one"}, True),
        ({"args": {"to": "jo"}, "dedupe_key": "one"}, {"args": {"to": "jo"}}, False),
        ({"args": {"to": {"$ref": "x.to"}}}, {"args": {"to": {"$ref": "x.to"}}}, True),
        ({"args": {"to": {"$ref": "x.to"}}}, {"args": {"to": {"$ref": "x.cc"}}}, False),
        ({"args": {"to": {"$ref": "x.to"}}}, {"args": {"to": {"$ref": "y.to"}}}, False),
    ],
)
def test_which_calls_are_the_same(first: dict[str, Any], second: dict[str, Any], double: bool) -> None:
    steps = step("a", "mail", **first), step("b", "mail", **second), step("x", "read"), step("y", "read")
    assert set(lowered(answered(plan(*steps)))) == ({"b"} if double else set())


def test_a_call_that_can_be_undone_may_be_made_twice() -> None:
    assert lowered(answered(plan(on("a", "jo"), on("b", "jo")))) == {}


def test_a_call_that_will_not_be_made_makes_no_duplicate_of_another() -> None:
    found = answered(plan(wrote("a", "jo", confidence=0.82), wrote("b", "jo")))
    assert set(lowered(found)) == {"a"}
    assert "confidence" in lowered(found)["a"]


def test_what_another_plan_did_is_left_out_and_holds_nobody_up() -> None:
    standing = {"a": "plan-x made this call on 2026-03-01"}
    found = answered(plan(step("a", "mail", args={"to": "jo", "n": 1}), wrote("b", "jo")), standing=standing)
    assert lowered(found) == {"a": "DUPLICATE_ACTION: plan-x made this call on 2026-03-01"}
    assert told(found) == ["DUPLICATE_ACTION -> ABORT: a is left out: plan-x made this call on 2026-03-01"]
    assert found.parents["b"] == ()
