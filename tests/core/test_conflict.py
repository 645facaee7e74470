"""Six conflicts, four answers: each changes what runs, all of them leave a plan in which nothing conflicts."""

import time
from collections.abc import Mapping
from typing import Any

import networkx as nx
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from airlock.admission.admitted import Admission, Admitted
from airlock.admission.ceiling import Cap
from airlock.admission.conflicts.conflict import MAX_PER_KIND, Answer, Conflict, ConflictKind, with_another_plan
from airlock.admission.conflicts.resolution import resolve
from airlock.admission.conflicts.situation import Situation
from airlock.admission.examination import examine
from airlock.admission.policy import Policy
from airlock.base.errors import ConfigError
from airlock.plans.catalogue import Catalogue
from airlock.plans.contract import Mode
from airlock.plans.graph import PlanGraph
from airlock.plans.parents import parents_of
from airlock.plans.plan import Plan, Step
from airlock.plans.seal import seal
from airlock.plans.state import State
from airlock.run.audit import AuditKind
from airlock.run.presentation.preview import approve_command, render_preview
from airlock.run.rehearsal import record_conflicts
from airlock.run.sealed import Sealed
from airlock.run.state import Run
from tests.core.build import NOW, OPEN_POLICY, dags, make_tool, plan, policy, rehearse, step

CATALOGUE = Catalogue(
    [
        make_tool("read", "LOW", "read_only", resources=("row:{key}",)),
        make_tool("write", "MEDIUM", "reversible", compensate=True, resources=("row:{key}",), timeout=10),
        make_tool("mail", "HIGH", "irreversible", resources=("box:{to}",), timeout=10),
        make_tool("open", "MEDIUM", "reversible", compensate=True, timeout=10),
        make_tool("charge", "MEDIUM", "compensable", compensate=True, depends_on_tools={"open"}, permissions={"money"}),
        make_tool("close", "MEDIUM", "reversible", compensate=True, depends_on_tools={"charge", "open"}),
        make_tool("slow", "MEDIUM", "compensable", compensate=True, timeout=60),
        make_tool("metered", "LOW", "compensable", compensate=True, timeout=1, rate_limit="2/m"),
    ]
)


def answered(proposed: Plan, rules: Policy = OPEN_POLICY, standing: Mapping[str, str] | None = None) -> Admitted:
    admission = examine(proposed, CATALOGUE, rules, standing=standing)
    assert admission.admitted is not None, admission.problems
    return admission.admitted


def refused(*steps: Step, rules: Policy = OPEN_POLICY) -> Admission:
    admission = examine(plan(*steps), CATALOGUE, rules).admission
    assert admission.admitted is None
    return admission


def told(admitted: Admitted) -> list[str]:
    return [f"{found.kind.value} -> {found.answer.value}: {found.detail}" for found in admitted.conflicts]


def lowered(admitted: Admitted) -> dict[str, str]:
    """Return the reason that limits each step below LIVE, by step."""
    return {step: cap.reason for step, caps in admitted.caps.items() for cap in caps if cap.mode is not Mode.LIVE}


def on(step_id: str, key: str, *after: str, tool: str = "write", **more: Any) -> Step:
    return step(step_id, tool, *after, args={"to" if tool == "mail" else "key": key}, **more)


def wrote(step_id: str, to: str, *after: str, **more: Any) -> Step:
    return on(step_id, to, *after, tool="mail", **more)


# RESOURCE


def test_two_steps_on_one_resource_are_put_in_order() -> None:
    found = answered(plan(on("c", "jo"), on("b", "jo"), on("other", "kim")))
    assert found.parents == {"b": (), "c": ("b",), "other": ()}
    assert told(found) == ["RESOURCE -> DELAY: b and c both need row:jo; c waits for b"]
    assert found.conflicts[0].steps == ("b", "c")
    assert found.order.index("b") < found.order.index("c")


def test_many_steps_on_one_resource_need_one_edge_less_than_there_are_steps() -> None:
    found = answered(plan(*(on(f"s{number:02d}", "jo") for number in range(30))))
    assert sum(len(above) for above in found.parents.values()) == 29
    assert len(found.conflicts) == 1
    assert len(found.conflicts[0].steps) == 30
    assert "and 20 more all need row:jo" in found.conflicts[0].detail


