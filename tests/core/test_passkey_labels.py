"""Labels of passkeys: people tell their keys apart by them, and nothing that is sealed, signed or recorded holds one."""

import tomllib
from typing import Any

import pytest

from airlock.admission.configuration.config import parse_config
from airlock.admission.configuration.suspicions import suspicions
from airlock.admission.policy import Policy
from airlock.admission.stricter import stricter
from airlock.base.errors import ConfigError
from airlock.console.passkeys import toml_of
from airlock.run.audit import AuditEntry, AuditKind
from airlock.run.state import Run
from airlock.signing.passkey import LONGEST_LABEL, Passkey
from airlock.signing.signed_decision import SignedDecision
from tests.core.signed_build import PAULA, ready, send, signed
from tests.signers import PasskeyPerson

LABEL = "paula's work laptop"


def passkey(label: str = LABEL, person: PasskeyPerson = PAULA) -> Passkey:
    return Passkey.model_validate({**person.registered, "label": label})


def recorded() -> AuditEntry:
    run: Run = ready("lock")
    assert send(run, "lock", *signed(run, "lock", PAULA)).accepted
    return next(entry for entry in run.audit if entry.kind is AuditKind.DECISION and entry.what == "lock")


def test_a_policy_with_labels_is_the_policy_without_them() -> None:
    plain, labelled = Policy(passkeys=(passkey(""),)), Policy(passkeys=(passkey(),))
    assert labelled.passkeys[0].label == LABEL
    assert labelled.digest() == plain.digest()
    assert labelled == plain
    assert labelled.model_dump_json() == plain.model_dump_json()
    assert hash(labelled.passkeys[0]) == hash(plain.passkeys[0])
    assert stricter(plain, labelled).whose("passkeys") == "the plan's policy"
    assert passkey() != passkey(person=PasskeyPerson("paula"))


def test_an_audit_names_the_key_by_the_label_of_the_operators_file_alone() -> None:
    entry = recorded()
    assert entry.signed is not None
    assert LABEL not in entry.model_dump_json()
    assert LABEL not in entry.signature
    known = (passkey("other", PasskeyPerson("eve")), passkey())
    assert f'"{LABEL}" ({PAULA.credential[:10]}' in entry.signature_among(known)
    assert entry.signature_among((passkey(""),)) == entry.signature


def test_a_record_that_brings_a_label_of_its_own_shows_none() -> None:
    entry = recorded()
    told = entry.model_dump(mode="json")
    told["signed"]["passkey"]["label"] = "the key of the chief"
    forged = AuditEntry.model_validate(told)
    assert forged.signed is not None
    assert forged.signed.passkey is not None
    assert "chief" not in forged.signature
    assert "chief" not in forged.signature_among((passkey(""),))
    assert SignedDecision.model_validate_json(forged.signed.model_dump_json()).passkey == passkey()


def test_another_key_under_the_same_credential_gets_no_label() -> None:
    assert LABEL not in recorded().signature_among((passkey(person=PasskeyPerson("paula")),))


@pytest.mark.parametrize(
    ("label", "words"),
    [
        ("x" * (LONGEST_LABEL + 1), "too long"),
        ("work\u200blaptop", "cannot be seen"),
        ("two\nlines", "cannot be seen"),
        ("l\u0430ptop", "mixes alphabets"),
        (" laptop", "cannot be seen"),
        (5, "text"),
    ],
)
def test_a_label_that_could_mislead_is_refused_by_its_place(label: Any, words: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse_config(file_of(label))
    (problem,) = error.value.problems
    assert problem.where == "policy.passkeys.0.label"
    assert words in f"{problem.message} {problem.fix}"


@pytest.mark.parametrize("label", ["laptop", "iPhone 15", "Telefon \u00fc", "\u043d\u043e\u0443\u0442", ""])
def test_ordinary_labels_are_taken_and_printed(label: str) -> None:
    printed = toml_of(passkey(label))
    assert tomllib.loads(printed)["policy"]["passkeys"][0].get("label", "") == label
    assert parse_config(printed).policy.passkeys[0].label == label


def test_two_keys_of_a_person_with_one_label_are_suspicious() -> None:
    first, second = passkey(), passkey(LABEL.upper(), PasskeyPerson("paula"))
    other = second.model_copy(update={"credential": "AAAA"})
    config = parse_config(f"{toml_of(first)}\n{toml_of(other)}")
    assert [each.where for each in suspicions(config) if "label" in each.where] == ["policy.passkeys.1.label"]
    third = other.model_copy(update={"label": "phone"})
    config = parse_config(f"{toml_of(first)}\n{toml_of(third)}")
    assert not [each for each in suspicions(config) if "label" in each.where]


def file_of(label: Any) -> str:
    return toml_of(passkey("")) + "\nlabel = " + (str(label) if isinstance(label, int) else toml_text(label))


def toml_text(text: str) -> str:
    return '"' + "".join(each if each.isprintable() and each.isascii() else f"\\u{ord(each):04x}" for each in text) + '"'
