"""Six conflicts, four answers: each changes what runs, all of them leave a plan in which nothing conflicts."""

import time
from typing import Any

import networkx as nx
from hypothesis import assume, given
from hypothesis import strategies as st

from airlock.admission.admitted import Admitted
from airlock.admission.conflicts.conflict import MAX_PER_KIND
from airlock.admission.conflicts.resolution import resolve
from airlock.admission.conflicts.situation import Situation
from airlock.admission.examination import examine
from airlock.admission.policy import Policy
from airlock.plans.graph import PlanGraph
from airlock.plans.parents import parents_of
from airlock.plans.plan import Plan
from tests.core.build import dags, plan, step
from tests.core.conflict_build import CATALOGUE, answered, on, told

KEYS = st.sampled_from(["jo", "kim", "lee"])
ALL = ("read", "write", "mail", "open", "charge", "close", "slow", "metered")


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    parents = draw(dags(max_size=14))
    steps = []
    for name, above in parents.items():
        tool = draw(st.sampled_from(ALL))
        args: dict[str, Any] = {"to" if tool == "mail" else "key": draw(KEYS)}
        confidence = draw(st.sampled_from([0.6, 0.82, 0.9, 1.0]))
        steps.append(
            step(name, tool, *above, args=args, confidence=confidence, agent=draw(st.sampled_from(["bot", "boss"])))
        )
    if draw(st.booleans()):  # or few plans with prerequisites would be acceptable
        steps += [step("x1", "open", agent="boss"), step("x2", "charge", agent="boss")]
    return plan(*steps, deadline=draw(st.sampled_from([None, "30s", "2m", "1h"])))


LIMITED = Policy.model_validate({"agents": {"boss": {"permissions": ["*"]}}})


def as_situation(proposed: Plan, found: Admitted) -> Situation:
    """Return the admitted plan, as if it had been proposed that way."""
    steps = {
        each.id: each.model_copy(update={"agent": found.reassigned.get(each.id, each.agent)}) for each in proposed.steps
    }
    contracts = {name: found.contract(name) for name in steps}
    resources = {name: found.steps[name].resources for name in steps}
    return Situation(steps, contracts, PlanGraph(found.parents), found.caps, resources, LIMITED, proposed.deadline_seconds)


@given(plans())
def test_what_is_resolved_has_no_conflict_left(proposed: Plan) -> None:
    found = examine(proposed, CATALOGUE, LIMITED).admitted
    assume(found is not None)
    assert found is not None
    again = resolve(as_situation(proposed, found), {})
    assert again.conflicts == ()
    assert (again.problems, again.reassigned) == ((), ())
    assert dict(again.situation.parents) == found.parents
    assert dict(again.situation.caps) == found.caps


@given(plans())
def test_the_graph_stays_acyclic_and_only_grows_and_everything_live_is_in_order(proposed: Plan) -> None:
    found = examine(proposed, CATALOGUE, LIMITED).admitted
    assume(found is not None)
    assert found is not None
    graph = nx.DiGraph((above, name) for name, parents in found.parents.items() for above in parents)
    graph.add_nodes_from(found.parents)
    assert nx.is_directed_acyclic_graph(graph)
    assert sorted(found.order) == sorted(found.parents)
    for each in proposed.steps:
        assert set(each.parents) <= set(found.parents[each.id])
        called_before = {other.tool for other in proposed.steps if other.id in nx.ancestors(graph, each.id)}
        assert called_before.issuperset(found.contract(each.id).depends_on_tools)
    going = found.live_candidates
    for one in going:
        for other in going:
            shared = set(found.steps[one].resources) & set(found.steps[other].resources)
            writes = not found.contract(one).read_only and not found.contract(other).read_only
            if one < other and shared and writes:
                assert nx.has_path(graph, one, other) or nx.has_path(graph, other, one)
    mails = [each.args["to"] for each in proposed.steps if each.tool == "mail" and each.id in going]
    assert len(mails) == len(set(mails))


@given(plans())
def test_a_plan_without_conflicts_is_not_changed(proposed: Plan) -> None:
    found = examine(proposed, CATALOGUE, LIMITED).admitted
    if found is None or found.conflicts:
        return
    assert found.parents == parents_of(proposed)
    assert found.reassigned == {}
    kinds = ("TIMEOUT", "RATE_LIMIT", "DUPLICATE_ACTION", "agent ")
    assert not any(cap.reason.startswith(kinds) for caps in found.caps.values() for cap in caps)


@given(plans(), st.randoms(use_true_random=False))
def test_the_order_of_steps_in_the_file_does_not_matter(proposed: Plan, chance: Any) -> None:
    steps = list(proposed.steps)
    chance.shuffle(steps)
    one = examine(proposed, CATALOGUE, LIMITED)
    other = examine(proposed.model_copy(update={"steps": tuple(steps)}), CATALOGUE, LIMITED)
    assert sorted(map(str, one.problems)) == sorted(map(str, other.problems))
    assert one.admitted == other.admitted


def test_thousands_of_conflicts_are_summed_up() -> None:
    found = answered(plan(*(on(f"s{number:04d}", str(number // 2)) for number in range(400))))
    assert len(found.conflicts) == MAX_PER_KIND + 1
    assert told(found)[-1] == "RESOURCE -> DELAY: 150 more like these"
    assert sum(len(above) for above in found.parents.values()) == 200


def crowded(number: int) -> Plan:
    """Return every step in the way of many others, in every way there is."""
    tools = ("write", "mail", "metered", "read", "open", "charge", "slow")
    return plan(
        *(
            step(
                f"s{index:04d}",
                tools[index % 7],
                *([f"s{index - 50:04d}"] if index >= 50 and index % 3 == 0 else []),
                args={"to" if tools[index % 7] == "mail" else "key": f"k{index % 5}", "n": index},
                confidence=0.86 + (index % 10) / 100,
            )
            for index in range(number)
        ),
        deadline="1d",
    )


def test_five_thousand_steps_do_not_take_much_longer_than_ten_times_five_hundred() -> None:
    def duration(proposed: Plan) -> float:
        begun = time.process_time()
        assert answered(proposed).conflicts
        return time.process_time() - begun

    small, large = crowded(500), crowded(5_000)
    duration(small)
    assert duration(large) < 30 * max(duration(small), 0.02)