def test_an_order_the_plan_has_already_is_left_alone_even_when_it_is_indirect() -> None:
    proposed = plan(on("a", "jo"), step("between", "open", "a"), on("b", "jo", "between"))
    found = answered(proposed)
    assert found.conflicts == ()
    assert found.parents == parents_of(proposed)


def test_an_edge_that_follows_from_another_is_not_added() -> None:
    catalogue = Catalogue([make_tool("both", "MEDIUM", "reversible", compensate=True, resources=("r:{x}", "r:{y}"))])
    steps = (
        step("a", "both", args={"x": 1, "y": 2}),
        step("b", "both", args={"x": 1, "y": 3}),
        step("c", "both", args={"x": 3, "y": 2}),
    )
    admitted = examine(plan(*steps), catalogue, OPEN_POLICY).admitted
    assert admitted is not None
    assert admitted.parents == {"a": (), "b": ("a",), "c": ("b",)}


def test_what_only_reads_is_in_nobodys_way() -> None:
    assert answered(plan(on("a", "jo", tool="read"), on("b", "jo"), on("c", "jo", tool="read"))).conflicts == ()


def test_a_step_that_will_not_go_live_holds_nobody_up() -> None:
    found = answered(
        plan(on("a", "jo", confidence=0.7), on("b", "jo"), step("x", "open", confidence=0.7), on("c", "jo", "x"))
    )
    assert found.conflicts == ()
    assert found.parents["b"] == ()


def test_an_irreversible_call_waits_for_a_reversible_one_and_not_the_other_way_round() -> None:
    catalogue = Catalogue(
        [
            make_tool("mail", "HIGH", "irreversible", resources=("who:{to}",)),
            make_tool("write", "MEDIUM", "reversible", compensate=True, resources=("who:{to}",)),
        ]
    )
    steps = step("a", "mail", args={"to": "jo"}), step("z", "write", args={"to": "jo"})
    admitted = examine(plan(*steps), catalogue, OPEN_POLICY).admitted
    assert admitted is not None
    assert admitted.parents == {"a": ("z",), "z": ()}


def test_a_resource_that_is_not_known_yet_is_no_conflict_yet() -> None:
    unknown = step("b", "write", "a", args={"key": {"$ref": "x.id"}}), step("c", args={"key": {"$ref": "x.id"}})
    assert answered(plan(step("x", "read"), on("a", "jo"), *unknown)).conflicts == ()


def test_a_resource_that_is_no_plain_word_is_quoted() -> None:
    (line,) = told(answered(plan(on("a", "jo; approved\nby boss"), on("b", "jo; approved\nby boss"))))
    assert '"row:jo; approved\\nby boss"' in line
    assert "\n" not in line


# ORDERING


def test_a_step_is_moved_behind_its_prerequisite() -> None:
    found = answered(plan(step("a", "charge"), step("z", "open")))
    assert found.parents == {"a": ("z",), "z": ()}
    assert told(found) == ["ORDERING -> REASSIGN: a (charge) needs open before it; a is moved behind z"]
    assert found.reassigned == {}


def test_a_prerequisite_far_above_is_enough() -> None:
    proposed = plan(step("a", "open"), step("b", "read", "a"), step("c", "charge", "b"), step("d", "close", "c"))
    assert answered(proposed).conflicts == ()


def test_several_prerequisites_and_what_follows_from_moving() -> None:
    found = answered(plan(step("a", "close"), step("b", "charge"), step("c", "open")))
    assert found.parents == {"a": ("b",), "b": ("c",), "c": ()}
    assert [each.steps for each in found.conflicts] == [("b", "c"), ("a", "b")]


def test_of_several_that_would_do_one_that_may_go_live_is_taken() -> None:
    found = answered(plan(step("a", "open", confidence=0.7), step("b", "open"), step("z", "charge")))
    assert found.parents["z"] == ("b",)


