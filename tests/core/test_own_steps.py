"""A dry run gets the state that the nearest step it depends on would leave, or a clear refusal."""

import random
from typing import Any

import pytest

from airlock.base.errors import ToolFailed
from airlock.plans.left_states import relies_on
from airlock.plans.own_steps import MAX_LEFT_BYTES, Left, LeftUnknown, OwnSteps, ancestors, handed_on
from airlock.plans.refs import UNKNOWN


def own(parents: dict[str, tuple[str, ...]], **leaves: str) -> OwnSteps:
    found = OwnSteps(parents)
    for step, name in leaves.items():
        found.add(step, {name: Left(seen={"by": step}, content=[step])})
    return found


CHAIN = {"a": (), "b": ("a",), "c": ("b",), "d": ("c",)}


@pytest.mark.parametrize(
    ("parents", "leaves", "asks", "expected"),
    [
        (CHAIN, {"a": "f"}, "d", "a"),
        (CHAIN, {"a": "f", "b": "f"}, "d", "b"),
        (CHAIN, {"a": "g"}, "d", None),
        (CHAIN, {"d": "f"}, "d", None),
        (CHAIN, {"c": "f"}, "b", None),
        ({"a": (), "x": ()}, {"a": "f"}, "x", None),
        # the walk meets `a` first on one way, but `b` comes after it on the other
        ({"a": (), "b": ("a",), "x": ("a", "b")}, {"a": "f", "b": "f"}, "x", "b"),
        ({"a": (), "b": ("m",), "m": ("a",), "x": ("a", "b")}, {"a": "f", "b": "f"}, "x", "b"),
        # above the nearest one the plan branches again: that does not matter
        ({"a": (), "b": (), "c": ("a", "b"), "x": ("c",)}, {"a": "f", "b": "f", "c": "f"}, "x", "c"),
        ({}, {"a": "f"}, "x", None),
    ],
)
def test_the_nearest_step_that_a_step_depends_on_counts(parents, leaves, asks, expected):
    found = own(parents, **leaves).before(asks, "f")
    assert (found and (found.step, found.seen, found.content)) == (expected and (expected, {"by": expected}, [expected]))


def test_two_steps_in_no_order_that_leave_one_thing_are_refused_with_the_way_out():
    steps = own({"a": (), "b": (), "x": ("a", "b")}, a="f", b="f")
    with pytest.raises(ToolFailed, match=r"^a and b both leave 'f', in no order: name one of them in `after`"):
        steps.before("x", "f")
    assert steps.before("x", "g") is None


def test_a_state_that_only_the_live_run_knows_ends_the_dry_run():
    steps = OwnSteps(CHAIN)
    steps.add("a", {"f": Left(seen="whole")})
    steps.add("b", {"f": Left(seen=UNKNOWN)})
    with pytest.raises(LeftUnknown, match="f, as step b leaves it, is"):
        steps.before("d", "f")
    steps.add("c", {"f": Left(seen="whole again")})
    found = steps.before("d", "f")
    assert found is not None
    assert found.step == "c"


def test_the_choice_agrees_with_a_plain_search_over_all_ancestors():
    dice = random.Random(7)  # a reproducible table of graphs
    refused = chosen = 0
    for _ in range(400):
        names = [f"s{number}" for number in range(dice.randint(2, 9))]
        parents = {
            name: tuple(sorted(dice.sample(names[:place], dice.randint(0, min(place, 3)))))
            for place, name in enumerate(names)
        }
        leaving = {name: "f" for name in names[:-1] if dice.random() < 0.5}
        above = ancestors(parents, (names[-1],)) & leaving.keys()
        last = {each for each in above if not any(each in ancestors(parents, (other,)) for other in above)}
        steps = own(parents, **leaving)
        if len(last) > 1:
            refused += 1
            with pytest.raises(ToolFailed):
                steps.before(names[-1], "f")
            continue
        chosen += len(last)
        found = steps.before(names[-1], "f")
        assert ({found.step} if found else set()) == last
    assert refused > 20
    assert chosen > 100


