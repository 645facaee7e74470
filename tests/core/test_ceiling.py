"""The mode that a step may reach: the risk table, the policy, the plan, permissions, and propagation."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airlock.admission.ceiling import Cap, Ceiling, ceilings
from airlock.admission.examination import examine
from airlock.admission.policy import Policy
from airlock.plans.contract import Mode, Reversibility, Risk, lowest
from airlock.plans.graph import topological_order
from airlock.plans.outcome import MockFailed, PreviewFailed
from airlock.run.rehearsal import begin_rehearsal, seal_run, take_mocks, take_previews
from airlock.run.state import Run
from tests.core.build import (
    NOW,
    OPEN_POLICY,
    TOOLS,
    awaiting,
    call,
    catalogue,
    contract,
    dags,
    live,
    new_run,
    plan,
    plan_of,
    policy,
    preview,
    rehearse,
    step,
)


def ceiling(tool: str, confidence: float, rules: Policy = OPEN_POLICY, **plan_fields: object) -> Ceiling:
    return new_run(plan(step("a", tool, confidence=confidence), **plan_fields), rules).ceilings["a"]


@pytest.mark.parametrize(
    ("tool", "threshold", "confidence", "mode"),
    [
        ("read", 0.0, 0.49, "MOCK"),
        ("read", 0.0, 0.50, "DRY_RUN"),
        ("read", 0.0, 0.69, "DRY_RUN"),
        ("read", 0.0, 0.70, "LIVE"),
        ("read", 0.75, 0.7499, "DRY_RUN"),
        ("read", 0.75, 0.75, "LIVE"),
        ("write", 0.75, 0.64, "MOCK"),
        ("write", 0.75, 0.65, "DRY_RUN"),
        ("write", 0.75, 0.79, "DRY_RUN"),
        ("write", 0.75, 0.80, "LIVE"),
        ("mail", 0.75, 0.79, "MOCK"),
        ("mail", 0.75, 0.80, "DRY_RUN"),
        ("mail", 0.75, 0.849, "DRY_RUN"),
        ("mail", 0.75, 0.85, "LIVE"),
        ("mail", 0.95, 0.94, "DRY_RUN"),
        ("mail", 0.95, 0.95, "LIVE"),
        ("read", 1.0, 0.99, "DRY_RUN"),
        ("read", 1.0, 1.0, "LIVE"),
        ("read", 0.0, 0.0, "MOCK"),
    ],
)
def test_risk_against_confidence(tool: str, threshold: float, confidence: float, mode: str) -> None:
    found = ceiling(tool, confidence, policy(confidence_threshold_for_live=threshold))
    assert found.mode.value == mode
    assert found.reasons
    assert "confidence" in found.reasons[0]


def test_the_threshold_never_lowers_the_dry_run_column() -> None:
    assert ceiling("mail", 0.79, policy(confidence_threshold_for_live=0.1)).mode is Mode.MOCK


def test_a_reason_does_not_round_a_shortfall_away() -> None:
    (reason,) = ceiling("mail", 0.8499).reasons
    assert reason == "confidence 0.8499 is below 0.85, from which HIGH risk may go live"


@pytest.mark.parametrize(("asked", "expected"), [("MOCK", "MOCK"), ("DRY_RUN", "DRY_RUN"), ("LIVE", "LIVE")])
def test_max_mode_tightens(asked: str, expected: str) -> None:
    found = ceiling("write", 1.0, max_mode=asked)
    assert found.mode.value == expected
    assert ("max_mode" in " ".join(found.reasons)) is (asked != "LIVE")


def test_max_mode_never_loosens() -> None:
    assert ceiling("write", 0.7, max_mode="LIVE").mode is Mode.DRY_RUN


def test_a_policy_of_dry_runs_only() -> None:
    found = ceiling("write", 1.0, policy(dry_run_only=True))
    assert found == Ceiling(mode=Mode.DRY_RUN, reasons=("the policy allows dry runs only (dry_run_only)",))


@pytest.mark.parametrize(
    ("agents", "mode"),
    [
        ({}, "MOCK"),
        ({"bot": {"permissions": ["money"]}}, "LIVE"),
        ({"bot": {"permissions": ["*"]}}, "LIVE"),
        ({"*": {"permissions": ["money"]}}, "LIVE"),
        ({"bot": {"permissions": []}, "*": {"permissions": ["money"]}}, "MOCK"),
        ({"other": {"permissions": ["money"]}}, "MOCK"),
    ],
)
def test_permissions(agents: dict[str, object], mode: str) -> None:
    found = ceiling("pay", 1.0, Policy.model_validate({"agents": agents}))
    assert found.mode.value == mode
    if mode == "MOCK":
        assert found.reasons == ("agent 'bot' lacks permission money",)


def test_all_reasons_of_the_lowest_mode_are_given() -> None:
    paying = {"bot": {"permissions": ["money"]}}
    found = ceiling("pay", 0.82, Policy.model_validate({"dry_run_only": True, "agents": paying}), max_mode="DRY_RUN")
    assert found.mode is Mode.DRY_RUN
    assert len(found.reasons) == 3


def test_a_ceiling_goes_down_along_edges_with_the_reason() -> None:
    run = new_run(plan(step("a", confidence=0.7), step("b", "write", "a"), step("c", "write", "b"), step("d")))
    assert {name: found.mode.value for name, found in run.ceilings.items()} == {
        "a": "DRY_RUN",
        "b": "DRY_RUN",
        "c": "DRY_RUN",
        "d": "LIVE",
    }
    assert run.ceilings["c"].reasons == ("depends on 'b', which stays at DRY_RUN",)


def test_a_reference_is_a_dependency_too() -> None:
    reads = step("b", args={"x": {"$ref": "a.id"}})
    assert new_run(plan(step("a", confidence=0.7), reads)).ceilings["b"].mode is Mode.DRY_RUN


modes = st.sampled_from(Mode)


@given(dags(), st.data())
def test_never_rises_along_an_edge(parents: dict[str, tuple[str, ...]], data: st.DataObject) -> None:
    caps = {
        name: [Cap(mode=mode, reason=f"own {mode}") for mode in data.draw(st.lists(modes, max_size=3))] for name in parents
    }
    found = ceilings(topological_order(parents), parents, caps)
    assert set(found) == set(parents)
    for name, above in parents.items():
        own = lowest(Mode.LIVE, *(cap.mode for cap in caps[name]))
        assert found[name].mode is lowest(own, *(found[parent].mode for parent in above))
        if found[name].mode is not Mode.LIVE:
            assert found[name].reasons


@given(dags(), st.data())
def test_no_live_step_depends_on_one_that_is_not(parents: dict[str, tuple[str, ...]], data: st.DataObject) -> None:
    tools = {name: data.draw(st.sampled_from(TOOLS)) for name in parents}
    confidence = {name: data.draw(st.floats(0.4, 1.0)) for name in parents}
    run = new_run(plan_of(parents, tools, confidence))
    some = st.lists(st.sampled_from(sorted(parents)), unique=True, max_size=2)
    take_mocks(run, [MockFailed(step=name, error="no") for name in data.draw(some)])
    broken = data.draw(some)
    take_previews(
        run,
        [PreviewFailed(step=name, error="no") if name in broken else preview(name) for name in run.left(Mode.DRY_RUN)],
    )
    live = set(run.left(Mode.LIVE))
    assert live.isdisjoint(broken)
    for name in live:
        assert set(parents[name]) <= live


def both_fall(run: Run, reason: str) -> None:
    assert run.ceilings["a"].mode is Mode.MOCK
    assert any(reason in found for found in run.ceilings["a"].reasons)
    assert run.ceilings["b"].mode is Mode.MOCK
    assert run.ceilings["b"].reasons == ("depends on 'a', which stays at MOCK",)
    assert run.ceilings["c"].mode is Mode.LIVE


def test_a_failed_mock_falls_with_its_dependents() -> None:
    run = new_run(plan(step("a"), step("b", "write", "a"), step("c")))
    take_mocks(run, [MockFailed(step="a", error="no such row")])
    both_fall(run, "its mock failed: no such row")


def test_a_failed_preview_falls_with_its_dependents() -> None:
    run = new_run(plan(step("a"), step("b", "write", "a"), step("c")))
    take_previews(run, [PreviewFailed(step="a", error="connection refused"), preview("b"), preview("c")])
    both_fall(run, "its dry run failed: connection refused")


def test_a_preview_that_json_cannot_say_falls_instead_of_breaking_the_seal() -> None:
    run = new_run(plan(step("a"), step("b", "write", "a"), step("c")))
    take_previews(run, [preview("a", observed=float("nan")), preview("b"), preview("c")])
    both_fall(run, "cannot be written as JSON")


def test_a_step_without_a_preview_is_not_offered_for_approval() -> None:
    run = new_run(plan(step("a"), step("b", "write", "a"), step("c")))
    take_previews(run, [preview("b"), preview("c")])
    seal_run(run, NOW)
    assert run.sealed is not None
    assert run.sealed.live_steps == ("c",)
    both_fall(run, "it was not previewed")


def test_a_long_error_is_cut() -> None:
    run = new_run(plan(step("a")))
    take_mocks(run, [MockFailed(step="a", error="x" * 100_000)])
    assert len(run.ceilings["a"].reasons[0]) <= 500


def test_rehearsing_anew_forgets_old_failures_and_old_previews() -> None:
    run = new_run(plan(step("a")))
    take_mocks(run, [MockFailed(step="a", error="no")])
    take_previews(run, [preview("a")])
    begin_rehearsal(run, run.contracts())
    assert run.ceilings["a"].mode is Mode.LIVE
    assert run.previews == {}


def test_live_steps_are_never_capped_again() -> None:
    run = awaiting(plan(step("a"), step("b", "write", "a")))
    call(run, live("a"))
    run.fall("a", Mode.MOCK, "it would fail now")
    run.update_ceilings()
    assert run.ceilings["a"].mode is Mode.LIVE
    assert run.left(Mode.LIVE) == ("b",)


def test_left_is_in_dependency_order() -> None:
    run = new_run(plan(step("z"), step("y", "write", "z"), step("a", "write", "y")))
    assert run.left(Mode.LIVE) == ("z", "y", "a")


@given(st.sampled_from(Risk), st.sampled_from(Reversibility), st.booleans(), st.sets(st.sampled_from(Risk)))
def test_what_a_policy_can_waive(risk: Risk, reversibility: Reversibility, guard: bool, waived: set[Risk]) -> None:
    rules = Policy(approval_required_for_high_risk=guard, approval_waived_for=tuple(waived))
    waives = rules.waives_approval(contract(risk=risk, reversibility=reversibility))
    expected = risk in waived and reversibility is not Reversibility.IRREVERSIBLE and not (risk is Risk.HIGH and guard)
    assert waives is expected


def test_admission_explains_itself() -> None:
    answer = examine(plan(step("a", "write", args={"key": 7}), step("b", "mail", "a")), catalogue(), OPEN_POLICY)
    assert answer.problems == ()
    assert answer.admitted is not None
    assert answer.admitted.order == ("a", "b")
    assert answer.admitted.risk is Risk.HIGH
    assert {name: row.resources for name, row in answer.admitted.steps.items()} == {"a": ("row:7",), "b": ()}
    assert answer.admitted.policy_hash == OPEN_POLICY.digest()
    assert answer.admitted.contract("b").irreversible


def test_a_resource_over_an_unknown_value_is_left_out() -> None:
    answer = examine(plan(step("a"), step("b", args={"key": {"$ref": "a.id"}})), catalogue(), OPEN_POLICY)
    assert answer.admitted is not None
    assert [row.resources for row in answer.admitted.steps.values()] == [(), ()]


def test_rehearse_completes_a_plan_that_may_not_go_live() -> None:
    run = rehearse(new_run(plan(step("a"), max_mode="DRY_RUN")))
    assert run.state.value == "COMPLETED"
