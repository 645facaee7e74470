"""The cost of conditions: a count of the values that CEL looks at, and what counts as not known beyond it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airlock.admission.rules.condition import Condition, compiled
from airlock.admission.rules.evaluation_cost import MAX_COST, Sizes, too_large
from airlock.admission.rules.subject import MAX_CHARACTERS, MAX_VALUES
from tests.core.test_rule_conditions import applied

SEARCH = "step.args.wanted.exists(x, x in step.args.known)"
CONDITIONS = [
    SEARCH,
    "step.args.wanted.all(x, x in step.args.known || x in step.args.other)",
    "step.args.wanted.filter(x, x in step.args.known).all(x, x in step.args.other)",
    "step.args.wanted.exists(x, (x + step.args.text).contains('y'))",
    "step.args.wanted.exists(x, step.args.known == step.args.other)",
    "step.args.wanted.exists(x, size(step.args) > 3)",
    "(step.args.wanted + step.args.known).exists(x, x in plan.agents)",
    " + ".join(["step.args.text"] * 60) + " == 'y'",
    "step.args.wanted.all(x, x == '')",
]


def cost_after(condition: Condition, sizes: dict[str, int]) -> int:
    def size(path: tuple[str, ...]) -> int:
        return sizes.get(path[-1], 1)

    gone = too_large(condition.shape, condition.reads, size)
    return condition.shape.cost([0 if at in gone else size(read.path) for at, read in enumerate(condition.reads)])


@pytest.mark.parametrize("text", CONDITIONS)
@given(sizes=st.fixed_dictionaries({name: st.integers(0, 10_000) for name in ("wanted", "known", "other", "text", "args")}))
def test_no_evaluation_looks_at_more_values_than_it_may(text: str, sizes: dict[str, int]) -> None:
    assert cost_after(compiled(text), sizes) <= MAX_COST


def lists(length: int) -> dict[str, Any]:
    return {"wanted": [f"a{number}" for number in range(length)], "known": [f"b{number}" for number in range(length)]}


def test_lists_that_are_short_are_searched() -> None:
    assert applied(SEARCH, lists(200)) is None
    assert applied(SEARCH, {**lists(200), "known": ["a7"]}, "allow") is not None


def test_long_lists_count_as_not_known_and_so_against_going_live() -> None:
    args = lists(500)
    denied = applied(SEARCH, args)
    assert denied is not None
    assert set(denied.unknown) == {"step.args.wanted", "step.args.known"}
    assert applied(SEARCH, args, "ask(2)") is not None
    assert applied(SEARCH, {**args, "known": args["wanted"]}, "allow") is None


def test_the_rest_of_the_condition_still_decides() -> None:
    assert applied(f"step.tool == 'other' && {SEARCH}", lists(500)) is None


def test_one_list_may_be_as_long_as_an_argument_may_be() -> None:
    args = {"wanted": ["a"] * (MAX_VALUES - 1)}
    assert applied("step.args.wanted.all(x, x == 'a' || x == 'b' || x.startsWith('c'))", args, "allow") is not None
    small = {**args, "limit": 3}
    assert applied("step.args.wanted.all(x, size(x) < step.args.limit)", small, "allow") is not None


def test_texts_that_are_joined_again_and_again_count_by_their_length() -> None:
    text = "x" * (MAX_CHARACTERS - 1)
    assert applied(CONDITIONS[7], {"text": "x"}) is None
    found = applied(CONDITIONS[7], {"text": text})
    assert found is not None
    assert found.unknown == ("step.args.text",)


def test_sizes_count_values_and_characters() -> None:
    sizes = Sizes({"step": {"args": {"list": [1, [2, 3]], "text": "x" * 640, "none": None}}})
    assert sizes(("step", "args", "list")) == 5
    assert sizes(("step", "args", "text")) == 11
    assert sizes(("step", "args", "none")) == 0
    assert sizes(("step", "args", "gone")) == 0