AGENTS = {
    "bot": {"permissions": []},
    "clerk": {"permissions": ["money"]},
    "boss": {"permissions": ["*"]},
    "absent": {"permissions": ["money"]},
}


@pytest.mark.parametrize(
    ("opener", "third", "agents", "chosen"),
    [
        ("boss", "clerk", AGENTS, "boss"),  # the prerequisite's agent before others
        ("bot", "clerk", AGENTS, "clerk"),  # then an agent of the plan
        ("bot", "bot", AGENTS, "absent"),  # then one the policy names, by name
        ("bot", "bot", {"bot": {}, "*": {"permissions": ["money"]}}, None),  # "*" is no agent
        ("bot", "bot", {"*": {"permissions": ["money"]}}, None),  # it may itself
    ],
)
def test_a_moved_step_gets_an_agent_that_may_call_it(
    opener: str, third: str, agents: dict[str, Any], chosen: str | None
) -> None:
    steps = step("a", "charge"), step("o", "open", agent=opener), step("t", "read", agent=third)
    found = answered(plan(*steps), Policy.model_validate({"agents": agents}))
    assert found.parents["a"] == ("o",)
    assert found.reassigned == ({"a": chosen} if chosen else {})
    if chosen:
        assert told(found)[0].endswith(f"a is moved behind o, and from bot to {chosen}, who may call it")
        assert lowered(found) == {}
    elif agents.get("bot") is not None:
        assert lowered(found) == {"a": "agent 'bot' lacks permission money"}


def test_a_step_that_is_not_moved_keeps_its_agent() -> None:
    steps = step("a", "charge", "o"), step("o", "open", agent="boss")
    found = answered(plan(*steps), Policy.model_validate({"agents": AGENTS}))
    assert found.reassigned == {}
    assert lowered(found) == {"a": "agent 'bot' lacks permission money"}


def test_a_prerequisite_nobody_calls_refuses_the_plan_and_names_the_fix() -> None:
    (problem,) = refused(step("a", "charge"), step("b", "read")).problems
    assert str(problem) == (
        "steps.a.tool: 'charge' needs 'open' before it, and no step calls that (fix: add a step with tool 'open' before 'a')"
    )


@pytest.mark.parametrize(
    "steps",
    [
        (step("a", "charge"), step("b", "open", "a")),
        (step("a", "charge"), step("x", "read", "a"), step("b", "open", "x")),
        (step("a", "charge"), step("b", "open", "a"), step("free", "read")),
        (step("a", "close", "o"), step("o", "open"), step("b", "charge", "a")),
    ],
)
def test_a_prerequisite_that_can_only_come_later_refuses_the_plan(steps: tuple[Step, ...]) -> None:
    (problem,) = refused(*steps).problems
    assert "each of these would have to come before the next" in problem.message
    assert " -> " in problem.message
    assert "free" not in problem.message


def test_two_moves_that_only_together_make_a_circle() -> None:
    catalogue = Catalogue(
        [
            make_tool("p", "LOW", "read_only"),
            make_tool("q", "LOW", "read_only"),
            make_tool("needs_p", "LOW", "read_only", depends_on_tools={"p"}),
            make_tool("needs_q", "LOW", "read_only", depends_on_tools={"q"}),
        ]
    )
    steps = (
        step("a", "needs_p"), step("b", "q", "a"), step("c", "needs_q"), step("d", "p", "c"),
    )  # fmt: skip
    (problem,) = examine(plan(*steps), catalogue, OPEN_POLICY).problems
    assert all(f"{name}" in problem.message for name in "abcd")
    escape = step("e", "p")
    admitted = examine(plan(*steps, escape), catalogue, OPEN_POLICY).admitted
    assert admitted is not None
    assert (admitted.parents["a"], admitted.parents["c"]) == (("e",), ("b",))


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        ({"depends_on_tools": {"gone"}}, {}, "depends_on_tools names 'gone', which is not in the catalogue"),
        ({"depends_on_tools": {"b"}}, {"depends_on_tools": {"a"}}, "forms a cycle: a -> b -> a"),
        ({"depends_on_tools": {"a"}}, {}, "forms a cycle: a -> a"),
    ],
)
def test_prerequisites_that_cannot_be_stop_the_worker(first: dict[str, Any], second: dict[str, Any], message: str) -> None:
    tools = make_tool("a", "LOW", "read_only", **first), make_tool("b", "LOW", "read_only", **second)
    with pytest.raises(ConfigError, match=message):
        Catalogue(tools)
    plain = make_tool("a", "LOW", "read_only"), make_tool("b", "LOW", "read_only")
    with pytest.raises(ConfigError, match=message):
        Catalogue(plain, overrides={"a": first, "b": second})


