"""The read lane as data: which steps take it, what becomes of an answer, what a live worker objects to, what a gate says."""

from datetime import timedelta
from typing import Any

import pytest

from airlock.admission.budget import Spending
from airlock.admission.policy import Policy, WindowBudget
from airlock.admission.stricter import stricter
from airlock.base.canonical import digest
from airlock.base.keyring import Channel, Key, Keyring
from airlock.gates.answers import GateClosed, OverBudget, SlotGranted
from airlock.gates.protocol import SlotRequest
from airlock.gates.semaphore import Gate
from airlock.plans.catalogue import Catalogue
from airlock.plans.contract import Mode
from airlock.plans.outcome import CallSucceeded, EarlyRead
from airlock.plans.plan import Plan
from airlock.plans.state import State
from airlock.run.audit import AuditKind
from airlock.run.decisions.permission import Permission, examine, lane_objection
from airlock.run.live.read_lane import (
    begin_reads,
    end_as_read,
    forget_reads,
    may_be_read,
    old_reads,
    other_reads,
    read_leaf,
    take_reads,
)
from airlock.run.live.read_messages import ReadResult, StepRead
from airlock.run.outcome import Outcome
from airlock.run.permit import Permits
from airlock.run.presentation.preview import render_preview
from airlock.run.rehearsal import seal_run
from airlock.run.sealing.sealed import MAX_SHOWN_READ
from airlock.run.state import Run
from tests.core.build import NOW, catalogue, make_tool, new_run, plan, policy, rehearse, step

LANE = policy(read_lane=True)
WAIVED = policy(approval_waived_for=["LOW"])
TOMORROW = NOW + timedelta(days=1)


def lane_run(*steps: Any, rules: Policy = LANE) -> Run:
    return new_run(plan(*steps), rules)


def read(step_id: str, output: Any = "seen", **more: Any) -> StepRead:
    made = CallSucceeded(step=step_id, output=output)
    return StepRead(step=step_id, made=made, read=EarlyRead(at=NOW, contract="c", digest=digest(output)), **more)


def was_read(run: Run, *outputs: Any) -> Run:
    asked = may_be_read(run)
    begin_reads(run, asked, NOW)
    given = outputs or ("seen",) * len(asked)
    take_reads(run, asked, ReadResult(reads=tuple(map(read, asked, given))), NOW)
    return run


@pytest.mark.parametrize(
    ("promises", "rules", "early"),
    [
        ({}, LANE, True),
        ({}, WAIVED, False),
        ({"risk": "MEDIUM"}, policy(read_lane=True, approval_waived_for=["LOW", "MEDIUM"]), False),
        ({}, policy(read_lane=True, approval_waived_for=["LOW"]), True),
        ({"reversibility": "compensable", "compensate": True}, LANE, False),
        ({"max_concurrent": 2}, LANE, False),
        ({"rate_limit": "5/s"}, LANE, True),
    ],
)
def test_a_contract_takes_the_lane_only_as_a_waived_read_of_low_risk(
    promises: dict[str, Any], rules: Policy, early: bool
) -> None:
    found = {"risk": "LOW", "reversibility": "read_only", **promises}
    contract = Catalogue([make_tool("t", found.pop("risk"), found.pop("reversibility"), **found)]).contract("t", {})
    assert rules.reads_early(contract) is early


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ((step("a", "read"),), ("a",)),
        ((step("a", "read"), step("b", "read", "a")), ("a", "b")),
        ((step("w"), step("a", "read", "w")), ()),
        ((step("w"), step("a", "read")), ("a",)),
        ((step("a", "read", confidence=0.2), step("b", "read", "a")), ()),
    ],
)
def test_a_step_is_read_if_everything_that_it_depends_on_is(steps: Any, expected: tuple[str, ...]) -> None:
    assert may_be_read(lane_run(*steps)) == expected
    assert may_be_read(lane_run(*steps, rules=WAIVED)) == ()


def test_what_was_read_is_live_kept_and_sealed_and_the_rest_is_open() -> None:
    run = was_read(lane_run(step("a", "read"), step("w", "write", "a")))
    assert (run.live, run.outputs, run.left(Mode.LIVE)) == (("a",), {"a": "seen"}, ("w",))
    assert (run.acted, run.lasting, run.only_read) == (False, (), False)
    rehearse(run)
    assert run.sealed is not None
    assert run.sealed.steps[0].read is not None
    assert run.sealed.steps[0].read.output == "seen"
    assert run.sealed.live_steps == ("w",)
    text = render_preview(run.sealed, str(run.digest))
    assert "-> already read" in text
    assert 'returned = "seen"' in text
    assert "1 was read before this preview" in text


