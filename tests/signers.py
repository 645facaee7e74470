"""People with keys: an SSH key in memory, and a passkey whose authenticator is a few lines of Python."""

import base64
import hashlib
import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import cbor2
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from airlock.signing import sshsig
from airlock.signing.evidence import PasskeyEvidence, SshEvidence
from airlock.signing.statement import Statement

RP, ORIGIN = "console.test", "https://console.test"


def url(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).decode().rstrip("=")


def expiry(stated: Statement) -> datetime:
    return datetime.fromisoformat(stated.expires)


@dataclass
class SshPerson:
    """A person with an SSH key."""

    name: str
    key: Ed25519PrivateKey | EllipticCurvePrivateKey = field(default_factory=Ed25519PrivateKey.generate)

    @property
    def line(self) -> str:
        return f"{self.key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()} {self.name}"

    @property
    def file(self) -> bytes:
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())

    def evidence(self, stated: Statement) -> SshEvidence:
        signature = base64.b64encode(sshsig.sign(self.key, stated.text.encode())).decode()
        return SshEvidence(kind="ssh", nonce=stated.nonce, expires=expiry(stated), signature=signature)


@dataclass
class PasskeyPerson:
    """A person with a passkey: ES256, as most authenticators make it."""

    name: str
    key: EllipticCurvePrivateKey = field(default_factory=lambda: generate_private_key(SECP256R1()))
    flags: int = 0x05
    """User present (1) and user verified (4)."""
    origin: str = ORIGIN
    rp_id: str = RP

    @property
    def credential(self) -> str:
        return url(hashlib.sha256(self.name.encode()).digest()[:16])

    @property
    def registered(self) -> dict[str, Any]:
        numbers = self.key.public_key().public_numbers()
        cose = {1: 2, 3: -7, -1: 1, -2: numbers.x.to_bytes(32), -3: numbers.y.to_bytes(32)}
        key = url(cbor2.dumps(cose))
        return {"person": self.name, "credential": self.credential, "public_key": key, "rp_id": RP, "origins": [ORIGIN]}

    def assertion(self, challenge: bytes) -> dict[str, Any]:
        """The JSON that `PublicKeyCredential.toJSON` of a browser gives."""
        client = {"type": "webauthn.get", "challenge": url(challenge), "origin": self.origin, "crossOrigin": False}
        client_data = json.dumps(client).encode()
        data = hashlib.sha256(self.rp_id.encode()).digest() + bytes([self.flags]) + (7).to_bytes(4)
        signature = self.key.sign(data + hashlib.sha256(client_data).digest(), ECDSA(SHA256()))
        response = {"authenticatorData": url(data), "clientDataJSON": url(client_data), "signature": url(signature)}
        return {"id": self.credential, "rawId": self.credential, "type": "public-key", "response": response}

    def evidence(self, stated: Statement) -> PasskeyEvidence:
        made = self.assertion(stated.challenge)["response"]
        return PasskeyEvidence(
            kind="passkey", nonce=stated.nonce, expires=expiry(stated), credential=self.credential,
            authenticator_data=made["authenticatorData"], client_data=made["clientDataJSON"], signature=made["signature"],
        )  # fmt: skip


Signer = SshPerson | PasskeyPerson
