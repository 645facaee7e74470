"""The signature of an approval: what it covers, wrong signatures, and key files."""

from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as generate_ec_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from airlock.admission.configuration.config import parse_config
from airlock.admission.policy import Policy
from airlock.base.errors import ConfigError
from airlock.base.keys import PassphraseNeeded, SignatureError, read_key, read_private_key
from airlock.plans.state import State
from airlock.run.decisions.signature import sign, signature_refusal, signed_text
from airlock.run.messages import Approve
from airlock.run.state import Run
from tests.core.approval_build import CHAIN, refused
from tests.core.build import awaiting, policy, say


class Signer:
    """An approver with a key file."""

    def __init__(self, password: bytes | None = None) -> None:
        self.key = Ed25519PrivateKey.generate()
        encryption = BestAvailableEncryption(password) if password else NoEncryption()
        self.file = self.key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, encryption)
        self.public = self.key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()

    def line(self, name: str) -> str:
        return f"{self.public} {name}"

    def sign(self, run: Run, *, by: str = "boss", **fields: Any) -> str:
        approval = Approve.model_validate({"by": by, "digest": run.digest, **fields})
        return sign(self.key, run.plan.plan_id, approval, str(run.digest))


@pytest.fixture(scope="module")
def boss() -> Signer:
    return Signer()


@pytest.fixture(scope="module")
def signed(boss: Signer) -> Callable[[], Run]:
    rules = policy(signature_required="always", authorized_keys=[boss.line("boss"), Signer().line("ann lee")])
    return lambda: awaiting(CHAIN, rules)


def test_a_signed_approval(signed: Callable[[], Run], boss: Signer) -> None:
    run = signed()
    assert say(run, "approve", signature=boss.sign(run)).accepted
    assert run.state is State.LIVE


def test_a_signature_covers_the_whole_digest_behind_a_prefix(signed: Callable[[], Run], boss: Signer) -> None:
    run = signed()
    assert say(run, "approve", digest=str(run.digest)[:12], signature=boss.sign(run)).accepted


def test_a_signature_for_some_steps_in_any_order(signed: Callable[[], Run], boss: Signer) -> None:
    run = signed()
    assert say(run, "approve", steps=["b", "a"], signature=boss.sign(run, steps=["a", "b"])).accepted


def test_unsigned(signed: Callable[[], Run]) -> None:
    run = signed()
    refused(run, say(run, "approve"), "requires a signature")


def wrong_signatures() -> dict[str, Callable[[Run, Signer], dict[str, Any]]]:
    return {
        "another key": lambda run, _: {"signature": Signer().sign(run)},
        "for other steps": lambda run, boss: {"signature": boss.sign(run, steps=["a"])},
        "for the whole, used for a part": lambda run, boss: {"signature": boss.sign(run), "steps": ["a"]},
        "by somebody else": lambda run, boss: {"signature": boss.sign(run, by="ann lee"), "by": "ann lee"},
        "for somebody else": lambda run, boss: {"signature": boss.sign(run, by="ann lee")},
        "over another digest": lambda run, boss: {
            "signature": sign(boss.key, "p-1", Approve(by="boss", digest="x"), "0" * 64)
        },
        "over another plan": lambda run, boss: {
            "signature": sign(boss.key, "p-2", Approve(by="boss", digest="x"), str(run.digest))
        },
        "cut": lambda run, boss: {"signature": boss.sign(run)[:40]},
        "empty": lambda run, boss: {"signature": ""},
    }


@pytest.mark.parametrize("kind", wrong_signatures())
def test_a_wrong_signature(kind: str, signed: Callable[[], Run], boss: Signer) -> None:
    run = signed()
    refused(run, say(run, "approve", **wrong_signatures()[kind](run, boss)), "signature does not fit")


@pytest.mark.parametrize("junk", ["not base64!", "é", "====", "a"])
def test_a_signature_that_is_not_base64(junk: str, signed: Callable[[], Run]) -> None:
    run = signed()
    refused(run, say(run, "approve", signature=junk), "not base64")


def test_a_signature_by_nobody_known(signed: Callable[[], Run], boss: Signer) -> None:
    run = signed()
    refused(run, say(run, "approve", by="eve", signature=boss.sign(run, by="eve")), "no authorized key", "'eve'")


def test_a_signature_is_checked_even_where_none_is_needed() -> None:
    run = awaiting(CHAIN)
    refused(run, say(run, "approve", signature="AAAA"), "no authorized key")


def test_only_high_risk_needs_a_signature_where_the_policy_says_so(boss: Signer) -> None:
    rules = policy(signature_required="high", authorized_keys=[boss.line("boss")])
    run = awaiting(CHAIN, rules)
    refused(run, say(run, "approve"), "requires a signature")
    refused(run, say(run, "approve", steps=["a", "b", "c"]), "requires a signature")
    assert say(run, "approve", steps=["a", "b"]).accepted


def test_a_key_file_with_a_password() -> None:
    pytest.importorskip("bcrypt", reason="cryptography reads encrypted OpenSSH keys only with bcrypt")
    signer = Signer(password=b"correct horse")
    approval = Approve(by="boss", digest="d")
    signature = sign(read_private_key(signer.file, b"correct horse"), "p", approval, "d" * 64)
    signed_approval = approval.model_copy(update={"signature": signature})
    assert signature_refusal("p", signed_approval, "d" * 64, [signer.line("boss")]) is None
    with pytest.raises(PassphraseNeeded, match="cannot be read"):
        read_private_key(signer.file)
    with pytest.raises(SignatureError, match="cannot be read"):
        read_private_key(signer.file, b"wrong horse")


def test_key_files_that_cannot_be_used() -> None:
    approval = Approve(by="boss", digest="d")
    other = generate_ec_key(SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    with pytest.raises(SignatureError, match="not an Ed25519 key"):
        sign(read_private_key(other), "p", approval, "d")
    with pytest.raises(SignatureError, match="cannot be read"):
        read_private_key(b"nonsense")


def test_names_with_spaces_in_authorized_keys() -> None:
    assert read_key(Signer().line("Ann  Lee")).person == "Ann  Lee"


@pytest.mark.parametrize(
    "line",
    ["", "ssh-ed25519", "ssh-ed25519 AAAA boss", "ssh-rsa AAAA boss", Signer().public, "one two three four"],
    ids=["empty", "no key", "no Ed25519 key", "RSA", "no name", "words"],
)
def test_an_unreadable_authorized_key_is_an_error_at_start_and_a_refusal_later(line: str, boss: Signer) -> None:
    with pytest.raises(SignatureError):
        read_key(line)
    with pytest.raises(ConfigError, match=r"policy\.authorized_keys"):
        parse_config(f'[policy]\nauthorized_keys = ["{line}"]')
    rules = policy(signature_required="always").model_copy(update={"authorized_keys": (line, boss.line("boss"))})
    run = awaiting(CHAIN, Policy.model_construct(**{name: getattr(rules, name) for name in Policy.model_fields}))
    refused(run, say(run, "approve", signature=boss.sign(run)), "authorized_keys of the policy cannot be read")


def test_what_is_signed_never_depends_on_what_is_said_beside_it() -> None:
    plain = Approve(by="boss", digest="abc", steps=("b", "a"))
    chatty = Approve(by="boss", digest="ABC ", steps=("a", "b"), reason="nice", signature="x")
    assert signed_text("p", plain, "d") == signed_text("p", chatty, "d")
    assert (
        signed_text("p", plain, "d") == b'{"airlock":"approve/1","by":"boss","digest":"d","plan_id":"p","steps":["a","b"]}'
    )