class Counted(dict[str, tuple[str, ...]]):
    """Edges that count how often they are read."""

    reads = 0

    def get(self, key: str, default: Any = None) -> Any:
        self.reads += 1
        return super().get(key, default)


def test_each_of_many_changes_of_one_thing_is_found_without_a_walk_over_all_of_them():
    names = [f"s{number:03}" for number in range(300)]
    parents = Counted({name: (names[place - 1],) if place else () for place, name in enumerate(names)})
    steps = OwnSteps(parents)
    for place, name in enumerate(names):
        found = steps.before(name, "f")
        assert (found.step if found else None) == (names[place - 1] if place else None)
        steps.add(name, {"f": Left(seen=place)})
    assert parents.reads < 4 * len(names)


def test_all_states_of_one_kind_come_in_an_order_in_which_they_can_be_made():
    parents = {"z": (), "b": ("z",), "a": ("b",), "m": (), "x": ("a", "m"), "beside": ()}
    steps = OwnSteps(parents)
    for step in reversed(list(parents)):
        steps.add(step, {f"change:{step}": Left(seen=None, content=step), f"row:{step}": Left(seen=1)})
    assert [each.content for each in steps.all_before("x", "change")] == ["z", "b", "a", "m"]
    assert steps.all_before("z", "change") == ()


def test_a_state_with_a_secret_or_too_much_in_it_is_not_handed_on():
    def redact(value):
        return (
            {key: "***" if child == "s3cret" else child for key, child in value.items()}
            if isinstance(value, dict)
            else value
        )

    leaves = {
        "plain": Left(seen={"v": 1}, content="c"),
        "secret": Left(seen="s3cret"),
        "in content": Left(seen=1, content="s3cret"),
        "large": Left(seen=1, content="x" * MAX_LEFT_BYTES),
    }
    kept = handed_on(leaves, redact)
    assert kept["plain"] == leaves["plain"]
    assert [kept[name] for name in ("secret", "in content", "large")] == [Left(seen=UNKNOWN)] * 3


@pytest.mark.parametrize(
    ("observed", "fits"),
    [
        ({"v": 1}, True),
        ({"f": {"v": 1}, "g": 2}, True),
        ({"v": 2}, False),
        (None, False),
        ({"g": {"v": 1}}, False),
        ({"v": 1, "w": 2}, True),
        ("v", False),
    ],
)
def test_a_dry_run_relies_on_a_state_if_it_observes_at_least_that(observed, fits):
    assert relies_on(observed, "f", {"v": 1}) is fits


@pytest.mark.parametrize(
    ("parents", "leaving", "expected"),
    [
        ({"a": (), "b": ()}, "ab", {"a": ("b",), "b": ("a",)}),
        ({"a": (), "b": ("a",)}, "ab", {}),
        ({"a": (), "x": ("a",), "b": ("x",)}, "ab", {}),
        ({"b": (), "a": ("b",)}, "ab", {}),
        ({"a": (), "b": ("a",), "c": ("a",)}, "abc", {"b": ("c",), "c": ("b",)}),
        ({"a": (), "b": ("a",), "c": ("a",), "d": ("b", "c")}, "abcd", {"b": ("c",), "c": ("b",)}),
        ({"a": (), "b": ("a",), "c": ("a",)}, "ab", {}),
        ({"a": (), "b": (), "c": ()}, "abc", {"a": ("b", "c"), "b": ("a", "c"), "c": ("a", "b")}),
    ],
)
def test_steps_in_no_order_that_leave_one_thing_are_told_of_each_other(parents, leaving, expected):
    steps = OwnSteps(parents)
    for step in leaving:
        steps.add(step, {"f": Left(seen=1), f"only {step}": Left(seen=1)})
    assert steps.beside() == {step: {"f": others} for step, others in expected.items()}


def test_many_steps_one_after_the_other_are_compared_without_a_walk_for_each_pair():
    names = [f"s{number}" for number in range(5_000)]
    steps = OwnSteps({step: (names[number - 1],) if number else () for number, step in enumerate(names)})
    for step in names:
        steps.add(step, {"f": Left(seen=1)})
    steps.parents = Counted(steps.parents)
    assert steps.beside() == {}
    assert steps.parents.reads < 10 * len(names)
