"""The search for contacts: free text and the filters of the LeadConnector search."""

from collections.abc import Callable
from typing import Any

from sandbox.service import Refused
from sandbox.store import JsonObject

Predicate = Callable[[JsonObject], bool]

_TEXT = ("name", "firstName", "lastName", "email", "phone", "companyName")


def matches_query(contact: JsonObject, query: Any) -> bool:
    """Return True if the text occurs, in any case, in a name, the email, the phone or a tag; none matches all."""
    if query is None or query == "":
        return True
    wanted = str(query).casefold()
    texts = [contact.get(name) or "" for name in _TEXT] + contact["tags"]
    return any(wanted in text.casefold() for text in texts)


def filter_of(filters: Any) -> Predicate:
    """Return a check that holds when every filter does; a filter is a group, or a field, an operator and a value.

    Raises:
        Refused: 422, a filter has no such shape or an unknown operator.
    """
    if filters is not None and not isinstance(filters, list):
        raise Refused(422, ["filters must be an array"])
    checks = [_check_of(each) for each in filters or []]
    return lambda contact: all(check(contact) for check in checks)


def _check_of(each: Any) -> Predicate:
    if not isinstance(each, dict):
        raise Refused(422, ["each value in filters must be an object"])
    if "group" in each:
        checks = [_check_of(inner) for inner in each.get("filters") or []]
        some_or_all = any if str(each["group"]).upper() == "OR" else all
        return lambda contact: some_or_all(check(contact) for check in checks)
    field, operator = each.get("field"), _OPERATORS.get(str(each.get("operator")))
    if operator is None or not isinstance(field, str):
        raise Refused(422, [f"filters need a field and an operator out of {sorted(_OPERATORS)}"])
    return lambda contact: operator(_values(contact.get(field)), _values(each.get("value")))


def _values(value: Any) -> list[str]:
    """Return a value as the list of texts it is compared by; nothing and an empty text are no values."""
    items = value if isinstance(value, list) else [value]
    return [str(item).casefold() for item in items if item is not None and item != ""]


def _equal(have: list[str], want: list[str]) -> bool:
    return any(item in have for item in want)


def _contains(have: list[str], want: list[str]) -> bool:
    return any(part in item for item in have for part in want)


_OPERATORS: dict[str, Callable[[list[str], list[str]], bool]] = {
    "eq": _equal,
    "not_eq": lambda have, want: not _equal(have, want),
    "contains": _contains,
    "not_contains": lambda have, want: not _contains(have, want),
    "exists": lambda have, _want: bool(have),
    "not_exists": lambda have, _want: not have,
}