def test_another_output_makes_another_seal_and_a_long_one_is_named_by_its_digest() -> None:
    runs = [rehearse(was_read(lane_run(step("a", "read"), step("w", "write", "a")), output)) for output in ("x", "y")]
    assert runs[0].digest != runs[1].digest
    long = "z" * MAX_SHOWN_READ
    run = rehearse(was_read(lane_run(step("a", "read"), step("w", "write", "a")), long))
    assert run.sealed is not None
    shown = run.sealed.steps[0].read
    assert shown is not None
    assert (shown.output, shown.size, shown.digest) == (None, len(long) + 2, digest(long))
    assert digest(long) in render_preview(run.sealed, str(run.digest))


def test_a_failed_read_falls_with_all_that_depends_on_it() -> None:
    run = lane_run(step("a", "read"), step("w", "write", "a"), step("x"))
    take_reads(run, ("a",), ReadResult(reads=(StepRead(step="a", failed="no such row"),)), NOW)
    assert run.ceilings["a"].reasons == ("its read failed: no such row",)
    assert (run.left(Mode.LIVE), run.calls) == (("x",), {})


@pytest.mark.parametrize(
    ("result", "words"),
    [
        (ReadResult(refused="the gate is locked"), "the gate is locked"),
        (ReadResult(), "its worker did not say"),
        (ReadResult(reads=(StepRead(step="a", skipped="its turn is later"),)), "its turn is later"),
        (ReadResult(reads=(read("other"),)), "its worker did not say"),
        (ReadResult(reads=(StepRead(step="a", made=CallSucceeded(step="b", output=1)),)), ""),
    ],
)
def test_what_was_not_read_goes_the_way_of_every_step_and_is_not_asked_for_again(result: ReadResult, words: str) -> None:
    run = lane_run(step("a", "read"), step("w", "write", "a"))
    take_reads(run, may_be_read(run), result, NOW)
    assert (run.calls, may_be_read(run), run.left(Mode.LIVE)) == ({}, (), ("a", "w"))
    assert [(entry.what, words in entry.reason) for entry in run.audit] == [("not_read", True)]


@pytest.mark.parametrize("output", ["another", float("nan")])
def test_an_output_that_is_not_that_of_its_digest_fails_the_read(output: Any) -> None:
    run = lane_run(step("a", "read"))
    lie = read("a").model_copy(update={"made": CallSucceeded.model_construct(step="a", output=output, broken="")})
    take_reads(run, ("a",), ReadResult.model_construct(reads=(lie,), refused=""), NOW)
    assert run.ceilings["a"].mode is Mode.MOCK


def test_a_broken_output_fails_the_read() -> None:
    run = lane_run(step("a", "read"))
    broken = CallSucceeded(step="a", output=None, broken="the call took effect, but it has a wrong shape")
    answer = StepRead(step="a", made=broken, read=EarlyRead(at=NOW, contract="c", digest=digest(None)))
    take_reads(run, ("a",), ReadResult(reads=(answer,)), NOW)
    assert run.left(Mode.LIVE) == ()


def test_a_new_preview_forgets_reads_until_another_call_was_made() -> None:
    run = was_read(lane_run(step("a", "read"), step("w", "write", "a")))
    run.unread = ("x",)
    forget_reads(run)
    assert (run.calls, run.outputs, run.carried, run.unread, may_be_read(run)) == ({}, {}, 0, (), ("a",))
    was_read(run)
    take_reads(run, ("w",), ReadResult(reads=(read("w"),)), NOW)
    run.calls["w"] = run.calls["w"].model_copy(update={"read": None})
    forget_reads(run)
    assert set(run.outputs) == {"a", "w"}


def test_a_plan_of_reads_ends_with_every_state_in_its_record() -> None:
    run = was_read(lane_run(step("a", "read"), step("b", "read", "a")))
    assert run.only_read
    run.state = State.DRY_RUN
    seal_run(run, NOW)
    run.state = State.AWAITING_APPROVAL
    end_as_read(run, NOW)
    assert run.state is State.COMPLETED
    decisions = [(entry.what, entry.by) for entry in run.audit if entry.kind is AuditKind.DECISION]
    assert decisions == [("approve", "policy")] * 2
    from airlock.run.live.call_results import outcome_of

    assert outcome_of(run) is Outcome.COMPLETED


