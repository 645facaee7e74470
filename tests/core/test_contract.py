"""Contracts: contradictions and promises that cannot be understood."""

from typing import Any

import pytest
from pydantic import ValidationError

from airlock.plans.contract import Reversibility, Risk, contradictions
from tests.core.build import contract

# contracts

CONSISTENT: list[dict[str, Any]] = [
    {},
    {"reversibility": "compensable"},
    {"reversibility": "read_only", "has_compensate": False, "risk": "LOW"},
    {"reversibility": "irreversible", "has_compensate": False, "risk": "HIGH"},
    {"risk": "HIGH"},
    {"fidelity": "native", "has_dry_run": True},
    {"approval_required": False},
]


@pytest.mark.parametrize("change", CONSISTENT, ids=str)
def test_a_consistent_contract(change: dict[str, Any]) -> None:
    assert contradictions(contract(**change)) == ()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"risk": "HIGH", "approval_required": False}, "risk HIGH needs approval"),
        ({"has_compensate": False}, "'reversible' needs a compensate function"),
        ({"reversibility": "compensable", "has_compensate": False}, "'compensable' needs a compensate function"),
        ({"reversibility": "irreversible"}, "an irreversible tool cannot have a compensate function"),
        (
            {"reversibility": "irreversible", "has_compensate": False, "approval_required": False},
            "an irreversible tool needs approval",
        ),
        ({"reversibility": "read_only"}, "has nothing to compensate"),
        ({"reversibility": "read_only", "has_compensate": False, "risk": "HIGH"}, "cannot be HIGH risk"),
        ({"has_dry_run": True}, "fidelity 'none' says there is no dry run"),
        ({"fidelity": "probe"}, "fidelity 'probe' needs a dry_run function"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_contradiction(change: dict[str, Any], words: str) -> None:
    (found,) = contradictions(contract(**change))
    assert words in found


def test_all_contradictions_are_told() -> None:
    wrong = contract(reversibility="irreversible", risk="HIGH", approval_required=False, fidelity="native")
    assert len(contradictions(wrong)) == 4


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"risk": "low"}, "risk"),
        ({"reversibility": "undoable"}, "reversibility"),
        ({"timeout": 0}, "timeout"),
        ({"timeout": 86_401}, "timeout"),
        ({"max_attempts": 0}, "max_attempts"),
        ({"max_concurrent": 0}, "max_concurrent"),
        ({"rate_limit": "ten/s"}, "rate_limit"),
        ({"rate_limit": "0/s"}, "rate_limit"),
        ({"cost": -1}, "cost"),
        ({"permissions": "all"}, "permissions"),
        ({"permissions": [1]}, "permissions"),
        ({"permissions": [["a"], 1]}, "permissions"),
        ({"resources": ["row:{"]}, "resources"),
        ({"resources": ["row:{}"]}, "resources"),
        ({"resources": ["row:{0}"]}, "resources"),
        ({"resources": ["row:{a.b}"]}, "resources"),
        ({"retries": 3}, "retries"),
    ],
    ids=str,
)
def test_a_promise_that_cannot_be_understood(change: dict[str, Any], field: str) -> None:
    with pytest.raises(ValidationError, match=field):
        contract(**change)


def test_a_set_of_permissions_has_one_hash() -> None:
    one, two = contract(permissions={"b", "a", "c"}), contract(permissions=["c", "b", "a", "a"])
    assert one.permissions == ("a", "b", "c")
    assert one.digest() == two.digest()


@pytest.mark.parametrize(
    ("change", "unchecked", "checked"),
    [
        ({"reversibility": "read_only"}, 3, 3),
        ({"reversibility": "reversible"}, 1, 3),
        ({"reversibility": "compensable"}, 1, 1),
        ({"reversibility": "compensable", "idempotent": True}, 3, 3),
        ({"reversibility": "irreversible"}, 1, 1),
        ({"reversibility": "irreversible", "idempotent": True}, 3, 3),
    ],
)
def test_how_often_a_call_may_be_tried(change: dict[str, Any], unchecked: int, checked: int) -> None:
    made = contract(**change)
    assert (made.attempts(checked=False), made.attempts(checked=True)) == (unchecked, checked)


@pytest.mark.parametrize("risk", Risk)
@pytest.mark.parametrize("reversibility", Reversibility)
def test_guarded_calls(risk: Risk, reversibility: Reversibility) -> None:
    found = contract(risk=risk, reversibility=reversibility)
    assert found.guarded is (risk is Risk.HIGH or reversibility is Reversibility.IRREVERSIBLE)
    assert found.undoable is (reversibility in (Reversibility.REVERSIBLE, Reversibility.COMPENSABLE))