# DUPLICATE_ACTION


def test_the_same_irreversible_call_twice_is_made_once() -> None:
    found = answered(plan(wrote("b", "jo"), wrote("a", "jo", "z"), step("z", "read"), step("c", "write", "a")))
    assert lowered(found) == {"a": "DUPLICATE_ACTION: step b of this plan is the same call"}
    assert told(found) == ["DUPLICATE_ACTION -> ABORT: the same irreversible call of mail as b: a is left out"]
    run = Run(plan=plan(step("x")), submitted_at=NOW, since=NOW)
    run.begin_rehearsal(found)
    assert run.ceilings["a"].mode is Mode.MOCK
    assert run.ceilings["c"].reasons == ("depends on 'a', which stays at MOCK",)


@pytest.mark.parametrize(
    ("first", "second", "double"),
    [
        ({"args": {"to": "jo"}}, {"args": {"to": "kim"}}, False),
        ({"args": {"to": "jo", "x": 1}}, {"args": {"x": 1, "to": "jo"}}, True),
        ({"args": {"to": "jo"}, "dedupe_key": "one"}, {"args": {"to": "jo"}, "dedupe_key": "two"}, False),
        ({"args": {"to": "jo"}, "dedupe_key": "one"}, {"args": {"to": "kim"}, "dedupe_key": "one"}, True),
        ({"args": {"to": "jo"}, "dedupe_key": "one"}, {"args": {"to": "jo"}}, False),
        ({"args": {"to": {"$ref": "x.to"}}}, {"args": {"to": {"$ref": "x.to"}}}, True),
        ({"args": {"to": {"$ref": "x.to"}}}, {"args": {"to": {"$ref": "x.cc"}}}, False),
        ({"args": {"to": {"$ref": "x.to"}}}, {"args": {"to": {"$ref": "y.to"}}}, False),
    ],
)
def test_which_calls_are_the_same(first: dict[str, Any], second: dict[str, Any], double: bool) -> None:
    steps = step("a", "mail", **first), step("b", "mail", **second), step("x", "read"), step("y", "read")
    assert set(lowered(answered(plan(*steps)))) == ({"b"} if double else set())


def test_a_call_that_can_be_undone_may_be_made_twice() -> None:
    assert lowered(answered(plan(on("a", "jo"), on("b", "jo")))) == {}


def test_a_call_that_will_not_be_made_makes_no_duplicate_of_another() -> None:
    found = answered(plan(wrote("a", "jo", confidence=0.82), wrote("b", "jo")))
    assert set(lowered(found)) == {"a"}
    assert "confidence" in lowered(found)["a"]


def test_what_another_plan_did_is_left_out_and_holds_nobody_up() -> None:
    standing = {"a": "plan-x made this call on 2026-03-01"}
    found = answered(plan(step("a", "mail", args={"to": "jo", "n": 1}), wrote("b", "jo")), standing=standing)
    assert lowered(found) == {"a": "DUPLICATE_ACTION: plan-x made this call on 2026-03-01"}
    assert told(found) == ["DUPLICATE_ACTION -> ABORT: a is left out: plan-x made this call on 2026-03-01"]
    assert found.parents["b"] == ()


# RATE_LIMIT


def metered(number: int, **more: Any) -> list[Step]:
    return [step(f"s{index}", "metered", confidence=0.9, **more) for index in range(number)]


