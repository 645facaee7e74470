"""The order of starts: every step once, after its parents, irreversible calls alone and as late as possible."""

import itertools
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airlock.plans.graph import descendants
from airlock.plans.schedule import CHAIN_LIMIT, Schedule, live_order
from tests.core.build import dags

Graph = dict[str, tuple[str, ...]]


def drive(
    schedule: Schedule, pick: Callable[[list[list[str]]], int], limit: int, check: Callable[[tuple[str, ...]], None]
) -> list[str]:
    """Take and finish until nothing is left; the chains that run make progress in the order `pick` says."""
    running: list[list[str]] = []
    finished: list[str] = []
    while True:
        for chain in schedule.take(limit - len(running)):
            check(chain)
            running.append(list(chain))
        assert len(running) <= limit
        if not running:
            return finished
        chain_number = pick(running)
        step = running[chain_number].pop(0)
        schedule.finish(step)
        finished.append(step)
        running = [chain for chain in running if chain]


@given(dags(max_size=14), st.data())
def test_schedule(parents: Graph, data: st.DataObject) -> None:
    everything = sorted(parents)
    late = set(data.draw(st.lists(st.sampled_from(everything), unique=True)))
    chainable = set(data.draw(st.lists(st.sampled_from(everything), unique=True)))
    done: set[str] = set()
    for name in data.draw(st.lists(st.sampled_from(everything), max_size=3)):
        done |= {name, *(other for other in everything if name in descendants(parents, other))}
    wanted = {name for name in everything if name not in done}
    dropped = data.draw(st.sampled_from([*sorted(wanted), None])) if wanted else None
    if dropped is not None:
        wanted -= {dropped}
    reachable = wanted - set(descendants(parents, dropped)) if dropped else wanted
    schedule = Schedule(parents, wanted, done, late, chainable)
    out: list[str] = []
    finished: set[str] = set(done)
    running: list[list[str]] = []
    limit = data.draw(st.integers(1, 4))
    while True:
        taken = schedule.take(limit - len(running))
        for chain in taken:
            assert 1 <= len(chain) <= CHAIN_LIMIT
            assert set(parents[chain[0]]) <= finished
            for before, follower in itertools.pairwise(chain):
                assert [parent for parent in parents[follower] if parent not in finished] == [before]
                assert {before, follower} <= chainable - late
                assert not any(child != follower and before in parents[child] for child in wanted), (
                    "a chain must not hold up another step"
                )
            if chain[0] in late:
                assert not running
                assert len(taken) == 1
                assert chain == (chain[0],)
                could = [name for name in wanted - finished - late if set(parents[name]) <= finished]
                assert could == [], "an irreversible call must wait for what else can start"
            out += chain
            running.append(list(chain))
        assert len(running) <= limit
        assert schedule.running == tuple(sorted(step for chain in running for step in chain))
        if not running:
            break
        number = data.draw(st.integers(0, len(running) - 1))
        step = running[number].pop(0)
        schedule.finish(step)
        finished.add(step)
        running = [chain for chain in running if chain]
    assert sorted(out) == sorted(reachable)


@given(dags(max_size=14), st.data())
def test_live_order(parents: Graph, data: st.DataObject) -> None:
    late = set(data.draw(st.lists(st.sampled_from(sorted(parents)), unique=True)))
    order = live_order(parents, sorted(parents), (), late)
    assert sorted(order) == sorted(parents)
    for position, name in enumerate(order):
        assert set(parents[name]) <= set(order[:position])
        if name in late:
            rest = [other for other in order[position + 1 :] if other not in late]
            waiting_for_late = {child for before in late & set(order[position:]) for child in descendants(parents, before)}
            assert set(rest) <= waiting_for_late, "what needs no irreversible call comes before all of them"


def test_nothing_may_start_without_room() -> None:
    schedule = Schedule({"a": ()}, ["a"])
    assert schedule.take(0) == ()
    assert schedule.take(-5) == ()
    assert schedule.take(1) == (("a",),)
    assert schedule.take(1) == ()


def test_a_late_step_waits_for_what_runs() -> None:
    schedule = Schedule({"mail": (), "write": ()}, ["mail", "write"], late=["mail"])
    assert schedule.take() == (("write",),)
    assert schedule.take() == ()
    schedule.finish("write")
    assert schedule.take() == (("mail",),)


def test_late_steps_come_one_at_a_time_by_name() -> None:
    schedule = Schedule({"m2": (), "m1": ()}, ["m1", "m2"], late=["m1", "m2"])
    assert schedule.take() == (("m1",),)
    assert schedule.take() == ()
    schedule.finish("m1")
    assert schedule.take() == (("m2",),)


def test_a_chain_is_as_long_as_the_limit() -> None:
    names = [f"s{number}" for number in range(7)]
    parents = {name: tuple(names[index - 1 : index]) if index else () for index, name in enumerate(names)}
    schedule = Schedule(parents, names, chainable=names)
    assert schedule.take() == (tuple(names[:CHAIN_LIMIT]),)
    for name in names[:CHAIN_LIMIT]:
        assert schedule.take() == ()
        schedule.finish(name)
    assert schedule.take() == (tuple(names[CHAIN_LIMIT : 2 * CHAIN_LIMIT]),)


def test_an_irreversible_call_is_never_chained_even_when_it_is_repeatable() -> None:
    schedule = Schedule({"a": (), "mail": ("a",), "b": ()}, ["a", "b", "mail"], late=["mail"], chainable=["a", "mail"])
    assert schedule.take() == (("a",), ("b",))


@pytest.mark.parametrize("wide", [True, False])
def test_five_thousand_steps_finish(wide: bool) -> None:
    names = [f"s{number:04}" for number in range(5_000)]
    parents: Graph = {name: () if wide or not index else (names[index - 1],) for index, name in enumerate(names)}
    schedule = Schedule(parents, names, chainable=names)
    finished = drive(schedule, lambda running: 0, 200, lambda chain: None)
    assert len(finished) == 5_000
    assert len(live_order(parents, names, (), names[::7])) == 5_000


def test_of_a_group_only_so_many_run_at_once_whatever_else_is_ready() -> None:
    parents = dict.fromkeys(("a1", "a2", "a3", "b1"), ())
    schedule = Schedule(parents, wanted=parents, group=dict.fromkeys(("a1", "a2", "a3"), "a"), slots={"a": 2})
    assert schedule.take() == (("a1",), ("a2",), ("b1",))
    assert schedule.take() == ()
    schedule.finish("a1")
    assert schedule.take() == (("a3",),)


def test_a_group_without_a_number_runs_one_after_the_other() -> None:
    parents = dict.fromkeys(("a1", "a2"), ())
    schedule = Schedule(parents, wanted=parents, group={"a1": "a", "a2": "a"})
    assert schedule.take() == (("a1",),)
    schedule.drop("a1")
    assert schedule.take() == (("a2",),)


def test_what_waits_for_a_dropped_step_never_starts() -> None:
    schedule = Schedule({"a": (), "b": ("a",)}, wanted=("a", "b"))
    assert schedule.take() == (("a",),)
    schedule.drop("a")
    assert schedule.take() == ()
    assert schedule.running == ()
