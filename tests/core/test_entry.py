"""The answer of the live role at the entry to LIVE, as a run takes it."""

import pytest

from airlock.gates.answers import AcquireGranted, AcquireQueued
from airlock.gates.protocol import EntryRefused, GateWait
from airlock.plans.seal import seal
from airlock.plans.state import State
from airlock.run.decisions.entry import MAX_REFUSALS, MAX_RENEWALS, take_permit, take_refusal, take_turned_away
from airlock.run.rehearsal import begin_life
from airlock.run.state import Run
from tests.core.build import NOW, awaiting, live_run, new_run, plan, say, step

ONE = plan(step("a"))
WAIT = GateWait(gate="gate-live", name="live", position=1)


@pytest.fixture
def run() -> Run:
    return live_run(ONE)


def granted(receipt: str = "r", entry: str = "p") -> AcquireGranted:
    return AcquireGranted(receipt=receipt, tokens={"a": "t"}, permit_pass=entry)


def test_a_permit_is_kept_with_the_pass_of_its_latest_stay(run: Run) -> None:
    take_permit(run, granted())
    assert run.permit is not None
    assert (run.permit.digest, run.permit.receipt, run.permit.tokens, run.permit.entry) == (run.digest, "r", {"a": "t"}, "p")
    take_permit(run, AcquireGranted(receipt="r", permit_pass="p2"))
    assert (run.permit.tokens, run.permit.entry) == ({"a": "t"}, "p2"), "the tokens come with the first answer only"
    take_permit(run, AcquireQueued(receipt="r", waiting=WAIT))
    assert run.permit.entry == "p2"


def test_a_new_receipt_replaces_the_permit(run: Run) -> None:
    take_permit(run, granted())
    take_permit(run, AcquireQueued(receipt="other", tokens={"a": "u"}, waiting=WAIT))
    assert run.permit is not None
    assert (run.permit.receipt, run.permit.tokens, run.permit.entry) == ("other", {"a": "u"}, "")


def test_an_answer_without_a_receipt_brings_no_permit(run: Run) -> None:
    take_permit(run, granted(receipt=""))
    assert run.permit is None


def test_calls_that_are_turned_away_again_and_again_wait_for_a_person(run: Run) -> None:
    take_permit(run, granted())
    for number in range(1, MAX_RENEWALS + 1):
        take_turned_away(run, "its pass has expired", NOW)
        assert (run.state, run.renewals, run.permit) == (State.LIVE, number, None)
    take_turned_away(run, "its pass has expired", NOW)
    assert (run.state, run.renewals) == (State.LOCKED, 0)
    assert "5 times again: its pass has expired" in run.why


@pytest.mark.parametrize(
    ("kind", "state"),
    [("stale", State.DRY_RUN), ("unapproved", State.MOCK), ("never", State.MOCK), ("again", State.LIVE)],
)
def test_a_refusal_sends_the_run_to_where_it_can_be_repaired(run: Run, kind: str, state: State) -> None:
    take_refusal(run, EntryRefused(kind=kind, why="today's policy: no", policy="abc"), NOW)
    assert (run.state, run.entry_refusals, run.permit) == (state, 1, None)
    assert run.audit[-1].reason or run.why
    assert any(entry.what == "entry to LIVE" and entry.reason == "today's policy: no" for entry in run.audit)


def test_the_third_refusal_in_a_row_locks_with_both_policies(run: Run) -> None:
    for _ in range(MAX_REFUSALS):
        assert run.state is State.LIVE
        take_refusal(run, EntryRefused(kind="again", why="no proof", policy=""), NOW)
    assert run.state is State.LOCKED
    assert f"policy of the plan {run.contracts().policy_hash[:12]}, policy that refused unknown" in run.why


def test_a_reset_replaces_the_seal_that_waits_for_approval() -> None:
    run = awaiting(ONE)
    begin_life(run, "first")
    before = run.digest
    begin_life(run, "second")
    assert run.sealed is not None
    assert (run.sealed.life, run.sealed.replaces, run.digest) == ("second", before, seal(run.sealed))
    assert before != run.digest
    assert run.replaced[-1].why == "the run was reset"
    assert "replaced: the run was reset" in say(run, "approve", by="ann", digest=str(before)).reason
    assert say(run, "approve", by="ann").accepted


def test_a_reset_elsewhere_only_names_the_next_life(run: Run) -> None:
    digest = run.digest
    begin_life(run, "second")
    assert (run.life, run.digest) == ("second", digest)
    fresh = new_run(ONE)
    begin_life(fresh, "first")
    assert (fresh.life, fresh.digest) == ("first", None)
