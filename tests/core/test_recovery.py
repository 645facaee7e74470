"""The evidence of histories that a run does not know: the undo of a terminated plan, the repeat of a reset one."""

from types import SimpleNamespace
from typing import Any

import pytest

from airlock.plans.contract import Contract
from airlock.plans.outcome import (
    Attempt,
    CallInDoubt,
    CallStale,
    CallSucceeded,
    RetryableFailure,
    StepPreview,
    UndoFailed,
    Undone,
)
from airlock.plans.state import Event, State
from airlock.run.call_record import CallRecord, CallStatus
from airlock.run.live.call_messages import CallRequest, ChainRequest, MadeCall
from airlock.run.live.recovery import (
    CallActivity,
    HistoryEvidence,
    UndoActivity,
    begin_undo,
    conclude,
    keep_follows,
    lost_after,
    overlay,
    repeat_or_answer,
    seconds_until_quiet,
    steps_left,
)
from airlock.run.presentation.undo_preview import seal_undo
from airlock.run.presentation.views import preview_view, waits_for
from airlock.run.state import Run
from airlock.run.undo import Prospect, Undoing, UndoLook
from tests.core.build import NOW, admitted, call, contract, failed, later, live, live_run, plan, policy, say, step

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


def undo_run(ended: Run, to_step: str | None = None) -> tuple[Run, str]:
    run = Run(plan=ended.plan, undoing=Undoing(by="carol", reason="wrong", to_step=to_step), submitted_at=NOW, since=NOW)
    return run, begin_undo(run, ended, None)


def ended_run(**statuses: CallStatus) -> Run:
    """Return a plan that has ended: write a, order b, mail c, read d."""
    proposed = plan(step("a"), step("b", "order", "a"), step("c", "mail", "b"), step("d", "read"))
    run = Run(plan=proposed, admitted=admitted(proposed), submitted_at=NOW, since=NOW, state=State.COMPLETED)
    for number, (name, status) in enumerate(statuses.items(), 1):
        token = None if status is CallStatus.UNDONE else {"token": name}
        run.calls[name] = CallRecord(status=status, number=number, undo=token, undone=int(status is CallStatus.UNDONE))
    return run


LIVE, UNDONE, KEPT = CallStatus.LIVE, CallStatus.UNDONE, CallStatus.KEPT


@pytest.mark.parametrize(
    ("statuses", "to_step", "left"),
    [
        ({"a": LIVE, "b": LIVE, "c": LIVE, "d": LIVE}, None, ("a", "b")),
        ({"a": LIVE, "b": LIVE, "c": LIVE, "d": LIVE}, "b", ("b",)),
        ({"a": LIVE, "b": UNDONE, "c": KEPT}, None, ("a",)),
        ({"a": LIVE, "b": CallStatus.UNDO_FAILED}, None, ("a", "b")),
        ({"a": LIVE, "b": KEPT}, None, ("a", "b")),
        ({"a": LIVE, "b": CallStatus.IN_DOUBT}, None, ("a", "b")),
        ({"a": CallStatus.FAILED}, None, ("a",)),
    ],
)
def test_what_is_left_to_undo(statuses, to_step, left):
    run, nothing = undo_run(ended_run(**statuses), to_step)
    assert (steps_left(run), nothing) == (left, "")


@pytest.mark.parametrize(
    ("statuses", "to_step", "why"),
    [
        ({}, None, "nothing of this plan went live"),
        ({"d": LIVE}, None, "nothing is left to undo: what went live only read"),
        ({"c": LIVE}, None, "nothing is left to undo (cannot be undone: c)"),
        ({"a": UNDONE, "c": KEPT}, None, "nothing is left to undo (undone already: a; cannot be undone: c)"),
        ({"a": LIVE, "b": UNDONE}, "b", "nothing from 'b' on is left to undo (undone already: b)"),
        ({"a": LIVE}, "x", "there is no step 'x' in this plan"),
    ],
)
def test_nothing_to_undo_is_said_in_a_sentence(statuses, to_step, why):
    assert undo_run(ended_run(**statuses), to_step)[1] == why


def sealed_undo(*looks: UndoLook, to_step: str | None = None, **rules: Any) -> Run:
    ended = ended_run(a=LIVE, b=LIVE, c=LIVE)
    ended.admitted = admitted(ended.plan, policy(**rules))
    run, _ = undo_run(ended, to_step)
    run.apply(Event.REHEARSED, NOW)
    seal_undo(run, looks, NOW)
    run.apply(Event.PREVIEWED, NOW)
    return run


def test_the_seal_of_an_undo_covers_what_the_tools_say():
    works, fails = UndoLook(step="a", looked=True, effect="x"), UndoLook(step="a", looked=True, error="moved")
    assert sealed_undo(works).digest == sealed_undo(works).digest
    assert len({sealed_undo(*looks).digest for looks in ((), (works,), (fails,))}) == 3
    assert sealed_undo(to_step="b").digest != sealed_undo().digest


def test_the_preview_of_an_undo():
    run = sealed_undo(
        UndoLook(step="a", looked=True, error="the row has moved"), UndoLook(step="b", looked=True, effect="Cancel.")
    )
    content = run.sealed.undo
    assert [(each.id, each.prospect) for each in content.steps] == [
        ("b", Prospect.UNDO), ("a", Prospect.WOULD_FAIL), ("c", Prospect.KEPT),
    ]  # fmt: skip
    text = preview_view(run).text
    assert "Order: b, a" in text
    assert "the row has moved" in text
    assert 'requested by "carol"' in text
    assert f'--workflow-id undo-p-1 --name approve --input \'{{"by": "YOUR-NAME", "digest": "{run.digest[:16]}"}}\'' in text


