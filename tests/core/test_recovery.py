"""The evidence of histories that a run does not know: how calls ended, and the repeat of a run that was reset."""

from typing import Any

import pytest

from airlock.plans.contract import Contract
from airlock.plans.outcome import Attempt, CallInDoubt, CallStale, CallSucceeded, RetryableFailure, UndoFailed, Undone
from airlock.run.call_record import CallStatus
from airlock.run.live.call_messages import CallRequest, ChainRequest, MadeCall
from airlock.run.live.recovery import (
    CallActivity,
    HistoryEvidence,
    UndoActivity,
    conclude,
    lost_after,
    overlay,
    repeat_or_answer,
    seconds_until_quiet,
)
from airlock.run.state import Run
from tests.core.build import NOW, call, contract, failed, live, live_run, plan, step

READS = contract(reversibility="read_only", has_compensate=False)


def request(name: str = "a", *, undone: int = 0, attempt: int = 1, of: Contract | None = None) -> CallRequest:
    return CallRequest(step=step(name), contract=of or contract(timeout=20), undone=undone, attempt=attempt)


def activity(
    *calls: CallRequest, made: tuple[Attempt, ...] = (), lost: tuple[str, ...] = (), run: str = "r1"
) -> CallActivity:
    return CallActivity(run_id=run, request=ChainRequest(plan_id="p-1", calls=calls), attempts=made, lost=lost)


def undo(name: str = "a", *, undone: int = 0, outcome: Any = None) -> UndoActivity:
    made = MadeCall(plan_id="p-1", step=step(name), contract=contract(timeout=20), undone=undone)
    return UndoActivity(run_id="r1", request=made, outcome=outcome)


def told(*found: CallActivity | UndoActivity) -> HistoryEvidence:
    calls = tuple(each for each in found if isinstance(each, CallActivity))
    return HistoryEvidence(calls=calls, undos=tuple(each for each in found if isinstance(each, UndoActivity)))


def again(**more: Any) -> RetryableFailure:
    return RetryableFailure.model_validate({"step": "a", "error": "busy", "doubtful": False, **more})


DOUBT = CallInDoubt(step="a", error="lost")
STALE = CallStale(step="a", error="moved")


@pytest.mark.parametrize(
    ("attempts", "kind"),
    [
        ([], None),
        ([live("a")], "live"),
        ([failed("a")], "failed"),
        ([STALE], "stale"),
        ([DOUBT], "in_doubt"),
        ([None], "in_doubt"),
        ([again()], "failed"),
        ([again(), live("a")], "live"),
        ([again(certain=True), STALE], "stale"),
        ([again(), STALE], "in_doubt"),
        ([again(doubtful=True)], "in_doubt"),
        ([again(doubtful=True), failed("a")], "in_doubt"),
        ([again(doubtful=True), live("a")], "live"),
        ([again(doubtful=True), None], "in_doubt"),
        ([None, failed("a")], "in_doubt"),
        ([None, live("a")], "live"),
    ],
)
def test_how_a_call_ended_by_all_its_attempts(attempts, kind):
    found = [
        activity(
            request(attempt=number),
            made=() if made is None else (made,),
            lost=("a",) if made is None else (),
        )
        for number, made in enumerate(attempts, 1)
    ]
    outcome = conclude(told(*found), "a", 0)
    assert (outcome.kind if outcome else None) == kind


def test_a_call_that_only_reads_is_never_in_doubt():
    assert conclude(told(activity(request(of=READS), lost=("a",))), "a", 0).kind == "failed"


def test_a_call_that_was_handed_back_was_never_begun():
    back = again(certain=True, turned_away=True, elsewhere=True)
    assert conclude(told(activity(request(), made=(back,))), "a", 0) is None
    doubtful = activity(request(), made=(again(doubtful=True),))
    after = conclude(told(doubtful, activity(request(attempt=2), made=(back,))), "a", 0)
    assert after is not None
    assert after.kind == "in_doubt", "a worker that called nothing settles no doubt"


def test_a_first_attempt_after_others_in_one_run_means_that_they_were_settled():
    evidence = told(activity(request(), lost=("a",)), activity(request(), made=(failed("a"),)))
    assert conclude(evidence, "a", 0).kind == "failed"
    elsewhere = told(activity(request(), lost=("a",)), activity(request(), made=(failed("a"),), run="r2"))
    assert conclude(elsewhere, "a", 0).kind == "in_doubt"


def test_of_a_lost_chain_the_call_after_the_answers_is_lost_and_the_rest_was_not_begun():
    chain = ChainRequest(plan_id="p-1", calls=(request("a"), request("b"), request("c")))
    assert lost_after(chain, []) == ("a",)
    assert lost_after(chain, [live("a")]) == ("b",)
    assert lost_after(chain, [live("a"), failed("b")]) == ()
    assert lost_after(chain, [live("a"), live("b"), live("c")]) == ()


