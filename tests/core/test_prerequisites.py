"""Prerequisites of a tool: a step is moved behind them, or the plan is refused."""

from typing import Any

import pytest

from airlock.admission.examination import examine
from airlock.admission.policy import Policy
from airlock.base.errors import ConfigError
from airlock.plans.catalogue import Catalogue
from airlock.plans.plan import Step
from tests.core.build import OPEN_POLICY, make_tool, plan, step
from tests.core.conflict_build import AGENTS, answered, lowered, refused, told


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
