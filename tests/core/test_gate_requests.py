"""The requests of a run to the gates, its reading of their answers, and what it returns in which state."""

from collections.abc import Iterable
from datetime import timedelta

import pytest

from airlock.gates.answers import AcquireBusy, AcquireClosed, AcquireGranted, AcquireQueued, AcquireRefused
from airlock.gates.protocol import ClaimOutcome, ClosedGate, GateWait, HeldSlot
from airlock.plans.graph import Parents, dependents
from airlock.plans.outcome import CallInDoubt
from airlock.plans.state import State
from airlock.run.audit import AuditKind
from airlock.run.call_record import CallStatus
from airlock.run.live import gate_reactions
from airlock.run.live.call_results import after_calls
from airlock.run.live.gate_reactions import drop_duplicates, take_acquired
from airlock.run.live.gate_requests import (
    all_held,
    entry_request,
    held_names,
    late_request,
    leave_request,
    next_fence,
    resources_of,
    rollback_request,
    start_over,
    take_left,
)
from airlock.run.outcome import Outcome
from airlock.run.state import Run
from tests.core.build import NOW, call, failed, live, live_run, plan, policy, reassigned, say, step

HOLDER = "plan-p-1"
ROW = HeldSlot(gate="gate-resource-1", name="row:a", fence=7)
OTHER_ROW = HeldSlot(gate="gate-resource-2", name="row:b", fence=9)
LIVE = HeldSlot(gate="gate-live", name="live", fence=3)
TWO_ROWS = plan(step("a", args={"key": "a"}), step("b", args={"key": "b"}), step("r", "read", args={"key": "c"}))
MAIL = plan(step("a", args={"key": "a"}), step("send", "mail", "a", args={"to": "jo"}), step("note", "order", "send"))


def entered(run: Run, *held: HeldSlot, **more: object) -> Run:
    run.stays += 1
    take_acquired(run, AcquireGranted.model_validate({"held": [*held, LIVE], **more}), NOW)
    return run


def test_everything_known_is_asked_for_at_once() -> None:
    request = entry_request(live_run(TWO_ROWS, policy(max_live_escalations=3)), HOLDER)
    assert request.resources == ("row:a", "row:b"), "a call that only reads needs no gate"
    assert request.live is not None
    assert request.live.capacity == 3
    assert request.live.spending["bot"].live_calls == 3
    assert {"agent:bot", "tool:write", "resource:row:a"} <= set(request.live.scopes)
    assert request.grace == 30.0, "as long as a call of it may run after its plan is gone"


def test_an_irreversible_call_is_claimed_when_its_arguments_are_known() -> None:
    reads = plan(step("a", args={"key": "a"}), step("send", "mail", "a", args={"to": {"$ref": "a.id"}}))
    assert [claim.step for claim in entry_request(live_run(MAIL), HOLDER).claims] == ["send"]
    run = live_run(reads)
    assert entry_request(run, HOLDER).claims == ()
    call(entered(run, ROW), live("a"))
    late = late_request(run, HOLDER, reads.steps[1])
    assert late is not None
    assert [claim.step for claim in late.claims] == ["send"]
    assert not late.wait


def test_a_resource_that_only_an_output_tells_is_asked_for_late_and_without_waiting() -> None:
    run = live_run(plan(step("a", args={"key": "a"}), step("b", "write", "a", args={"key": {"$ref": "a.id"}})))
    later = run.plan.steps[1]
    assert entry_request(run, HOLDER).resources == ("row:a",)
    call(entered(run, ROW), live("a", output={"id": "b"}))
    assert not all_held(run, later, held_names(run))
    late = late_request(run, HOLDER, later)
    assert late is not None
    assert (late.resources, late.wait, late.live) == (("row:b",), False, None)
    run.gates = (*run.gates, OTHER_ROW)
    assert late_request(run, HOLDER, later) is None
    assert all_held(run, later, held_names(run))


def test_a_token_grows_with_every_attempt_and_with_every_holder() -> None:
    run = entered(live_run(TWO_ROWS), ROW)
    a, b = run.plan.steps[:2]
    first = next_fence(run, a, NOW)
    assert first < next_fence(run, b, NOW) < next_fence(run, a, NOW), "in the same moment"
    assert first > ROW.fence * 1_000
    later = NOW + timedelta(milliseconds=5)
    # a run that was reset has forgotten its attempts, but not the time; another plan holds the place after the first one
    assert next_fence(entered(live_run(TWO_ROWS)), a, later) > next_fence(run, a, NOW)
    behind = HeldSlot(gate=ROW.gate, name=ROW.name, fence=int((later + timedelta(hours=1)).timestamp() * 1_000))
    held = next_fence(entered(live_run(TWO_ROWS), behind), a, later)
    assert held > behind.fence * 1_000, "whatever its clock says"
    assert held < 2**53, "every JSON reader takes it for an integer"


def test_an_argument_that_finds_nothing_needs_no_resource() -> None:
    run = live_run(plan(step("a", args={"key": "a"}), step("b", "write", "a", args={"key": {"$ref": "a.nothing"}})))
    assert resources_of(run, run.plan.steps[1], {"a": {"id": 1}}) == ()


