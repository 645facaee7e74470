"""The digest of a step: all that an approver sees of it and all that it depends on."""

from typing import Any

import pytest

from airlock.plans.contract import Mode
from airlock.run.sealing.step_digest import proposed_digests, shown_digests, unchanged_steps
from tests.core.amend_build import OTHER_C, PLAN, TWO, change
from tests.core.build import awaiting, plan, preview, step


def test_the_digest_of_a_step_covers_what_it_depends_on():
    run = awaiting(PLAN, TWO)
    before = run.sealed
    change(run, OTHER_C)
    assert before is not None
    assert run.sealed is not None
    assert unchanged_steps(before, run.sealed) == {"a", "b", "e"}
    for digests in (shown_digests, proposed_digests):
        same = {name for name, found in digests(run.sealed).items() if digests(before)[name] == found}
        assert same == {"a", "b", "e"}


@pytest.mark.parametrize(
    "field",
    [
        {"agent": "other"}, {"tool": "order"}, {"args": {"key": 1}}, {"confidence": 0.9}, {"dedupe_key": "k"},
        {"contract_hash": "0" * 64}, {"reasons": ("another",)}, {"undo": "otherwise"}, {"may_drift": ("key",)},
        {"approval_waived": True}, {"proposed_by": ("eve",)}, {"preview": preview("a", effect="another")},
        {"preview": preview("a", observed={"version": 2})}, {"preview": preview("a", output=7)}, {"preview": None},
        {"args": {"key": True}}, {"args": {"key": 1.0}}, {"risk": "HIGH"}, {"ceiling": Mode.DRY_RUN},
    ],
    ids=repr,
)  # fmt: skip
def test_whatever_an_approver_sees_of_a_step_is_in_its_digest(field: dict[str, Any]):
    sealed = awaiting(plan(step("a", args={"key": 7}), step("b", "write", "a"), step("e")), TWO).sealed
    assert sealed is not None
    first, *rest = sealed.steps
    other = sealed.model_copy(update={"steps": (first.model_copy(update=field), *rest)})
    assert unchanged_steps(sealed, other) == {"e"}
    one, two = ({**field, "preview": first.preview} for _ in range(2))
    assert one == two  # what a rehearsal found is no proposal
    alike = proposed_digests(sealed)["a"] == proposed_digests(other)["a"]
    assert alike == (not field.keys() & {"agent", "tool", "args", "confidence", "dedupe_key", "contract_hash"})


@pytest.mark.parametrize(
    "field",
    [
        {"goal": "another"}, {"life": "other"}, {"policy_hash": "0" * 64}, {"deadline": "1h"}, {"submitted_at": "2020"},
        {"approvals_required": 1}, {"approvers": ("eve",)}, {"plan_id": "p-2"}, {"rolls_back_on_failure": False},
    ],
    ids=repr,
)  # fmt: skip
def test_no_step_is_the_same_in_another_plan_or_under_other_rules(field: dict[str, Any]):
    sealed = awaiting(PLAN, TWO).sealed
    assert sealed is not None
    assert unchanged_steps(sealed, sealed) == set("abcde")
    assert unchanged_steps(sealed, sealed.model_copy(update=field)) == set()


def test_a_new_conflict_about_a_step_changes_it():
    sealed = awaiting(plan(step("a"), step("b")), TWO).sealed
    assert sealed is not None
    row = plan(step("a", args={"key": "k"}), step("b", args={"key": "k"}))
    found = awaiting(row, TWO).sealed
    assert found is not None
    assert found.conflicts
    told = sealed.model_copy(update={"conflicts": found.conflicts})
    assert unchanged_steps(sealed, told) == set("ab") - {name for each in found.conflicts for name in each.steps}


def test_steps_that_are_there_twice_or_stand_before_what_they_need_have_no_digest():
    sealed = awaiting(PLAN, TWO).sealed
    assert sealed is not None
    a, b, c, d, e = sorted(sealed.steps, key=lambda each: each.id)
    twice = sealed.model_copy(update={"steps": (a, a, b, c, d, e)})
    assert shown_digests(twice).keys() == {"b", "e"}
    early = sealed.model_copy(update={"steps": (c, a, b, d, e)})
    assert shown_digests(early).keys() == {"a", "b", "e"}
