"""Roles: the people that a policy names together, such as `approver`, `operator`, `auditor` or a group of its own."""

import re
from collections.abc import Iterator, Mapping
from typing import Final

from airlock.base.errors import Problem
from airlock.base.person import name_problem, same_person

MEMBERS_OF: Final = "@"
"""Begins an entry that stands for all people of another role, such as `@finance`."""
MAX_ROLES: Final = 200
_NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,63}")

Roles = Mapping[str, tuple[str, ...]]


def people(roles: Roles, role: str) -> tuple[str, ...]:
    """Return the people of a role, those of the roles in it included, in the order in which they are named.

    A role that is not there has no people. A circle of roles ends where it began.
    """
    return tuple(dict.fromkeys(_people(roles, role, set())))


def has_role(roles: Roles, role: str, person: str) -> bool:
    """Return True if a person, in any spelling of the name, has a role."""
    return any(same_person(name, person) for name in people(roles, role))


def role_problems(roles: Roles) -> tuple[Problem, ...]:
    """Return what is wrong with the roles of a policy: names, members that are no people, roles that are not there."""
    return tuple(_problems(roles))


def _people(roles: Roles, role: str, seen: set[str]) -> Iterator[str]:
    if role in seen:
        return
    seen.add(role)
    for entry in roles.get(role, ()):
        if entry.startswith(MEMBERS_OF):
            yield from _people(roles, entry.removeprefix(MEMBERS_OF), seen)
        else:
            yield entry


def _problems(roles: Roles) -> Iterator[Problem]:
    if len(roles) > MAX_ROLES:
        yield Problem(where="policy.roles", message=f"names {len(roles)} roles", fix=f"name at most {MAX_ROLES}")
    for role, entries in roles.items():
        where = f"policy.roles.{role}"
        if not _NAME.fullmatch(role):
            fix = "begin with a letter from a to z; letters, digits, - and _ may follow, 64 characters in all"
            yield Problem(where=where, message="is no name of a role", fix=fix)
        if not entries:
            fix = f'name its people, such as {role} = ["alice"], or take the role out'
            yield Problem(where=where, message="has no people: a decision that needs this role could never be made", fix=fix)
        for entry in entries:
            other = entry.removeprefix(MEMBERS_OF)
            if entry.startswith(MEMBERS_OF):
                if other not in roles:
                    yield Problem(
                        where=where, message=f"{entry!a}: there is no such role", fix="name a role of policy.roles"
                    )
                elif role in _within(roles, other):
                    yield Problem(where=where, message=f"{entry!a} leads back to this role", fix="take one of them out")
            elif problem := name_problem(entry):
                yield Problem(where=where, message=f"{entry!a}: {problem}", fix="correct or remove this name")


def _within(roles: Roles, role: str) -> set[str]:
    """Return a role and every role in it."""
    found, open_roles = {role}, [role]
    while open_roles:
        for entry in roles.get(open_roles.pop(), ()):
            other = entry.removeprefix(MEMBERS_OF)
            if entry.startswith(MEMBERS_OF) and other not in found:
                found.add(other)
                open_roles.append(other)
    return found
