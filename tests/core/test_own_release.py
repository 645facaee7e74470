"""A run that ends may release its slots by signals of its own, where it needs no proved answer."""

from typing import Any

import pytest

from airlock.admission.admitted import EPOCH, OWN_RELEASE_EPOCH
from airlock.base.names import LIVE_GATE
from airlock.gates.answers import AcquireGranted
from airlock.gates.protocol import ClaimOutcome, GateWait, HeldSlot, LeaveRequest, SettledClaim, SlotRequest
from airlock.gates.semaphore import Gate
from airlock.plans.outcome import CallInDoubt
from airlock.plans.state import State
from airlock.run.live.gate_reactions import take_acquired
from airlock.run.live.gate_requests import leave_request
from airlock.run.live.own_release import MAX_GATES, may_release_itself
from airlock.run.state import Run
from tests.core.build import NOW, call, live, live_run, plan, say, step

HOLDER = "plan-p-1"
SLOTS = (
    HeldSlot(gate="gate-resource-1", name="row:a", fence=7, own_release=True),
    HeldSlot(gate=LIVE_GATE, name="live", fence=3, own_release=True),
)


def ended(*held: HeldSlot) -> tuple[Run, LeaveRequest]:
    run = live_run(plan(step("a", args={"key": "a"})))
    run.stays += 1
    take_acquired(run, AcquireGranted(held=held or SLOTS), NOW)
    call(run, live("a"), after=True)
    assert run.state is State.COMPLETED
    asked = leave_request(run, HOLDER)
    assert asked is not None
    return run, asked


def test_a_plan_that_is_completed_releases_its_slots_itself() -> None:
    run, asked = ended()
    assert asked.gates == (LIVE_GATE, "gate-resource-1")
    assert may_release_itself(run, asked)
    assert EPOCH >= OWN_RELEASE_EPOCH


def test_a_run_of_an_earlier_epoch_asks_for_an_activity() -> None:
    run, asked = ended()
    run.admitted = run.contracts().model_copy(update={"epoch": OWN_RELEASE_EPOCH - 1})
    assert not may_release_itself(run, asked)


def test_a_gate_of_an_earlier_version_takes_releases_of_activities_only() -> None:
    for slot in SLOTS:
        others = [other for other in SLOTS if other is not slot]
        run, asked = ended(slot.model_copy(update={"own_release": False}), *others)
        assert not may_release_itself(run, asked), slot.gate


@pytest.mark.parametrize(
    "change",
    [
        {"settled": (SettledClaim(claim="claim-mail-1", step="a", outcome=ClaimOutcome.DONE),)},
        {"doubts": ("a",)},
        {"lost": ("a",)},
        {"gates": tuple(f"gate-resource-{number}" for number in range(MAX_GATES + 1))},
        {"gates": ("gate-resource-unknown",)},
    ],
)
def test_what_must_be_answered_is_asked_of_an_activity(change: dict[str, Any]) -> None:
    run, asked = ended()
    assert not may_release_itself(run, asked.model_copy(update=change))


def test_a_place_in_a_queue_and_doubts_that_the_gate_knows_are_given_up_by_an_activity() -> None:
    run, asked = ended()
    run.gate_wait = GateWait(gate="gate-resource-2", name="row:b", position=1)
    assert not may_release_itself(run, asked)
    run, asked = ended()
    run.told_doubts = ("a",)
    assert not may_release_itself(run, asked)


@pytest.mark.parametrize("decision", ["lock", "rollback"])
def test_a_run_that_goes_on_does_not_release_itself(decision: str) -> None:
    run = live_run(plan(step("a", args={"key": "a"}), step("b", args={"key": "b"})))
    run.stays += 1
    take_acquired(run, AcquireGranted(held=SLOTS), NOW)
    call(run, live("a"))
    assert say(run, decision).accepted
    asked = leave_request(run, HOLDER)
    assert asked is not None
    assert not may_release_itself(run, asked)


def test_a_parked_run_does_not_release_itself() -> None:
    run = live_run(plan(step("a", args={"key": "a"})))
    run.stays += 1
    take_acquired(run, AcquireGranted(held=SLOTS), NOW)
    call(run, CallInDoubt(step="a", error="lost"), after=True)
    asked = leave_request(run, HOLDER)
    assert asked is not None
    assert not may_release_itself(run, asked)


def test_a_gate_says_that_it_takes_such_releases_and_only_the_live_gate_is_told_of_doubts() -> None:
    granted = Gate(capacity=1).acquire(SlotRequest(holder=HOLDER, request="1"), NOW)
    assert granted.model_dump()["own_release"] is True
    gate = Gate(capacity=1)
    gate.acquire(SlotRequest(holder=HOLDER, request="1"), NOW)
    gate.acquire(SlotRequest(holder="plan-q", request="1"), NOW)
    again = gate.acquire(SlotRequest(holder=HOLDER, request="1"), NOW)
    assert "own_release" not in again.model_dump(), "another plan waits, which the signal of a worker lets in sooner"
    _, asked = ended()
    asked = asked.model_copy(update={"doubts": ("a",), "lost": ("b",), "said_at": NOW})
    told = asked.release_at(LIVE_GATE)
    assert (told.fence, told.doubts, told.lost, told.said_at) == (3, ("a",), ("b",), NOW)
    told = asked.release_at("gate-resource-1")
    assert (told.fence, told.doubts, told.lost, told.said_at) == (7, (), (), None)
    assert asked.release_at("gate-resource-9").fence == 0, "the run was never told of that slot"
    assert asked.model_copy(update={"fences": None}).release_at(LIVE_GATE).fence is None
