"""A probe's answer about a call in doubt, by table: what settles it, and what the plan and the gates make of it."""

import dataclasses

import pytest

from airlock.gates.protocol import ClaimOutcome
from airlock.plans.outcome import CallInDoubt, ProbeAnswer
from airlock.plans.state import State
from airlock.run.call_record import CallStatus
from airlock.run.displacement import lose
from airlock.run.live.call_results import after_calls, take_probe
from airlock.run.live.gate_requests import leave_request
from airlock.run.state import Run
from tests.core.build import NOW, call, live, live_run, say
from tests.core.test_gate_requests import HOLDER, MAIL, entered


def mailing(doubt: CallInDoubt, *, fenced: bool = False, epoch: int = 1, earlier_loss: bool = False) -> Run:
    """Return a run whose mail is in doubt, with its claim."""
    run = entered(live_run(MAIL), claimed={"send": "claim-mail-1"})
    admitted = run.contracts()
    row = admitted.steps["send"]
    contract = row.contract.model_copy(update={"fenced": fenced})
    steps = {**admitted.steps, "send": dataclasses.replace(row, contract=contract)}
    run.admitted = admitted.model_copy(update={"steps": steps, "epoch": epoch})
    if earlier_loss:
        lose(run, "send")
    call(run, live("a"))
    call(run, doubt)
    return run


LOST = CallInDoubt(step="send", error="its worker is gone", token_lost=True, lost=True)
ANSWERED = CallInDoubt(step="send", error="the answer of the target was lost")
NO = ProbeAnswer(step="send", happened=False, why="no such mail")


@pytest.mark.parametrize(
    ("doubt", "more", "settled"),
    [
        (LOST, {}, False),
        (LOST, {"fenced": True}, True),
        (LOST, {"epoch": 0}, True),
        (ANSWERED, {}, True),
        (ANSWERED, {"earlier_loss": True}, False),
        (ANSWERED, {"earlier_loss": True, "fenced": True}, True),
    ],
)
def test_a_no_settles_only_what_can_have_no_effect_any_more(
    doubt: CallInDoubt, more: dict[str, bool | int], settled: bool
) -> None:
    run = mailing(doubt, **more)  # type: ignore[arg-type]
    take_probe(run, NO, NOW)
    assert run.calls["send"].status is (CallStatus.FAILED if settled else CallStatus.IN_DOUBT)
    after_calls(run, [], NOW, deadline_passed=False)
    request = leave_request(run, HOLDER)
    claims = [(claim.step, claim.outcome) for claim in request.settled] if request else []
    if settled:
        assert run.state is not State.LOCKED
        return
    assert run.state is State.LOCKED
    assert "the probe says that it has not happened" in run.why
    assert "the call may still be under way" in run.why
    assert "no such mail" in [entry.reason for entry in run.audit if entry.what == "probe_cannot_tell"][-1]
    assert claims == [], "the claim stays: another plan must not make the call either"
    assert say(run, "resolve", step="send", outcome="did_not_happen").accepted
    settlement = leave_request(run, HOLDER)
    assert settlement is not None
    assert [claim.outcome for claim in settlement.settled if claim.step == "send"] == [ClaimOutcome.FREE]


def test_a_second_no_is_not_added_to_the_reason() -> None:
    run = mailing(LOST)
    for _ in range(3):
        take_probe(run, NO, NOW)
    assert run.calls["send"].error.count("the probe says") == 1


@pytest.mark.parametrize("doubt", [LOST, ANSWERED])
def test_a_yes_settles_always(doubt: CallInDoubt) -> None:
    run = mailing(doubt)
    take_probe(run, ProbeAnswer(step="send", happened=True), NOW)
    assert run.calls["send"].status is CallStatus.LIVE
