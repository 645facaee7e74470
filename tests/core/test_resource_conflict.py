"""Conflicts about a resource: the steps that share one are put in order."""

from airlock.admission.examination import examine
from airlock.plans.catalogue import Catalogue
from airlock.plans.parents import parents_of
from tests.core.build import OPEN_POLICY, make_tool, plan, step
from tests.core.conflict_build import answered, on, told


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
