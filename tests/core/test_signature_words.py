"""The words of an audit about signatures: which key signed, whether it fits, and what was not signed."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from airlock.base.keys import read_private_key
from airlock.run.audit import AuditEntry, AuditKind
from airlock.run.decisions.signature import sign
from airlock.run.messages import Approve
from airlock.run.state import Run
from airlock.signing import passkey
from airlock.signing.passkey import MissingExtra
from airlock.signing.signature_words import fingerprint
from tests.cli.conftest import new_key
from tests.core.build import NOW, awaiting, policy
from tests.core.test_signed_decisions import ALICE, BOB, PAULA, PLAN, demanding, ready, send, signed
from tests.signers import RP, Signer


def of(run: Run, what: str) -> AuditEntry:
    return next(entry for entry in run.audit if entry.what == what and entry.kind is AuditKind.DECISION)


@pytest.mark.parametrize("decision", ["approve", "deny", "lock", "rollback", "abort", "resolve"])
@pytest.mark.parametrize("by", [ALICE, PAULA], ids=["ssh", "passkey"])
def test_each_decision_says_which_key_signed_it(decision: str, by: Signer) -> None:
    run = ready(decision)
    assert send(run, decision, *signed(run, decision, by)).accepted
    said = of(run, decision).signature
    if by is ALICE:
        assert said == f"signed with the SSH key {fingerprint(ALICE.line)} of 'alice'"
    else:
        assert re.fullmatch(rf"signed with the passkey \S+ of 'paula' for {re.escape(RP)}", said), said
    assert AuditEntry.model_validate_json(of(run, decision).model_dump_json()).signature == said


def test_a_fingerprint_is_that_of_openssh(tmp_path: Path) -> None:
    file = tmp_path / "key.pub"
    file.write_text(f"{ALICE.line}\n", encoding="utf-8")
    try:
        shown = subprocess.run(["ssh-keygen", "-l", "-f", str(file)], capture_output=True, text=True, check=True).stdout
    except FileNotFoundError:
        pytest.skip("OpenSSH is not installed")
    assert shown.split()[1] == fingerprint(ALICE.line)


def test_what_was_not_signed_says_so_and_what_no_person_did_says_nothing() -> None:
    run = awaiting(PLAN, policy())
    assert send(run, "approve", {"by": "alice", "digest": run.digest}, None).accepted
    assert of(run, "approve").signature == "not signed"
    assert {entry.signature for entry in run.audit if entry.kind is not AuditKind.DECISION} == {""}


def test_an_approval_in_the_older_form_is_not_called_unsigned() -> None:
    private, public = new_key()
    run = awaiting(PLAN, policy(authorized_keys=[f"{public} alice"], signature_required="always"))
    assert run.digest is not None
    message = Approve(by="alice", digest=run.digest)
    given = {
        "by": "alice",
        "digest": run.digest,
        "signature": sign(read_private_key(private), run.name, message, run.digest),
    }
    assert send(run, "approve", given, None).accepted
    assert of(run, "approve").signature.startswith("signed in the older form")


def altered(entry: AuditEntry, **changed: Any) -> AuditEntry:
    return entry.model_copy(update=changed)


def test_a_record_that_was_changed_is_not_called_signed() -> None:
    run = ready("deny")
    send(run, "deny", *signed(run, "deny"))
    entry = of(run, "deny")
    assert entry.signed is not None
    forged = entry.signed.statement.model_copy(update={"reason": "another one"})
    said = altered(entry, signed=entry.signed.model_copy(update={"statement": forged})).signature
    assert said.startswith("THE SIGNATURE DOES NOT FIT: "), said
    assert altered(entry, signed=entry.signed.model_copy(update={"key": BOB.line})).signature.startswith("THE SIGNATURE")
    assert "cannot be read" in altered(entry, signed=entry.signed.model_copy(update={"key": "x"})).signature.lower()
    for changed in ({"what": "abort"}, {"by": "bob"}):
        assert altered(entry, **changed).signature == "THE SIGNED STATEMENT IS NOT THIS DECISION"


def test_a_passkey_that_cannot_be_checked_here_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    run = ready("deny")
    send(run, "deny", *signed(run, "deny", PAULA))

    def missing() -> None:
        raise MissingExtra("not installed")

    monkeypatch.setattr(passkey, "ready", missing)
    assert of(run, "deny").signature.endswith("not checked here: not installed")


def test_several_people_are_each_named_with_their_key() -> None:
    run = ready("lock", demanding(people=2))
    for by in (ALICE, BOB):
        assert send(run, "lock", *signed(run, "lock", by)).accepted
    said = [entry.signature for entry in run.audit if entry.what == "lock" and entry.kind is AuditKind.DECISION]
    assert [fingerprint(one.line) in said[place] for place, one in enumerate((ALICE, BOB))] == [True, True]


def test_a_gate_that_told_of_an_unsigned_decision_is_not_a_proof() -> None:
    told = AuditEntry(number=1, at=NOW, kind=AuditKind.DECISION, what="lock", by="olga", gate=True)
    assert told.signature == "told by the gate; no signature proves it"
