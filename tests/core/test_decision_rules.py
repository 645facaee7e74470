"""The rules of a policy about decisions: what cannot be fulfilled is an error, and the stricter of two policies counts."""

from typing import Any

import pytest

from airlock.admission.configuration.config import parse_config
from airlock.admission.configuration.contradictions import contradictions
from airlock.admission.decision_rules import Demand, people_needed
from airlock.admission.stricter import stricter
from airlock.base.errors import ConfigError
from airlock.plans.contract import Risk
from tests.core.build import OPEN_POLICY, policy
from tests.signers import PasskeyPerson, SshPerson

ALICE, PAULA = SshPerson("alice"), PasskeyPerson("paula")


@pytest.mark.parametrize(
    ("rules", "where", "words"),
    [
        ({"decisions": {"unlock": {"roles": ["ops"]}}}, "decisions.unlock.roles", "there is no such role"),
        ({"roles": {"ops": ["a"]}, "decisions": {"unlock": {"roles": ["ops"], "people": 2}}}, "unlock.roles", "1 of the 2"),
        ({"decisions": {"lock": {"people": 2}}}, "decisions.lock.people", "one person is enough"),
        ({"decisions": {"deny": {"people": 2}}}, "decisions.deny.people", "one person is enough"),
        ({"decisions": {"abort": {"evidence": "ssh"}}}, "decisions.abort.evidence", "0 of those who may decide"),
        (
            {"authorized_keys": [ALICE.line], "decisions": {"approve": {"by_risk": {"HIGH": {"evidence": "passkey"}}}}},
            "decisions.approve.by_risk.HIGH.evidence", "0 of those who may decide",
        ),
        (
            {"roles": {"ops": ["bob"]}, "authorized_keys": [ALICE.line],
             "decisions": {"abort": {"roles": ["ops"], "evidence": "ssh"}}},
            "decisions.abort.evidence", "0 of those who may decide",
        ),
    ],
)  # fmt: skip
def test_a_rule_that_nothing_can_fulfil_is_named(rules: dict[str, Any], where: str, words: str) -> None:
    problems = [problem for problem in contradictions(policy(**rules)) if where in problem.where]
    assert [words in problem.message for problem in problems] == [True]
    assert problems[0].fix


def test_a_policy_that_can_be_fulfilled_has_no_problems() -> None:
    fit = policy(
        authorized_keys=[ALICE.line], passkeys=[PAULA.registered], roles={"ops": ["Alice", "paula"]},
        decisions={"unlock": {"roles": ["ops"], "evidence": "signed", "people": 2}, "lock": {}},
    )  # fmt: skip
    assert contradictions(fit) == ()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[policy.decisions.open]\n", "policy.decisions.open"),
        ('[policy.decisions.lock]\nevidence = "stamp"\n', "policy.decisions.lock.evidence"),
        ("[policy.decisions.lock]\nrole = []\n", "policy.decisions.lock.role"),
        ('[[policy.passkeys]]\nperson = "a"\ncredential = "="\npublic_key = "AA"\nrp_id = "x"\norigins = ["https://x"]\n',
         "credential"),
    ],
)  # fmt: skip
def test_what_is_written_wrong_is_named_with_its_place(text: str, words: str) -> None:
    with pytest.raises(ConfigError) as wrong:
        parse_config(text)
    assert any(words in problem.where for problem in wrong.value.problems), wrong.value.problems
    assert all(problem.fix for problem in wrong.value.problems)


@pytest.mark.parametrize(
    ("plan", "today", "both"),
    [
        ("none", "none", Demand.NONE), ("none", "ssh", Demand.SSH), ("signed", "none", Demand.SIGNED),
        ("signed", "passkey", Demand.PASSKEY), ("ssh", "signed", Demand.SSH), ("ssh", "passkey", Demand.PASSKEY),
        ("passkey", "ssh", Demand.SSH),
    ],
)  # fmt: skip
def test_the_stricter_evidence_counts_and_where_they_differ_that_of_today(plan: str, today: str, both: Demand) -> None:
    one, other = (policy(decisions={"abort": {"evidence": kind}}) for kind in (plan, today))
    assert stricter(one, other).policy.decisions["abort"].evidence is both  # type: ignore[index]


def test_people_and_separations_of_both_count() -> None:
    one = policy(decisions={"approve": {"people": 2, "not_after": ["unlock"]}})
    other = policy(decisions={"approve": {"not_after": ["lock"], "by_risk": {"HIGH": {"people": 3}}}})
    rules = stricter(one, other).policy.decisions
    assert people_needed(rules, "approve", (Risk.LOW,)) == 2
    assert people_needed(rules, "approve", (Risk.HIGH,)) == 3
    assert set(rules["approve"].not_after) == {"unlock", "lock"}  # type: ignore[index]
    assert stricter(OPEN_POLICY, OPEN_POLICY).policy.decisions == {}


def test_policies_without_rules_keep_their_digest() -> None:
    assert "decisions" not in OPEN_POLICY.model_dump(mode="json")
    assert "passkeys" not in OPEN_POLICY.model_dump(mode="json")