def test_waiting_is_recorded_once_for_a_gate() -> None:
    run = live_run(TWO_ROWS)
    waits = AcquireQueued(waiting=GateWait(gate="gate-resource-1", name="row:a", position=2, holders=("plan-x",)))
    assert not take_acquired(run, waits, NOW)
    assert not take_acquired(run, waits, NOW)
    met = [entry for entry in run.audit if entry.kind is AuditKind.CONFLICT]
    assert [(entry.what, entry.answer, entry.reason) for entry in met] == [
        ("RESOURCE", "DELAY", "waits for row:a, held by plan-x")
    ]
    assert run.gate_wait is not None
    left = leave_request(say_locked(run), HOLDER)
    assert left is not None
    assert left.gates == ("gate-resource-1",), "a place in the queue is given back too"


def say_locked(run: Run) -> Run:
    assert say(run, "lock").accepted
    return run


def test_a_closed_live_gate_locks_the_run_and_nothing_is_kept() -> None:
    run = live_run(TWO_ROWS)
    assert not take_acquired(run, AcquireClosed(held=(ROW,), closed=ClosedGate(by="olga", reason="stop all")), NOW)
    assert run.state is State.LOCKED
    assert run.lock is not None
    assert (run.lock.by, run.lock.gate) == ("olga", True)
    left = leave_request(run, HOLDER)
    assert left is not None
    assert left.gates == ("gate-resource-1",)
    take_left(run, left)
    assert run.gates == ()
    assert leave_request(run, HOLDER) is None


def test_a_budget_that_is_used_up_locks_the_run_with_the_number() -> None:
    run = live_run(TWO_ROWS)
    assert not take_acquired(run, AcquireRefused(refused="agent 'bot' would make 12 live calls within 24h, 10 allowed"), NOW)
    assert run.state is State.LOCKED
    assert "12 live calls" in run.why


def test_a_duplicate_is_left_out_with_all_that_depends_on_it() -> None:
    run = live_run(MAIL)
    assert take_acquired(run, AcquireGranted(held=(ROW, LIVE), duplicates={"send": "plan-x made this call"}), NOW)
    assert run.approved == ("a",)
    assert run.calls["send"].status is CallStatus.DUPLICATE
    call(run, live("a"))
    after_calls(run, [], NOW, deadline_passed=False)
    assert run.state is State.COMPLETED
    assert "send" in run.why
    assert (run.audit[-2].what, run.audit[-2].step) != ("live", "send")


def test_a_plan_of_duplicates_only_is_done_without_a_call() -> None:
    run = live_run(plan(step("send", "mail", args={"to": "jo"})))
    drop_duplicates(run, {"send": "made by plan-x"}, NOW)
    after_calls(run, [], NOW, deadline_passed=False)
    assert run.state is State.COMPLETED
    assert run.live == ()


def test_resources_are_kept_while_it_calls_or_compensates() -> None:
    run = entered(live_run(TWO_ROWS), ROW, OTHER_ROW)
    assert leave_request(run, HOLDER) is None
    call(run, live("a"), failed("b"), after=True)
    assert run.state is State.ROLLBACK
    left = leave_request(run, HOLDER)
    assert left is not None
    assert left.gates == ("gate-live",), "a lock of the live gate stops calls, not their undoing"
    take_left(run, left)
    assert leave_request(run, HOLDER) is None
    assert rollback_request(run, HOLDER) is None, "after LIVE it holds what the rollback needs"


def test_a_queue_that_is_full_is_no_entrance() -> None:
    run = live_run(TWO_ROWS)
    assert not take_acquired(run, AcquireBusy(held=(ROW,), busy=GateWait(gate="gate-live", name="live")), NOW)
    assert run.gate_wait is not None
    assert "waits for live" in run.audit[-1].reason


def test_a_rollback_that_queues_for_its_resource_keeps_its_place_in_the_queue() -> None:
    run = live_run(TWO_ROWS)
    call(run, live("a"))
    assert say(run, "rollback").accepted
    assert not take_acquired(run, AcquireQueued(waiting=GateWait(gate="gate-resource-1", name="row:a", position=1)), NOW)
    assert leave_request(run, HOLDER) is None


def test_a_parked_run_keeps_its_resources_but_not_its_live_slot() -> None:
    run = entered(live_run(TWO_ROWS), ROW, OTHER_ROW)
    call(run, CallInDoubt(step="a", error="lost"), after=True)
    assert run.state is State.LOCKED
    left = leave_request(run, HOLDER)
    assert left is not None
    assert left.gates == ("gate-live",)
    take_left(run, left)
    assert run.gates == (ROW, OTHER_ROW)
    assert leave_request(run, HOLDER) is None
    assert entry_request(run, HOLDER).resources == (), "it waits for no resource while it holds others"
    assert say(run, "abort").accepted
    left = leave_request(run, HOLDER)
    assert left is not None
    assert left.gates == ("gate-resource-1", "gate-resource-2")