@pytest.mark.parametrize(("deadline", "kept"), [(None, 9), ("30s", 2), ("1m", 2), ("119s", 2), ("2m", 4), ("5m", 9)])
def test_as_many_calls_as_the_quota_allows_before_the_deadline(deadline: str | None, kept: int) -> None:
    found = answered(plan(*metered(9), deadline=deadline))
    assert len(found.live_candidates) == kept
    assert set(found.live_candidates) == {f"s{index}" for index in range(kept)}
    assert len(found.conflicts) == (kept < 9)


def test_the_least_confident_calls_are_left_out() -> None:
    steps = [step(name, "metered", confidence=value) for name, value in (("a", 0.8), ("b", 0.95), ("c", 0.9), ("d", 0.85))]
    found = answered(plan(*steps, deadline="1m"))
    assert set(found.live_candidates) == {"b", "c"}
    why = "4 calls of metered within the deadline, its rate limit 2/m allows 2"
    assert lowered(found) == dict.fromkeys(("a", "d"), f"RATE_LIMIT: {why}")
    assert told(found) == [f"RATE_LIMIT -> DOWNGRADE: {why}: a and d, the least confident, are previewed only"]
    assert all(cap.mode is Mode.DRY_RUN for name in ("a", "d") for cap in found.caps[name] if "RATE" in cap.reason)


def test_what_falls_with_a_surplus_call_is_not_counted_again() -> None:
    steps = [step("a", "metered", confidence=0.8), step("b", "metered", "a", confidence=0.9), *metered(2)]
    found = answered(plan(*steps, deadline="1m"))
    assert set(lowered(found)) == {"a"}
    assert set(found.live_candidates) == {"s0", "s1"}


def test_calls_that_are_not_made_do_not_count() -> None:
    found = answered(plan(*metered(2), step("x", "metered", confidence=0.6), deadline="1m"))
    assert set(found.live_candidates) == {"s0", "s1"}
    assert found.conflicts == ()


# PERMISSION


def test_a_missing_permission_is_a_conflict_and_the_same_cap_as_ever() -> None:
    steps = step("o", "open"), step("a", "charge", "o"), step("b", "charge", "o")
    found = answered(plan(*steps), Policy())
    assert lowered(found) == dict.fromkeys(("a", "b"), "agent 'bot' lacks permission money")
    assert told(found) == ["PERMISSION -> DOWNGRADE: agent 'bot' lacks permission money: a and b are mocked only"]


# TIMEOUT


def test_what_cannot_end_before_the_deadline_is_looked_at_only() -> None:
    steps = step("a", "slow"), step("b", "slow", "a"), step("c", "slow", "b"), step("d", "slow")
    found = answered(plan(*steps, deadline="100s"))
    assert set(found.live_candidates) == {"a", "d"}
    why = "with the timeouts of the calls before it, it may take 120 s, the deadline allows 100 s"
    assert lowered(found) == {"b": f"TIMEOUT: {why}"}
    (line,) = told(found)
    assert line.startswith("TIMEOUT -> DOWNGRADE: by the timeouts of its calls the plan does not fit its deadline: b is")
    assert answered(plan(*steps, deadline="3m")).conflicts == ()


def test_waiting_for_a_resource_takes_time_too() -> None:
    found = answered(plan(on("a", "jo"), on("b", "jo"), on("c", "jo"), on("d", "kim"), deadline="25s"))
    assert set(found.live_candidates) == {"a", "b", "d"}
    assert [each.kind.value for each in found.conflicts] == ["RESOURCE", "TIMEOUT"]


def test_what_is_too_late_anyway_does_not_use_up_the_quota() -> None:
    late = [step("m1", "metered", "s", confidence=1.0), step("m2", "metered", "s", confidence=1.0)]
    found = answered(plan(step("s", "slow"), *late, *metered(2), deadline="60s"))
    assert set(found.live_candidates) == {"s", "s0", "s1"}
    assert [each.kind.value for each in found.conflicts] == ["TIMEOUT"]


# all of them


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


# what the approver and the audit are told


def sealed_run(proposed: Plan, rules: Policy = OPEN_POLICY) -> Run:
    run = Run(plan=proposed, submitted_at=NOW, since=NOW)
    run.begin_rehearsal(answered(proposed, rules))
    return rehearse(run)


