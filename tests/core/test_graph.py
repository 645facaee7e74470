"""The plan's graph: what is wrong with it is named, and every order is the same everywhere."""

import itertools

import networkx as nx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airlock.admission.examination import examine
from airlock.plans.graph import descendants, graph_problems, topological_order, waves
from airlock.plans.parents import parents_of, reversed_parents
from tests.core.build import dags, plan, step

Graph = dict[str, tuple[str, ...]]


def problems(*steps: object) -> list[tuple[str, str]]:
    return [(found.where, found.message) for found in graph_problems(plan(*steps))]  # type: ignore[arg-type]


def test_a_cycle_is_named_as_a_walk() -> None:
    assert problems(step("b", "write", "a"), step("c", "write", "b"), step("a", "write", "c"), step("d")) == [
        ("steps.a", "depends on itself: a -> b -> c -> a")
    ]


def test_a_step_after_itself() -> None:
    assert problems(step("a", "write", "a")) == [("steps.a", "depends on itself: a -> a")]


def test_a_cycle_through_a_reference() -> None:
    found = problems(step("a", args={"x": {"$ref": "b.id"}}), step("b", "write", "a"))
    assert found == [("steps.a", "depends on itself: a -> b -> a")]


def test_each_cycle_is_named_once() -> None:
    found = problems(step("a", "write", "b"), step("b", "write", "a"), step("x", "write", "y"), step("y", "write", "x"))
    assert [where for where, _ in found] == ["steps.a", "steps.x"]


@given(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)), max_size=20))
def test_every_cycle_that_is_named_exists_and_every_cyclic_graph_has_one(edges: list[tuple[int, int]]) -> None:
    after: dict[str, set[str]] = {f"s{number}": set() for number in range(9)}
    for parent, child in edges:
        after[f"s{child}"].add(f"s{parent}")
    found = problems(*(step(name, "write", *sorted(above)) for name, above in after.items()))
    graph = nx.DiGraph((parent, child) for child, above in after.items() for parent in above)
    assert bool(found) is not nx.is_directed_acyclic_graph(graph)
    for _, message in found:
        walk = message.removeprefix("depends on itself: ").split(" -> ")
        assert walk[0] == walk[-1]
        assert all(parent in after[child] for parent, child in itertools.pairwise(walk))


def test_dangling_after_and_ref() -> None:
    found = problems(step("a", "write", "gone", args={"x": {"$ref": "lost.id"}}))
    assert found == [
        ("steps.a.after", "names step 'gone', which is not in the plan"),
        ("steps.a.args.x", "names step 'lost', which is not in the plan"),
    ]


def test_ids_used_twice() -> None:
    assert problems(step("a"), step("b"), step("a"), step("a")) == [("steps.a.id", "two steps have this id")] * 2


def test_every_problem_has_a_fix() -> None:
    bad = plan(step("a", "write", "gone"), step("a"), step("b", args={"x": {"$ref": "a.["}, "y": {"$secret": ""}}))
    found = examine(bad).problems
    assert [problem.where for problem in found] == ["steps.b.args.x", "steps.b.args.y", "steps.a.id", "steps.a.after"]
    assert all(problem.fix for problem in found)


def test_what_json_cannot_say_is_a_problem_of_the_plan() -> None:
    (found,) = examine(plan(step("a", args={"x": float("nan")}))).problems
    assert "not JSON" in found.message


@given(dags())
def test_the_order_is_topological_and_does_not_depend_on_the_file(parents: Graph) -> None:
    order = topological_order(parents)
    assert sorted(order) == sorted(parents)
    place = {name: position for position, name in enumerate(order)}
    assert all(place[parent] < place[name] for name in parents for parent in parents[name])
    assert topological_order(dict(sorted(parents.items(), reverse=True))) == order
    graph = nx.DiGraph((above, step) for step, found in parents.items() for above in found)
    graph.add_nodes_from(parents)
    assert order == tuple(nx.lexicographical_topological_sort(graph)), "as recorded histories were commanded"
    assert waves(parents, parents) == tuple(tuple(sorted(each)) for each in nx.topological_generations(graph))


@given(dags(), st.data())
def test_waves(parents: Graph, data: st.DataObject) -> None:
    some = data.draw(st.sets(st.sampled_from(sorted(parents))))
    groups = waves(parents, some)
    assert sorted(name for group in groups for name in group) == sorted(some)
    before: set[str] = set()
    for group in groups:
        assert group == tuple(sorted(group))
        assert all(parent in before for name in group for parent in parents[name] if parent in some)
        before.update(group)


@given(dags())
def test_descendants_and_turned_arrows(parents: Graph) -> None:
    children = reversed_parents(parents)
    assert {(parent, child) for child in parents for parent in parents[child]} == {
        (parent, child) for parent in children for child in children[parent]
    }
    for name in parents:
        below = descendants(parents, name)
        assert below == tuple(sorted(below))
        assert set(children[name]) <= set(below)
        for child in children[name]:
            assert set(descendants(parents, child)) <= set(below)


def test_parents_are_after_and_references_sorted_once() -> None:
    proposed = plan(step("b"), step("a"), step("c", "write", "b", "a", "b", args={"x": [{"$ref": "a.id"}]}))
    assert parents_of(proposed)["c"] == ("a", "b")


@pytest.mark.parametrize("count", [5_000])
def test_a_large_graph(count: int) -> None:
    parents: Graph = {
        f"s{number}": tuple(f"s{p}" for p in (number - 1, number // 2) if 0 <= p < number) for number in range(count)
    }
    assert len(topological_order(parents)) == count
    assert len(descendants(parents, "s0")) == count - 1