def test_a_rollback_after_a_lock_asks_again_and_goes_first() -> None:
    run = entered(live_run(TWO_ROWS), ROW)
    call(run, live("a", output={"id": 1}))
    left = leave_request(say_locked(run), HOLDER)
    assert left is not None
    take_left(run, left)
    assert say(run, "rollback").accepted
    request = rollback_request(run, HOLDER)
    assert request is not None
    assert (request.resources, request.live, request.urgent) == (("row:a",), None, True)
    assert start_over(run, HOLDER) is None
    run.gates = (OTHER_ROW,)
    given_back = start_over(run, HOLDER)
    assert given_back is not None
    assert given_back.gates == ("gate-resource-2",), "it waits for nothing while it holds something out of the order"


@pytest.mark.parametrize(
    ("outcome", "settled"),
    [(live("send"), ClaimOutcome.DONE), (failed("send"), ClaimOutcome.FREE), (None, ClaimOutcome.FREE)],
)
def test_a_claim_is_settled_by_what_became_of_its_call(outcome, settled) -> None:
    run = entered(live_run(MAIL), ROW, claimed={"send": "claim-mail-1"})
    call(run, live("a"), *([outcome] if outcome else []))
    run.outcome = Outcome.ABORTED
    left = leave_request(run, HOLDER)
    assert left is not None
    assert [(claim.step, claim.outcome) for claim in left.settled] == [("send", settled)]
    take_left(run, left)
    assert run.claims == {}


def test_a_claim_in_doubt_stays_until_somebody_says_what_happened() -> None:
    run = entered(live_run(MAIL), ROW, claimed={"send": "claim-mail-1"})
    call(run, live("a"), CallInDoubt(step="send", error="lost"), after=True)
    left = leave_request(run, HOLDER)
    assert left is not None
    assert left.settled == ()
    take_left(run, left)
    assert run.claims == {"send": "claim-mail-1"}
    assert say(run, "resolve", step="send", outcome="happened").accepted
    say_locked(run)
    left = leave_request(run, HOLDER)
    assert left is not None
    assert [claim.outcome for claim in left.settled] == [ClaimOutcome.DONE]


def test_the_live_gate_lifts_only_its_own_lock() -> None:
    run = say_locked(live_run(TWO_ROWS))
    assert not say(run, "unlock", gate=True).accepted
    assert say(run, "unlock").accepted
    run = live_run(TWO_ROWS)
    take_acquired(run, AcquireClosed(closed=ClosedGate(by="olga", reason="stop")), NOW)
    assert say(run, "unlock", gate=True).accepted
    assert run.state is State.MOCK


def test_the_live_gate_lifts_the_lock_of_a_parked_run_but_does_not_settle_it() -> None:
    run = entered(live_run(TWO_ROWS), ROW)
    call(run, CallInDoubt(step="a", error="lost"))
    assert say(run, "lock", gate=True).accepted
    assert say(run, "unlock", gate=True).accepted
    assert run.state is State.LOCKED
    assert run.lock is None
    assert run.parked == ("a",)


def test_a_step_that_admission_moved_to_another_agent_is_shown_and_called_as_that_agent() -> None:
    run = live_run(TWO_ROWS)
    run.admitted = reassigned(run.contracts(), "b", "crm")
    assert {step.id: step.agent for step in run.steps} == {"a": "bot", "b": "crm", "r": "bot"}
    assert entry_request(run, HOLDER).live.spending["crm"].live_calls == 1  # type: ignore[union-attr]


def test_what_depends_on_many_duplicates_is_looked_for_once(monkeypatch) -> None:
    """One walk over a large plan for each of thousands of duplicates took minutes, within one workflow task."""
    walks: list[int] = []

    def counted(parents: Parents, steps: Iterable[str]) -> frozenset[str]:
        walks.append(len(parents))
        return dependents(parents, steps)

    monkeypatch.setattr(gate_reactions, "dependents", counted)
    mails = [step(f"m{n:03}", "mail", args={"to": f"{n}"}) for n in range(100)]
    run = live_run(plan(*mails, step("alone", args={"key": "a"}), step("behind", "order", "m000", "m099")))
    drop_duplicates(run, {mail.id: "made by plan-x" for mail in mails}, NOW)
    assert run.approved == ("alone",)
    assert walks == [102]


def test_the_request_looks_as_often_at_the_calls_of_a_large_plan_as_of_a_small_one(monkeypatch):
    """Once for each step took 9 s at 5,000 steps, in a workflow task."""
    looks: list[Run] = []
    look = vars(Run)["steps_with"].fget

    def counted(run: Run):
        looks.append(run)
        return look(run)

    monkeypatch.setattr(Run, "steps_with", property(counted))
    counts = []
    for number in (3, 60):
        run = live_run(plan(*[step(f"s{n}", "order") for n in range(number)]))
        looks.clear()
        request = entry_request(run, HOLDER)
        assert request.evidence is not None
        assert len(request.evidence.approved) == number
        counts.append(len(looks))
    assert counts[0] == counts[1]