def test_the_seal_of_the_reads_is_kept_and_holds_nothing_else() -> None:
    run = lane_run(step("a", "read"), step("w", "write", "a"))
    evidence = begin_reads(run, ("a",), NOW)
    assert [each.id for each in evidence.sealed.steps] == ["a"]
    assert [record.digest for record in run.seals] == [evidence.digest]
    assert run.audit[-1].digest == evidence.digest
    # only the life and the time tell two of them apart
    assert begin_reads(run, ("a",), NOW).digest == evidence.digest


def lying_catalogue(**promises: Any) -> Catalogue:
    tools = [tool for name in catalogue().names if (tool := catalogue().get(name)) is not None and name != "read"]
    found = {"risk": "LOW", "reversibility": "read_only", **promises}
    return Catalogue([*tools, make_tool("read", found.pop("risk"), found.pop("reversibility"), **found)])


def test_a_live_worker_lets_reads_be_made_by_its_own_policy_and_contracts_only() -> None:
    run = lane_run(step("a", "read"), step("w", "write", "a"))
    evidence = begin_reads(run, ("a",), NOW)
    answer = examine(evidence, LANE, catalogue(), "plan-p-1", NOW)
    assert isinstance(answer, Permission)
    assert lane_objection(answer.steps, evidence, LANE, catalogue()) == ""
    assert "read_lane" in lane_objection(answer.steps, evidence, WAIVED, catalogue())
    assert "no LOW risk read" in lane_objection(answer.steps, evidence, LANE, lying_catalogue(risk="MEDIUM"))
    for today, tools in ((policy(), catalogue()), (LANE, lying_catalogue(timeout=1.0)), (policy(agents={}), catalogue())):
        assert not isinstance(examine(evidence, today, tools, "plan-p-1", NOW), Permission)


def test_a_write_in_the_seal_of_reads_is_objected_to() -> None:
    run = lane_run(step("a", "read"), step("w", "write"))
    evidence = begin_reads(run, ("a", "w"), NOW)
    assert not isinstance(examine(evidence, LANE, catalogue(), "plan-p-1", NOW), Permission)
    lax = policy(read_lane=True, approval_waived_for=["LOW", "MEDIUM"])
    lying = begin_reads(lane_run(step("a", "read"), step("w", "write"), rules=lax), ("a", "w"), NOW)
    answer = examine(lying, lax, catalogue(), "plan-p-1", NOW)
    assert isinstance(answer, Permission)
    assert "'w' may not be made before the preview" in lane_objection(answer.steps, lying, lax, catalogue())


PERMITS = Permits(Keyring((Key(Channel.LIVE, b"k" * 32),)))
PLACE = ("default", "plan-p-1")


def test_a_receipt_fits_the_read_that_it_is_of_and_no_other() -> None:
    evidence = begin_reads(lane_run(step("a", "read")), ("a",), NOW)
    (sealed,) = evidence.sealed.steps
    leaf = read_leaf(sealed, "c", evidence.epoch)
    made = EarlyRead(at=NOW, contract="c", digest=digest("seen"))
    made = made.model_copy(update={"proof": PERMITS.read_receipt(PLACE, "a", leaf, made)})
    assert PERMITS.is_of_read(PLACE, "a", leaf, made)
    assert not PERMITS.is_of_read(("default", "plan-p-2"), "a", leaf, made)
    assert not PERMITS.is_of_read(PLACE, "b", leaf, made)
    other = read_leaf(sealed.model_copy(update={"args": {"key": "another"}}), "c", evidence.epoch)
    assert not PERMITS.is_of_read(PLACE, "a", other, made)
    for field, value in (("at", TOMORROW), ("contract", "d"), ("digest", digest("a lie")), ("proof", "f" * 64)):
        assert not PERMITS.is_of_read(PLACE, "a", leaf, made.model_copy(update={field: value})), field
    assert not Permits(Keyring((Key(Channel.LIVE, b"m" * 32),))).is_of_read(PLACE, "a", leaf, made)


