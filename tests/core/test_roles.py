"""Roles of a policy: who has one, and what is refused when `airlock.toml` is read."""

import pytest

from airlock.admission.configuration.contradictions import contradictions
from airlock.admission.policy import Policy
from airlock.admission.roles import has_role, people

ROLES = {"approver": ("maria", "@finance"), "finance": ("Jo Ann", "@board"), "board": ("maria", "lee")}


def test_a_role_holds_the_people_of_the_roles_in_it_once() -> None:
    assert people(ROLES, "approver") == ("maria", "Jo Ann", "lee")
    assert people(ROLES, "operator") == ()


@pytest.mark.parametrize(("person", "has"), [("MARIA", True), ("jo  ann", True), ("lee", True), ("kim", False)])
def test_every_spelling_of_a_name_has_the_role(person: str, has: bool) -> None:
    assert has_role(ROLES, "approver", person) is has


def test_a_circle_of_roles_ends() -> None:
    assert people({"one": ("a", "@two"), "two": ("b", "@one")}, "two") == ("b", "a")


@pytest.mark.parametrize(
    ("roles", "told"),
    [
        ({"Finance": ("jo",)}, "is no name of a role"),
        ({"finance": ("@board",)}, "there is no such role"),
        ({"one": ("@two",), "two": ("@one",)}, "leads back to this role"),
        ({"finance": ("airlock",)}, "are not people"),
        ({"finance": ("",)}, "no character of this name can be seen"),
    ],
)
def test_a_wrong_role_is_told(roles: dict[str, tuple[str, ...]], told: str) -> None:
    problems = contradictions(Policy(roles=roles))
    assert problems
    assert all(problem.where.startswith("policy.roles.") for problem in problems)
    assert any(told in problem.message for problem in problems)


def test_a_policy_without_roles_has_the_digest_it_had() -> None:
    assert "roles" not in Policy().model_dump(mode="json")
