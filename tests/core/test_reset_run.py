"""A run after a reset: it relies on nothing that it held at the point it was reset to."""

import pytest

from airlock.gates.claim import claim_details
from airlock.gates.protocol import Claimed, ClaimOutcome, GateWait
from airlock.run.displacement import displace
from tests.core.build import awaiting, live_run, plan, step

CLAIMED = Claimed(plan_id="p", step="a", holder="plan-p", tool="crm.write")


def test_a_reset_before_anything_was_held_displaces_nothing():
    run = awaiting(plan(step("a")))
    moves = run.moves
    displace(run)
    assert (run.displaced, run.moves) == (False, moves)


@pytest.mark.parametrize("what", ["live", "wait"])
def test_a_reset_of_a_run_that_held_or_waited_for_something_asks_again(what: str):
    run = live_run(plan(step("a"))) if what == "live" else awaiting(plan(step("a")))
    if what == "wait":
        run.gate_wait = GateWait(gate="gate-live", name="live", position=1)
    moves = run.moves
    displace(run)
    assert (run.displaced, run.claims, run.moves) == (True, {}, moves + 1)


@pytest.mark.parametrize("refused", [0, 3])
@pytest.mark.parametrize("outcome", [None, ClaimOutcome.DONE])
def test_the_details_of_a_claim_tell_its_outcome_and_what_was_refused(outcome: ClaimOutcome | None, refused: int):
    claimed = CLAIMED.model_copy(update={"outcome": outcome, "refused": refused, "last_refusal": "not the holder"})
    text = claim_details(claimed, "claim-1")
    assert ("settled as `done`" in text) is (outcome is not None)
    assert ("temporal workflow signal -w claim-1 --name settle" in text) is (outcome is None)
    assert ("3 signals refused; the last: not the holder" in text) is (refused > 0)