def test_a_read_of_an_earlier_run_is_old() -> None:
    run = rehearse(was_read(lane_run(step("a", "read"), step("w", "write", "a"))))
    assert run.sealed is not None
    assert old_reads(run.sealed) == {}
    later = run.sealed.model_copy(update={"submitted_at": TOMORROW.isoformat()})
    assert old_reads(later) == {"a": NOW}


@pytest.mark.parametrize("lie", ["something else", None])
def test_a_seal_shows_nothing_else_than_what_was_read(lie: Any) -> None:
    run = rehearse(was_read(lane_run(step("a", "read"), step("w", "write", "a"))))
    assert run.sealed is not None
    assert other_reads(run.sealed) == []
    shown = run.sealed.steps[0].read
    assert shown is not None
    assert shown.output is not None
    changed = run.sealed.steps[0].model_copy(update={"read": shown.model_copy(update={"output": lie})})
    assert other_reads(run.sealed.model_copy(update={"steps": (changed, *run.sealed.steps[1:])})) == ["a"]


def wanted(**more: Any) -> SlotRequest:
    return SlotRequest(holder="plan-p", request="read:1", passing=True, **more)


def test_a_gate_lets_reads_pass_without_a_slot_also_when_it_is_full() -> None:
    gate = Gate(capacity=1)
    gate.acquire(SlotRequest(holder="plan-q", request="1"), NOW)
    assert gate.acquire(wanted(), NOW) == SlotGranted(fence=0, slots=0)
    assert (list(gate.places), gate.queue, gate.news) == (["plan-q"], [], [])


def test_a_lock_keeps_reads_out_and_an_unlock_has_nothing_to_tell_them() -> None:
    gate = Gate()
    gate.lock("tool:look", "op", "stop", NOW)
    assert isinstance(gate.acquire(wanted(scopes=("tool:look",)), NOW), GateClosed)
    assert gate.acquire(wanted(scopes=("tool:put",)), NOW) == SlotGranted(fence=0, slots=0)
    gate.unlock("tool:look", "op", "go on")
    assert gate.news == []


def test_a_gate_books_reads_once_and_refuses_those_beyond_a_budget() -> None:
    gate, budget = Gate(), {"a": WindowBudget(live_calls=1)}
    one = {"a": Spending(live_calls=1)}
    for _ in range(2):  # the same request again
        assert gate.acquire(wanted(spending=one, budgets=budget), NOW) == SlotGranted(fence=0, slots=0)
    again = wanted(spending=one, budgets=budget).model_copy(update={"request": "read:2"})
    assert isinstance(gate.acquire(again, NOW), OverBudget)


def test_the_option_is_off_and_leaves_no_trace_where_it_is() -> None:
    assert Policy().read_lane is False
    assert "read_lane" not in Policy().model_dump(mode="json")
    assert Policy(read_lane=False).digest() == Policy().digest() != Policy(read_lane=True).digest()
    assert "passing" not in SlotRequest(holder="h", request="r").model_dump(mode="json")


@pytest.mark.parametrize(
    ("risk", "reversibility", "waived"),
    [
        ("LOW", "read_only", True),
        ("LOW", "compensable", False),
        ("MEDIUM", "read_only", False),
    ],
)
def test_the_lane_waives_the_approval_of_low_risk_reads_and_of_nothing_else(
    risk: str, reversibility: str, waived: bool
) -> None:
    tool = make_tool("t", risk, reversibility, compensate=reversibility == "compensable")
    contract = Catalogue([tool]).contract("t", {})
    assert (LANE.waives_approval(contract), policy().waives_approval(contract)) == (waived, False)


@pytest.mark.parametrize(("one", "other", "both"), [(LANE, LANE, True), (LANE, WAIVED, False), (WAIVED, LANE, False)])
def test_both_policies_must_have_the_lane(one: Policy, other: Policy, both: bool) -> None:
    assert stricter(one, other).policy.read_lane is both


def test_a_run_with_reads_survives_a_continue_as_new() -> None:
    run = was_read(lane_run(step("a", "read"), step("w", "write", "a")))
    assert Run.model_validate(run.model_dump(mode="json")).calls == run.calls
    fresh = lane_run(step("a", "read"))
    assert {"unread", "reads"}.isdisjoint(fresh.model_dump(mode="json"))
    assert Plan.model_validate(run.plan.model_dump()) == run.plan
