"""The bytes that a plan has under way at a time."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from airlock.plans.schedule import Schedule
from airlock.run.live.load import MAX_LOAD, MAX_REQUEST, Load, portions

sizes = st.lists(st.sampled_from([10, 400_000, 900_000, 1_100_000, 3_000_000]), min_size=1, max_size=40)


@given(sizes, st.integers(1, 5))
def test_a_schedule_makes_every_call_within_the_load(each, width):
    steps = {f"s{number:02}": size for number, size in enumerate(each)}
    names = list(steps)
    parents = {name: (names[n - width],) if n >= width else () for n, name in enumerate(names)}
    schedule, load = Schedule(parents, names, chainable=names), Load(steps.__getitem__)
    made: list[str] = []
    under_way: list[tuple[str, ...]] = []
    while chains := (*under_way, *schedule.take(200, load.take)):
        total = sum(steps[step] for chain in chains for step in chain)
        assert total <= MAX_LOAD or chains == ((chains[0][0],),)
        assert all(sum(steps[step] for step in chain) <= MAX_REQUEST or len(chain) == 1 for chain in chains)
        ended, *under_way = chains
        for step in ended:
            schedule.finish(step)
        load.drop(ended)
        made += ended
    assert Counter(made) == Counter(names)


def test_a_step_that_waits_is_weighed_once_and_a_follower_each_time():
    weighed: Counter[str] = Counter()
    load = Load(lambda step: MAX_LOAD if weighed.update([step]) is None else 0)
    assert load.take(("first",)) == ("first",)
    assert [load.take(("second", "third")) for _ in range(3)] == [(), (), ()]
    assert weighed == {"first": 1, "second": 1, "third": 3}
    load.drop(("first",))
    assert load.take(("second", "third")) == ("second",)


def test_a_run_from_before_there_were_epochs_weighs_nothing():
    def weigh(step: str) -> int:
        raise AssertionError(f"{step} was weighed")

    load = Load(weigh, bounded=False)
    assert [load.take((step, "next")) for step in "abc"] == [("a", "next"), ("b", "next"), ("c", "next")]
    load.drop(("a", "next"))


def test_late_calls_do_not_overtake_a_step_that_waits_for_the_load():
    load = Load(lambda step: MAX_LOAD)
    schedule = Schedule({"a": (), "b": (), "irreversible": ()}, ["a", "b", "irreversible"], late=["irreversible"])
    assert schedule.take(200, load.take) == (("a",),)
    schedule.finish("a")  # it is done, but its activity has not ended
    assert schedule.take(200, load.take) == ()
    load.drop(("a",))
    assert schedule.take(200, load.take) == (("b",),)


@given(sizes, st.integers(1, 5))
def test_portions_hold_every_step_once_in_order(each, most):
    weights = [(f"s{number:02}", size) for number, size in enumerate(each)]
    groups = list(portions(weights, most))
    assert [step for group in groups for step in group] == [step for step, _ in weights]
    assert all(len(group) <= most for group in groups)
    assert all(len(group) == 1 or sum(dict(weights)[step] for step in group) <= MAX_REQUEST for group in groups)
