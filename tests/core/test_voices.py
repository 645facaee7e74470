"""Voices: one for each person and decision, and no more than a run can hold, whatever its people send."""

import itertools
from datetime import timedelta
from typing import Any

import pytest

from airlock.base.incoming import MalformedMessage, Verdict
from airlock.plans.state import State
from airlock.run.call_record import CallStatus
from airlock.run.decisions import voices, vote_scope
from airlock.run.decisions.approval import MAX_NAMED, MAX_VOTES
from airlock.run.decisions.decision import decide
from airlock.run.decisions.voices import MAX_AT_ONCE, MAX_BYTES, MAX_GIVEN, MAX_VOICES
from airlock.run.messages import parse_message
from airlock.run.state import Run
from tests.core.build import NOW, awaiting, call, failed, live, plan, policy, step

_SECONDS = itertools.count(1)
TWO: dict[str, Any] = {"people": 2}


def in_doubt(**rule: Any) -> Run:
    """A run that is locked with a call in doubt, which two people must settle."""
    run = awaiting(plan(step("a"), step("b", "write", "a")), policy(decisions={"resolve": {**TWO, **rule}}))
    run.approved = ("a", "b")
    run.state = State.LIVE
    call(run, live("a"))
    call(run, failed("b"), after=True)
    run.state = State.LOCKED
    run.calls["a"] = run.calls["a"].model_copy(update={"status": CallStatus.IN_DOUBT})
    return run


def settle(run: Run, by: str, output: Any = None, outcome: str = "happened") -> Verdict:
    message = {"by": by, "reason": "looked", "step": "a", "outcome": outcome, "output": output}
    return decide(run, "resolve", parse_message("resolve", (message,)), NOW + timedelta(seconds=next(_SECONDS) / 1_000))


def test_who_says_something_else_has_said_only_that() -> None:
    run = in_doubt()
    assert settle(run, "alice", {"id": 1}).accepted
    assert settle(run, "Alice", {"id": 2}).accepted
    assert len(run.voices) == 1
    assert "1 of 2" in settle(run, "bob", {"id": 1}).reason, "alice has taken that back"
    assert settle(run, "carol", {"id": 2}).accepted
    assert run.calls["a"].status is not CallStatus.IN_DOUBT


def test_a_person_who_says_a_thousand_things_makes_no_run_too_large() -> None:
    run = in_doubt()
    for number in range(MAX_GIVEN + 100):
        settle(run, "alice", {"id": number, "text": "x" * 60_000})
    assert len(run.voices) == 1
    assert len(run.model_dump_json()) < 500_000
    assert "too many" in settle(run, "alice", {"id": -1}).reason
    (waits,) = run.voices
    assert settle(run, "bob", waits.message["output"]).accepted, "who agrees still decides"
    assert run.calls["a"].status is not CallStatus.IN_DOUBT


def test_a_thousand_names_make_no_run_too_large() -> None:
    run = in_doubt()
    for number in range(200):
        settle(run, f"person {number}", {"id": number})
    assert len(run.voices) == MAX_VOICES
    run = in_doubt()
    for number in range(200):
        settle(run, f"person {number}", {"id": number, "text": "x" * 60_000})
    assert len(run.model_dump_json()) < MAX_BYTES + 300_000


def test_a_run_of_an_earlier_release_keeps_its_rules() -> None:
    run = in_doubt()
    assert run.admitted is not None
    run.admitted = run.admitted.model_copy(update={"epoch": 8})
    settle(run, "alice", {"id": 1})
    settle(run, "alice", {"id": 2})
    assert settle(run, "bob", {"id": 1}).accepted
    assert run.calls["a"].status is not CallStatus.IN_DOUBT


def test_a_denial_names_a_digest_and_nothing_longer() -> None:
    parse_message("deny", ({"by": "alice", "reason": "no", "digest": " " + "a" * 64 + "\n"},))
    with pytest.raises(MalformedMessage, match="digest"):
        parse_message("deny", ({"by": "alice", "reason": "no", "digest": "a" * 12 + "b" * 1_000_000},))
    found = parse_message("deny", ({"by": "alice", "reason": "no", "digest": "a" * 12 + " " * 1_000_000},))
    assert getattr(found, "digest", "") == "a" * 12


def test_a_flood_at_one_moment_is_compared_a_bounded_number_of_times(monkeypatch: pytest.MonkeyPatch) -> None:
    run, compared = in_doubt(), list[Any]()
    honest = voices._said
    monkeypatch.setattr(voices, "_said", lambda message: (compared.append(message), honest(message))[1])
    for number in range(1_000):
        message = {"by": f"person {number}", "reason": "x", "step": "a", "outcome": "happened", "output": number}
        verdict = decide(run, "resolve", parse_message("resolve", (message,)), NOW)
    assert "send it again" in verdict.reason
    assert len(compared) <= MAX_AT_ONCE * (MAX_VOICES + 1)
    assert settle(run, "alice", 3).accepted, "a moment later it is looked at"
    assert run.calls["a"].status is not CallStatus.IN_DOUBT


def many_steps(number: int, approvals_required: int = 2) -> Run:
    steps = (step(f"s{each}", "write") for each in range(number))
    return awaiting(plan(*steps), policy(approvals_required=approvals_required))


def approve(run: Run, by: str, *steps: str) -> Verdict:
    message = {"by": by, "digest": run.digest, "steps": list(steps)}
    return decide(run, "approve", parse_message("approve", (message,)), NOW)


def test_approvals_of_single_steps_under_endless_names_come_to_an_end() -> None:
    run = many_steps(MAX_VOTES + 20)
    verdicts = [approve(run, f"person {number}", f"s{number}") for number in range(MAX_VOTES + 20)]
    assert len(run.votes) == MAX_VOTES
    assert "no further one is taken" in verdicts[-1].reason
    run = many_steps(600, approvals_required=50)
    each = [f"s{number}" for number in range(600)]
    verdicts = [approve(run, f"person {number}", *each) for number in range(36)]
    assert sum(len(vote.approval.steps or ()) for vote in run.votes) <= MAX_NAMED
    assert "no further one is taken" in verdicts[-1].reason


def test_a_vote_is_judged_without_comparing_all_voters_with_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    run, asked = many_steps(150), list[str]()
    honest = vote_scope.folded
    monkeypatch.setattr(vote_scope, "folded", lambda name: (asked.append(name), honest(name))[1])
    for number in range(149):
        approve(run, f"person {number}", f"s{number}")
    asked.clear()
    assert approve(run, "person 149", "s149").accepted
    assert len(asked) < 20 * 150