def test_a_look_at_a_change_that_a_later_call_was_made_on_tells_nothing_yet():
    ended = ended_run(a=LIVE, b=LIVE)
    preview = StepPreview(step="b", args={}, effect="", looked=True, follows={"file:x": "a"})
    ended.sealed = SimpleNamespace(steps=(SimpleNamespace(id="b", preview=preview), SimpleNamespace(id="a", preview=None)))
    keep_follows(ended)
    looks = (UndoLook(step="a", looked=True, error="the file has moved"), UndoLook(step="b", looked=True, error="and this"))
    run, _ = undo_run(ended)
    seal_undo(run, looks, NOW)
    assert [(each.id, each.prospect, each.says) for each in run.sealed.undo.steps] == [
        ("b", Prospect.WOULD_FAIL, "and this"),
        ("a", Prospect.NOT_LOOKED, "only after the undo of b, made on this change: the file has moved"),
    ]  # fmt: skip
    ended.calls["b"] = ended.calls["b"].model_copy(update={"status": UNDONE})
    run, _ = undo_run(ended)
    seal_undo(run, looks, NOW)
    assert run.sealed.undo.steps[0].prospect is Prospect.WOULD_FAIL, "nothing is undone before it any more"


def test_an_undo_is_approved_by_the_rules_of_any_plan():
    run = sealed_undo(approvals_required=2)
    assert not say(run, "approve", by="carol").accepted, "who asked for it"
    assert not say(run, "approve", by="bot").accepted, "an agent of the plan"
    assert not say(run, "approve", by="alice", steps=["a"]).accepted, "only as a whole"
    assert not say(run, "approve", now=later(25), by="alice").accepted, "too late"
    assert say(run, "approve", by="alice").accepted
    assert run.state is State.AWAITING_APPROVAL
    assert say(run, "approve", by="author").accepted, "the plan's requester did not ask for its undo"
    assert (run.state, run.approved) == (State.LIVE, ("b", "a"))


def test_no_way_leads_round_the_approval_of_an_undo():
    run = sealed_undo()
    assert say(run, "lock").accepted
    assert not say(run, "rollback").accepted
    assert say(run, "unlock").accepted
    assert (run.state, run.approved, run.rollback.by) == (State.MOCK, (), "carol")
    approved = sealed_undo(to_step="b")
    assert say(approved, "approve", by="alice").accepted
    assert approved.apply(Event.ROLLBACK, NOW)
    assert say(approved, "lock").accepted
    assert not say(approved, "rollback", to_step="a").accepted, "further back than what was approved"
    assert say(approved, "rollback").accepted
    assert approved.rollback.to_step == "b"


def doubtful_undo(**statuses: CallStatus) -> Run:
    """Return an undo that waits for its approval and begins with a call in doubt."""
    run, _ = undo_run(ended_run(**{"a": CallStatus.IN_DOUBT, **statuses}))
    run.apply(Event.REHEARSED, NOW)
    seal_undo(run, (), NOW)
    run.apply(Event.PREVIEWED, NOW)
    return run


@pytest.mark.parametrize("by_gate", [False, True])
@pytest.mark.parametrize("approved", [False, True])
def test_an_unlock_lets_an_undo_go_on_with_the_doubts_it_began_with(by_gate, approved):
    run = doubtful_undo()
    if approved:
        assert say(run, "approve", by="alice").accepted
        run.apply(Event.ROLLBACK, NOW)
        by_gate = False  # the live gate's lock stops no rollback
    assert say(run, "lock", gate=by_gate).accepted
    assert "airlock unlock" in waits_for(run)
    assert say(run, "unlock", gate=by_gate).accepted
    assert (run.state, run.approved, run.lock) == (State.MOCK, (), None)


def test_a_lock_over_the_live_gates_lock_remembers_what_was_stopped():
    run = doubtful_undo()
    assert say(run, "lock", gate=True).accepted
    assert say(run, "lock").accepted
    assert say(run, "unlock").accepted


def test_an_unlock_settles_no_doubt_that_stopped_the_undo_by_itself():
    run = doubtful_undo()
    say(run, "approve", by="alice")
    run.apply(Event.ROLLBACK, NOW)
    run.apply(Event.COMPENSATION_FAILED, NOW)
    assert "must be settled first" in say(run, "unlock").reason
    assert say(run, "lock").accepted
    assert "must be settled first" in say(run, "unlock").reason


def test_an_unlock_settles_no_failed_compensation():
    run = doubtful_undo(b=CallStatus.LIVE)
    say(run, "approve", by="alice")
    run.apply(Event.ROLLBACK, NOW)
    run.calls["b"] = run.calls["b"].model_copy(update={"status": CallStatus.UNDO_FAILED})
    assert say(run, "lock").accepted
    assert "must be settled first" in say(run, "unlock").reason


def test_a_plan_with_a_call_in_doubt_is_settled_before_it_is_unlocked():
    ended = ended_run(a=CallStatus.IN_DOUBT)
    ended.state = State.LIVE
    assert say(ended, "lock").accepted
    assert "must be settled first" in say(ended, "unlock").reason


def test_a_call_whose_token_is_lost_is_shown_as_one_that_would_fail():
    ended = ended_run(a=LIVE)
    ended.calls["a"] = ended.calls["a"].model_copy(update={"undo": None, "token_lost": True})
    run, _ = undo_run(ended)
    seal_undo(run, [], NOW)
    assert run.sealed.undo.steps[0].prospect is Prospect.WOULD_FAIL


def test_an_answer_is_a_live_call():
    answer = repeat_or_answer(request(), told(activity(request(), made=(live("a"),))))
    assert isinstance(answer, CallSucceeded)
    assert (answer.output, answer.undo) == ({"id": "a"}, {"token": "a"})
