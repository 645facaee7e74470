"""The open parts of a prediction become what the earlier call left; a difference elsewhere, or no state, is stale."""

from typing import Any

import pytest

from airlock.plans.left_states import NotAsForeseen, completed, relies_on
from airlock.plans.refs import UNKNOWN

N = "thing:1"
OPEN = {"etag": UNKNOWN, "size": 3}


@pytest.mark.parametrize(
    ("observed", "left", "expected"),
    [
        (UNKNOWN, {N: {"etag": "b", "size": 3}}, {"etag": "b", "size": 3}),
        (UNKNOWN, {N: "b"}, "b"),
        (UNKNOWN, {N: None}, None),
        (OPEN, {N: {"etag": "b", "size": 3}}, {"etag": "b", "size": 3}),
        (OPEN, {N: {"etag": {"strong": True}, "size": 3}}, {"etag": {"strong": True}, "size": 3}),
        ({**OPEN, "of": "the world"}, {N: {"etag": "b", "size": 3}}, {"etag": "b", "size": 3, "of": "the world"}),
        ({N: OPEN, "other": 1}, {N: {"etag": "b", "size": 3}}, {N: {"etag": "b", "size": 3}, "other": 1}),
        ({N: UNKNOWN, "other": 1}, {N: "b"}, {N: "b", "other": 1}),
        ({"tags": ["a", UNKNOWN]}, {N: {"tags": ["a", "b"]}}, {"tags": ["a", "b"]}),
        ({"size": 3}, {}, {"size": 3}),
    ],
)
def test_the_open_parts_become_what_was_left(observed: Any, left: dict[str, Any], expected: Any) -> None:
    assert completed(observed, {N: "a"}, left) == expected


@pytest.mark.parametrize(
    ("observed", "left", "said"),
    [
        (OPEN, {N: {"etag": "b", "size": 4}}, "thing:1, as step 'a' left it, is not as its preview foresaw at size"),
        (OPEN, {N: {"etag": "b", "size": 3, "more": 1}}, "foresaw at more"),
        (OPEN, {N: {"etag": "b", "size": True}}, "foresaw at size"),
        (OPEN, {N: "b"}, "is not as its preview foresaw"),
        (OPEN, {N: None}, "is not as its preview foresaw"),
        ({"tags": ["a", UNKNOWN]}, {N: {"tags": ["a"]}}, "foresaw at tags"),
        ({"tags": ["a", UNKNOWN]}, {N: {"tags": ["c", "b"]}}, r"foresaw at tags\[0\]"),
        ({N: OPEN}, {N: {"etag": "b", "size": 4}}, "foresaw at"),
        (OPEN, {}, "its preview could not tell thing:1 as step 'a' leaves it"),
        (UNKNOWN, {}, "could not tell"),
        (OPEN, {"thing:2": {"etag": "b", "size": 3}}, "could not tell"),
        (OPEN, {N: {"size": 3}}, "could not tell"),
        (OPEN, {N: {"etag": UNKNOWN, "size": 3}}, "could not tell"),
        (UNKNOWN, {N: UNKNOWN}, "could not tell"),
    ],
)
def test_everything_else_is_stale(observed: Any, left: dict[str, Any], said: str) -> None:
    with pytest.raises(NotAsForeseen, match=said):
        completed(observed, {N: "a"}, left)


def test_several_things_are_each_filled_where_they_stand() -> None:
    follows, left = {N: "a", "thing:2": "b"}, {N: {"v": 1}, "thing:2": {"v": 2}}
    observed = {N: {"v": UNKNOWN}, "thing:2": {"v": UNKNOWN}}
    assert completed(observed, follows, left) == left
    with pytest.raises(NotAsForeseen, match="thing:1 as step 'a' leaves it, thing:2 as step 'b' leaves it"):
        completed(observed, follows, {N: {"v": 1}})
    with pytest.raises(NotAsForeseen, match="could not tell"):  # nothing says how the tool observes both together
        completed(UNKNOWN, follows, left)


@pytest.mark.parametrize(
    ("observed", "seen", "fits"),
    [
        ({"etag": UNKNOWN, "size": 3}, {"etag": "b", "size": 3}, True),
        (UNKNOWN, {"size": 3}, True),
        ({N: UNKNOWN}, {"size": 3}, True),
        ({"etag": "b", "size": 3}, {"etag": UNKNOWN, "size": 3}, False),
        ({"etag": UNKNOWN, "size": 4}, {"etag": "b", "size": 3}, False),
        ({"etag": UNKNOWN}, {"etag": "b", "size": 3}, False),
    ],
)
def test_a_dry_run_may_leave_open_what_it_was_told_and_not_the_reverse(observed: Any, seen: Any, fits: bool) -> None:
    assert relies_on(observed, N, seen) is fits
