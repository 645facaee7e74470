"""Assertions of passkeys: what counts, and every one of another challenge, page, party, credential or person."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256

from airlock.signing.evidence import PasskeyEvidence
from airlock.signing.passkey import Passkey
from airlock.signing.proof import Registered, proof_of
from airlock.signing.statement import Statement, statement
from tests.signers import ORIGIN, RP, PasskeyPerson, url

PAULA, QUINN = PasskeyPerson("paula"), PasskeyPerson("quinn")
REGISTERED = Registered(passkeys=tuple(Passkey.model_validate(one.registered) for one in (PAULA, QUINN)))


def stated(**other: Any) -> Statement:
    where = {"namespace": "default", "subject": "plan-p", "life": "abc", "seal": "a" * 64, "nonce": "0" * 64}
    return statement(
        "approve",
        {"by": "paula", "digest": "a" * 64},
        **{**where, "expires": datetime.now(UTC) + timedelta(hours=1), **other},
    )


SAID = stated()


@dataclass(frozen=True)
class Made:
    """An assertion, each part of which a test can replace."""

    client: dict[str, Any] = field(default_factory=dict)
    """Fields of the client's data that are others than the right ones; None leaves one out."""
    raw: Callable[[bytes], bytes] = lambda text: text
    rp_id: str = RP
    flags: int = 0x05
    counter: int = 7
    more: bytes = b""
    key: EllipticCurvePrivateKey = PAULA.key
    credential: str = PAULA.credential
    challenge: bytes = SAID.challenge
    signature: Callable[[bytes], bytes] = lambda made: made

    @property
    def evidence(self) -> PasskeyEvidence:
        client: dict[str, Any] = {
            "type": "webauthn.get", "challenge": url(self.challenge), "origin": ORIGIN, "crossOrigin": False, **self.client,
        }  # fmt: skip
        text = self.raw(json.dumps({name: value for name, value in client.items() if value is not None}).encode())
        data = hashlib.sha256(self.rp_id.encode()).digest() + bytes([self.flags]) + self.counter.to_bytes(4) + self.more
        made = self.signature(self.key.sign(data + hashlib.sha256(text).digest(), ECDSA(SHA256())))
        return PasskeyEvidence(
            kind="passkey", nonce=SAID.nonce, expires=datetime.fromisoformat(SAID.expires), credential=self.credential,
            authenticator_data=url(data), client_data=url(text), signature=url(made),
        )  # fmt: skip


def why(made: Made, said: Statement = SAID) -> str | None:
    return proof_of(made.evidence, said, REGISTERED).problem


def test_what_a_browser_makes_counts_whatever_its_counter_says() -> None:
    assert why(Made()) is None
    assert why(Made(client={"crossOrigin": None})) is None
    # synchronized passkeys count nothing, and each statement has a nonce that counts once
    assert [why(Made(counter=counter)) for counter in (0, 1, 7, 3, 2**32 - 1)] == [None] * 5


@pytest.mark.parametrize(
    "changes",
    [
        {"challenge": SAID.sha256},
        {"challenge": bytes.fromhex(SAID.nonce)},
        {"challenge": SAID.challenge[:-1]},
        {"challenge": SAID.challenge + b"\x00"},
        {"challenge": b""},
        {"challenge": stated(seal="b" * 64).challenge},
        {"challenge": stated(nonce="1" * 64).challenge},
        {"client": {"origin": "https://console.test.evil.example"}},
        {"client": {"origin": "https://console.test:8443"}},
        {"client": {"origin": "http://console.test"}},
        {"client": {"origin": "https://CONSOLE.test"}},
        {"client": {"origin": "null"}},
        {"client": {"origin": None}},
        {"client": {"crossOrigin": True}},
        {"client": {"crossOrigin": True, "topOrigin": "https://evil.example"}},
        {"client": {"type": "webauthn.create"}},
        {"client": {"type": "payment.get"}},
        {"client": {"type": None}},
        {"raw": lambda text: text[:-1]},
        {"raw": lambda text: b"[" + text + b"]"},
        {"raw": lambda text: b"\xff" + text},
        {"raw": lambda text: b"null"},
        {"rp_id": "test"},
        {"rp_id": "evil.example"},
        {"rp_id": f"{RP}."},
        {"flags": 0x00},
        {"flags": 0x01},
        {"flags": 0x04},
        {"flags": 0x45},
        {"flags": 0x85},
        {"more": b"\x00"},
        {"key": QUINN.key},
        {"key": generate_private_key(SECP256R1())},
        {"credential": QUINN.credential},
        {"credential": QUINN.credential, "key": QUINN.key},
        {"credential": "AAAA"},
        {"signature": lambda made: made[:-1]},
        {"signature": lambda made: made + b"\x00"},
        {"signature": lambda made: bytes(len(made))},
        {"signature": lambda made: b"\x30\x06\x02\x01\x00\x02\x01\x00"},
    ],
    ids=range(40),
)
def test_an_assertion_of_anything_else_does_not_count(changes: dict[str, Any]) -> None:
    assert why(replace(Made(), **changes)) is not None


def test_a_passkey_that_is_registered_for_another_party_does_not_count() -> None:
    other = Passkey.model_validate({**PAULA.registered, "rp_id": "other.test"})
    assert proof_of(Made().evidence, SAID, Registered(passkeys=(other,))).problem is not None
    assert proof_of(Made().evidence, SAID, Registered()).problem == "no passkey is registered for 'paula'"