def test_the_approver_sees_conflicts_and_who_does_a_step_now() -> None:
    steps = step("a", "charge"), step("o", "open", agent="clerk"), on("x", "jo", agent="clerk"), on("y", "jo", agent="clerk")
    run = sealed_run(plan(*steps), Policy.model_validate({"agents": AGENTS}))
    assert run.state is State.AWAITING_APPROVAL
    assert run.sealed is not None
    text = render_preview(run.sealed, str(run.digest)).split("\n")
    start = text.index("Conflicts:")
    assert text[start + 1 : start + 3] == [
        "  ORDERING -> REASSIGN: a (charge) needs open before it; a is moved behind o, "
        "and from bot to clerk, who may call it",
        "  RESOURCE -> DELAY: x and y both need row:jo; y waits for x",
    ]
    assert "  ~ a  charge  by clerk  [MEDIUM, compensable] -> LIVE" in text
    assert "      agent moved from bot to clerk" in text
    assert "      after: o" in text
    both = run.sealed.model_copy(update={"approvers": ("bot", "clerk", "ann")})
    assert '"by": "ann"' in approve_command(both, str(run.digest))


def test_a_seal_from_before_there_were_conflicts_keeps_its_digest() -> None:
    run = sealed_run(plan(on("a", "jo")))
    assert run.sealed is not None
    old = {name: value for name, value in run.sealed.model_dump(mode="json").items() if name not in ("conflicts", "undo")}
    for each in old["steps"]:
        del each["moved_from"]
    assert seal(Sealed.model_validate(old)) == run.digest
    assert "Conflicts:" not in render_preview(run.sealed, str(run.digest))
    with_conflict = Conflict(kind=ConflictKind.RESOURCE, answer=Answer.DELAY, steps=("a",), detail="x")
    assert seal(run.sealed.model_copy(update={"conflicts": (with_conflict,)})) != run.digest


@pytest.mark.parametrize(
    ("state", "sentence"),
    [
        (State.AWAITING_APPROVAL, "another plan, plan-x, awaits approval for contact:jo@acme.test"),
        (State.LIVE, "another plan, plan-x, is live with contact:jo@acme.test"),
        (State.MOCK, "another plan, plan-x, is being rehearsed with contact:jo@acme.test"),
        (State.LOCKED, "another plan, plan-x, is locked and touches contact:jo@acme.test"),
        (None, "another plan, plan-x, is open and touches contact:jo@acme.test"),
    ],
)
def test_what_is_said_of_another_plan(state: State | None, sentence: str) -> None:
    found = with_another_plan("a", "contact:jo@acme.test", "plan-x", state)
    assert (found.detail, found.other, found.answer) == (sentence, "plan-x", Answer.DELAY)


def test_every_conflict_is_in_the_audit() -> None:
    run = sealed_run(plan(wrote("a", "jo"), wrote("b", "jo"), on("x", "jo"), on("y", "jo")))
    record_conflicts(run, run.contracts().conflicts, NOW)
    entries = [entry for entry in run.audit if entry.kind is AuditKind.CONFLICT]
    assert [(entry.what, entry.answer, entry.step) for entry in entries] == [
        ("DUPLICATE_ACTION", "ABORT", "a"),
        ("RESOURCE", "DELAY", "x"),
    ]
    assert entries[1].reason == "x and y both need row:jo; y waits for x"


def test_a_cap_says_which_conflict_it_comes_from() -> None:
    found = answered(plan(wrote("a", "jo"), wrote("b", "jo")))
    assert Cap(mode=Mode.MOCK, reason="DUPLICATE_ACTION: step a of this plan is the same call") in found.caps["b"]


def test_a_policy_of_dry_runs_only_has_no_conflicts_about_calls() -> None:
    proposed = plan(wrote("a", "jo"), wrote("b", "jo"), on("x", "jo"), on("y", "jo"), deadline="1s")
    assert answered(proposed, policy(dry_run_only=True)).conflicts == ()
