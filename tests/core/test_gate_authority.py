"""Decisions about a gate under a policy: who may lock and unlock it, by which evidence, and how many people together."""

from datetime import timedelta
from typing import Any

import pytest

from airlock.admission.policy import Policy
from airlock.base.incoming import Verdict
from airlock.gates.authority import judge
from airlock.gates.parsing import GateDecision, parse_gate_decision
from airlock.gates.semaphore import Gate
from airlock.signing.evidence import DecisionEvidence
from airlock.signing.load import AT_ONCE
from airlock.signing.statement import statement
from tests.core.build import NOW, later, policy
from tests.signers import PasskeyPerson, Signer, SshPerson

ALICE, BOB, EVE, PAULA = SshPerson("alice"), SshPerson("bob"), SshPerson("alice"), PasskeyPerson("paula")
KEYS: dict[str, Any] = {"authorized_keys": [ALICE.line, BOB.line], "passkeys": [PAULA.registered]}
SIGNED = policy(**KEYS, decisions={name: {"evidence": "signed"} for name in ("lock", "unlock")})
ID = "gate-live"


def gate() -> Gate:
    made = Gate()
    made.signing.begin("abc")
    return made


def decision(name: str, by: str, evidence: DecisionEvidence | None = None, **fields: Any) -> GateDecision:
    sent = {"decision": name, "by": by, "reason": "drill", **fields}
    if evidence is not None:
        sent["evidence"] = evidence.model_dump(mode="json")
    return parse_gate_decision((sent,))[1]


def signed(at: Gate, name: str, by: Signer, other: dict[str, Any] | None = None, **fields: Any) -> GateDecision:
    where = {
        "namespace": "default", "subject": ID, "life": at.signing.life, "seal": None,
        "nonce": at.signing.nonces.latest(ID, at.signing.life), "expires": NOW + timedelta(hours=1),
    } | (other or {})  # fmt: skip
    message = decision(name, by.name, **fields).model_dump(mode="json")
    return decision(name, by.name, by.evidence(statement(name, message, **where)), **fields)


def say(at: Gate, name: str, made: GateDecision, rules: Policy = SIGNED, hours: float = 0.0) -> Verdict | None:
    return judge(at, ID, "default", name, made, rules, later(hours)).refused


@pytest.mark.parametrize("name", ["lock", "unlock"])
@pytest.mark.parametrize("by", [ALICE, PAULA], ids=["ssh", "passkey"])
def test_a_signed_decision_counts_once_and_is_carried_on(name: str, by: Signer) -> None:
    at = gate()
    made = signed(at, name, by)
    assert say(at, name, made) is None
    again = Gate.model_validate_json(at.model_dump_json())
    for each in (at, again):
        refused = say(each, name, made)
        assert refused is not None
        assert "has been used" in refused.reason


FORGED: dict[str, dict[str, Any]] = {
    "another gate": {"subject": "gate-tool-put"},
    "a plan": {"subject": "plan-gate-live"},
    "another namespace": {"namespace": "elsewhere"},
    "another life": {"life": "def"},
    "another nonce": {"nonce": "0" * 64},
    "the past": {"expires": NOW},
}


@pytest.mark.parametrize("name", ["lock", "unlock"])
@pytest.mark.parametrize("what", FORGED)
def test_evidence_for_something_else_does_not_count(name: str, what: str) -> None:
    at = gate()
    assert say(at, name, signed(at, name, ALICE, FORGED[what])) is not None
    assert say(at, name, signed(at, name, ALICE)) is None


@pytest.mark.parametrize("name", ["lock", "unlock"])
def test_what_is_unsigned_or_by_a_stranger_or_about_another_scope_does_not_count(name: str) -> None:
    at = gate()
    other = signed(at, "unlock" if name == "lock" else "lock", ALICE)
    narrow = signed(at, name, ALICE, scope="agent:a").model_copy(update={"scope": None})
    for made in (decision(name, "alice"), signed(at, name, EVE), other, narrow):
        assert say(at, name, made) is not None
    assert at.signing.nonces.number == 0


def test_a_flood_of_forged_evidence_costs_a_bounded_number_of_proofs() -> None:
    at = gate()
    forged, good = signed(at, "lock", EVE), signed(at, "lock", ALICE)
    said = [say(at, "lock", forged) for _ in range(AT_ONCE + 1)]
    assert [verdict is not None and "too many" in verdict.reason for verdict in said[-2:]] == [False, True]
    assert say(at, "lock", good) is not None
    assert say(at, "lock", good, hours=0.1) is None


def test_a_reset_ends_what_was_signed() -> None:
    at = gate()
    made = signed(at, "unlock", ALICE)
    at.signing.begin("def")
    refused = say(at, "unlock", made)
    assert refused is not None
    assert "is not one of this run" in refused.reason


def test_without_rules_everyone_may_and_a_bad_signature_keeps_no_lock_out() -> None:
    at, open_to_all = gate(), policy(**KEYS)
    assert say(at, "lock", decision("lock", "anyone"), open_to_all) is None
    assert say(at, "unlock", decision("unlock", "anyone"), open_to_all) is None
    assert say(at, "lock", signed(at, "lock", EVE), open_to_all) is None
    assert say(at, "unlock", signed(at, "unlock", EVE), open_to_all) is not None


def test_two_people_must_unlock_the_same_scope_and_both_must_still_be_allowed() -> None:
    rules = policy(**KEYS, decisions={"unlock": {"evidence": "signed", "people": 2}})
    at = gate()
    first = say(at, "unlock", signed(at, "unlock", ALICE), rules)
    assert first is not None
    assert first.accepted
    assert "1 of 2 people" in first.reason
    narrow = say(at, "unlock", signed(at, "unlock", BOB, scope="agent:a"), rules)
    assert narrow is not None, "another scope is another decision"
    twice = say(at, "unlock", signed(at, "unlock", ALICE), rules)
    assert twice is not None
    assert not twice.accepted
    withdrawn = rules.model_copy(update={"authorized_keys": (BOB.line,)})
    alone = say(at, "unlock", signed(at, "unlock", BOB), withdrawn)
    assert alone is not None, "alice's key counts no more"
    assert say(at, "unlock", signed(at, "unlock", PAULA), rules) is None
    assert [voice.scope for voice in at.signing.voices] == ["agent:a"]


def test_a_voice_gets_too_old_and_who_locked_may_not_unlock_where_that_is_apart() -> None:
    rules = policy(decisions={"unlock": {"people": 2}}, approval_valid_for="1h")
    at = gate()
    assert say(at, "unlock", decision("unlock", "alice"), rules) is not None
    late = say(at, "unlock", decision("unlock", "bob"), rules, hours=2)
    assert late is not None
    assert "1 of 2" in late.reason
    apart = policy(decisions={"unlock": {"not_after": ["lock"]}})
    at.lock(None, "olga", "drill", NOW)
    refused = say(at, "unlock", decision("unlock", "Olga"), apart)
    assert refused is not None
    assert "has locked it" in refused.reason
    assert say(at, "unlock", decision("unlock", "bob"), apart) is None


def test_a_role_is_needed_where_the_policy_names_one() -> None:
    rules = policy(roles={"operator": ["olga"]}, decisions={"lock": {"roles": ["operator"]}})
    assert say(gate(), "lock", decision("lock", "olga"), rules) is None
    refused = say(gate(), "lock", decision("lock", "bob"), rules)
    assert refused is not None
    assert "has not the role operator" in refused.reason
