"""The time for which a signed decision counts, at most."""

from datetime import timedelta

import pytest

from airlock.admission.admitted import BOUNDED_EPOCH
from airlock.base.errors import AirlockError
from airlock.client.signing import to_sign
from airlock.gates.protocol import EntryRefused
from airlock.gates.semaphore import Gate
from airlock.run.decisions.evidence import evidence_of
from airlock.run.messages import parse_message
from airlock.signing.statement import MAX_VALID_FOR
from tests.core.build import NOW, policy
from tests.core.signed_build import ALICE, EVERY, KEYS, demanding, examined, ready, sealed_run, send, signed, vote_of
from tests.core.test_gate_authority import gate, say
from tests.core.test_gate_authority import signed as signed_for_gate

LONG = NOW + MAX_VALID_FOR + timedelta(hours=1)


@pytest.mark.parametrize("decision", EVERY)
def test_a_signature_that_counts_for_more_than_a_week_is_refused(decision: str) -> None:
    run = ready(decision)
    verdict = send(run, decision, *signed(run, decision, expires=LONG))
    assert not verdict.accepted
    assert "7 days is the most: sign it again" in verdict.reason
    assert send(run, decision, *signed(run, decision, expires=NOW + MAX_VALID_FOR)).accepted


@pytest.mark.parametrize("decision", EVERY)
def test_a_signature_about_a_run_of_earlier_rules_counts_as_it_did(decision: str) -> None:
    run = ready(decision)
    assert run.admitted is not None
    run.admitted = run.admitted.model_copy(update={"epoch": BOUNDED_EPOCH - 1})
    assert send(run, decision, *signed(run, decision, expires=LONG)).accepted


def test_the_live_role_counts_no_such_signature() -> None:
    run = sealed_run(demanding("signed", "approve"))
    run.votes, run.approved = (vote_of(run, ALICE, NOW, expires=LONG),), ("a", "b")
    given = evidence_of(run)
    assert given is not None
    answer = examined(given, demanding("signed", "approve"))
    assert isinstance(answer, EntryRefused)
    assert "7 days is the most" in answer.why


@pytest.mark.parametrize("name", ["lock", "unlock"])
def test_so_is_one_about_a_gate(name: str) -> None:
    at: Gate = gate()
    refused = say(
        at,
        name,
        signed_for_gate(at, name, ALICE, {"expires": LONG}),
        policy(**KEYS, decisions={name: {"evidence": "signed"}}),
    )
    assert refused is not None
    assert "7 days is the most" in refused.reason


@pytest.mark.parametrize("valid_for", [timedelta(days=8), timedelta(), timedelta(hours=-1)])
def test_the_client_makes_no_statement_that_would_be_refused(valid_for: timedelta) -> None:
    message = parse_message("lock", ({"by": "ann", "reason": "now"},))
    with pytest.raises(AirlockError, match="counts for 7 days at most"):
        to_sign(
            "lock", message, namespace="default", subject="plan-p", life="a", nonce="0" * 64, seal=None, valid_for=valid_for
        )