REPEATS = {
    "never heard of": (told(), ("call", 0)),
    "another step": (told(activity(request("b"), made=(live("b"),))), ("call", 0)),
    "made": (told(activity(request(), made=(live("a"),))), ("live", 0)),
    "failed": (told(activity(request(), made=(failed("a"),))), ("call", 0)),
    "stale": (told(activity(request(), made=(STALE,))), ("call", 0)),
    "unanswered": (told(activity(request(), lost=("a",))), ("in_doubt", 0)),
    "in doubt": (told(activity(request(), made=(DOUBT,))), ("in_doubt", 0)),
    "undone since": (told(activity(request(), made=(live("a"),)), undo(outcome=Undone(step="a"))), ("call", 1)),
    "undone and made again": (
        told(
            activity(request(), made=(live("a"),)),
            undo(outcome=Undone(step="a")),
            activity(request(undone=1), made=(live("a"),)),
        ),
        ("live", 1),
    ),
    "undone and made again by a run that was reset": (
        told(
            activity(request(), made=(live("a"),)),
            undo(outcome=Undone(step="a")),
            activity(request(), made=(live("a", undone=1),), run="r2"),
        ),
        ("live", 1),
    ),
    "a compensation failed": (
        told(activity(request(), made=(live("a"),)), undo(outcome=UndoFailed(step="a", error="no"))),
        ("in_doubt", 0),
    ),
    "a compensation is unanswered": (told(activity(request(), made=(live("a"),)), undo()), ("in_doubt", 0)),
}


@pytest.mark.parametrize("name", REPEATS)
def test_what_a_run_that_was_reset_does_about_a_call(name):
    evidence, (kind, undone) = REPEATS[name]
    answer = repeat_or_answer(request(), evidence)
    assert ("call" if isinstance(answer, CallRequest) else answer.kind, answer.undone) == (kind, undone)


def test_a_failed_call_is_made_again_with_the_token_it_left_and_an_undone_one_without():
    left = repeat_or_answer(request(), told(activity(request(), made=(failed("a", undo={"half": 1}),))))
    assert left.undo == {"half": 1}
    undone = told(activity(request(), made=(live("a"),)), undo(outcome=Undone(step="a")))
    assert repeat_or_answer(request().model_copy(update={"undo": {"old": 1}}), undone).undo is None


def terminated(*in_flight: str) -> Run:
    """Return a plan that was terminated in LIVE: a is live, the rest as its last workflow task left it."""
    run = live_run(plan(step("a"), step("b", "order", "a"), step("c", "mail", "b")))
    call(run, live("a"))
    run.in_flight = in_flight
    return run


@pytest.mark.parametrize(
    ("evidence", "status"),
    [
        (told(), None),
        (told(activity(request("b"), made=(live("b"),))), CallStatus.LIVE),
        (told(activity(request("b"), made=(failed("b"),))), CallStatus.FAILED),
        (told(activity(request("b"), lost=("b",))), CallStatus.IN_DOUBT),
        (told(activity(request("b"), request("c"), lost=("b", "c"))), CallStatus.IN_DOUBT),
    ],
)
def test_a_terminated_run_learns_what_only_its_history_tells(evidence, status):
    run = terminated("b")
    overlay(run, evidence, NOW, was_reset=False)
    assert (run.calls["b"].status if "b" in run.calls else None) is status
    assert (run.calls["a"].status, run.in_flight) == (CallStatus.LIVE, ())


def test_what_the_run_has_settled_itself_is_not_changed_by_its_history():
    run = terminated()
    run.calls["a"] = run.calls["a"].model_copy(update={"status": CallStatus.KEPT})
    overlay(run, told(activity(request("a"), made=(failed("a"),))), NOW, was_reset=False)
    assert run.calls["a"].status is CallStatus.KEPT


def test_a_compensation_in_flight_that_worked_counts_and_any_other_is_asked_for_again():
    worked, unknown = terminated("a"), terminated("a")
    overlay(worked, told(activity(request("a"), made=(live("a"),)), undo(outcome=Undone(step="a"))), NOW, was_reset=False)
    assert (worked.calls["a"].status, worked.calls["a"].undone) == (CallStatus.UNDONE, 1)
    overlay(unknown, told(activity(request("a"), made=(live("a"),)), undo()), NOW, was_reset=False)
    assert (unknown.calls["a"].status, unknown.calls["a"].undone) == (CallStatus.LIVE, 0)


def test_a_run_that_was_reset_learns_of_calls_it_never_heard_of():
    run = live_run(plan(step("a"), step("b", "order", "a")))
    evidence = told(
        activity(request("a"), made=(live("a"),)),
        undo(outcome=Undone(step="a")),
        activity(request("a", undone=1), made=(live("a"),)),
    )
    overlay(run, evidence, NOW, was_reset=True)
    assert (run.calls["a"].status, run.calls["a"].undone) == (CallStatus.LIVE, 1)
    assert "b" not in run.calls


def test_quiet_is_when_the_longest_call_in_flight_must_have_ended():
    run = terminated("b")
    assert seconds_until_quiet(run, told(activity(request("a"), made=(live("a"),)))) == 0.0
    chain = activity(request("b", of=contract(timeout=5)), request("c", of=contract(timeout=9)), lost=("b", "c"))
    assert seconds_until_quiet(run, told(chain)) == 9.0


def test_an_answer_is_a_live_call():
    answer = repeat_or_answer(request(), told(activity(request(), made=(live("a"),))))
    assert isinstance(answer, CallSucceeded)
    assert (answer.output, answer.undo) == ({"id": "a"}, {"token": "a"})
