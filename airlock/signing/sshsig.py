"""The format SSHSIG, in which OpenSSH signs files (PROTOCOL.sshsig): `ssh-keygen -Y sign`, agents, hardware keys."""

import base64
import hashlib
import struct
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePrivateKey, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from airlock.base.keys import SshKey

NAMESPACE: Final = "airlock"
"""The namespace of OpenSSH in which decisions are signed: a signature for another purpose does not count here."""
_MAGIC: Final = b"SSHSIG"
_VERSION: Final = struct.pack(">I", 1)
_HASHES: Final = ("sha256", "sha512")
_ECDSA: Final[dict[int, type[SHA256 | SHA384 | SHA512]]] = {256: SHA256, 384: SHA384, 521: SHA512}
_PRESENT: Final = 0x01
"""The flag of a hardware key that a person touched it."""


@dataclass(frozen=True)
class Envelope:
    """A signature as OpenSSH writes it."""

    key: bytes
    """The public key that made it, as it says itself."""
    namespace: str
    hash_name: str
    kind: str
    """The kind of the signature, which is that of its key."""
    signature: bytes
    rest: bytes
    """What a hardware key adds: its flags and its counter."""


def read_envelope(blob: bytes) -> Envelope:
    """Return what a signature holds.

    Raises:
        ValueError: If it is no signature in this format.
    """
    if not blob.startswith(_MAGIC):
        raise ValueError("it is no signature of ssh-keygen -Y sign")
    version, blob = blob[6:10], blob[10:]
    key, blob = _string(blob)
    namespace, blob = _string(blob)
    reserved, blob = _string(blob)
    hash_name, blob = _string(blob)
    signature, blob = _string(blob)
    if version != _VERSION or blob or reserved:
        raise ValueError("it is no signature of version 1")
    kind, signature = _string(signature)
    value, rest = _string(signature)
    try:
        return Envelope(key, namespace.decode(), hash_name.decode(), kind.decode(), value, rest)
    except UnicodeDecodeError as error:
        raise ValueError("its names are no text") from error


def problem(envelope: Envelope, key: SshKey, text: bytes) -> str | None:
    """Return the reason why a signature of a text by a key does not count; None if it counts."""
    if envelope.namespace != NAMESPACE:
        return f"it was made for {envelope.namespace[:40]!r}, not for {NAMESPACE!r}: ssh-keygen -Y sign -n {NAMESPACE}"
    if envelope.hash_name not in _HASHES:
        return f"its hash is {envelope.hash_name[:20]!r}, not {' or '.join(_HASHES)}"
    if envelope.key != key.blob or envelope.kind != key.kind:
        return "another key made it"
    signed = _signed(envelope.namespace, envelope.hash_name, text)
    if key.kind.startswith("sk-"):
        if len(envelope.rest) != 5 or not envelope.rest[0] & _PRESENT:
            return "nobody touched the hardware key"
        signed = hashlib.sha256(_application(key.blob)).digest() + envelope.rest + hashlib.sha256(signed).digest()
    elif envelope.rest:
        return "it has another form than its key makes"
    return None if _fits(key.public, envelope.signature, signed) else "it does not fit what is decided here"


def sign(key: Ed25519PrivateKey | EllipticCurvePrivateKey, text: bytes) -> bytes:
    """Return the signature of a text by a private key, in this format."""
    signed = _signed(NAMESPACE, "sha512", text)
    if isinstance(key, Ed25519PrivateKey):
        made = key.sign(signed)
    else:
        r, s = decode_dss_signature(key.sign(signed, ECDSA(_ECDSA[key.curve.key_size]())))
        made = _packed(_number(r)) + _packed(_number(s))
    line = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).split()
    blob = base64.b64decode(line[1])
    signature = _packed(_packed(line[0]) + _packed(made))
    head = _MAGIC + _VERSION
    return head + _packed(blob) + _packed(NAMESPACE.encode()) + _packed(b"") + _packed(b"sha512") + signature


def _fits(public: Ed25519PublicKey | EllipticCurvePublicKey, signature: bytes, signed: bytes) -> bool:
    try:
        if isinstance(public, Ed25519PublicKey):
            public.verify(signature, signed)
        else:
            r, rest = _string(signature)
            s, rest = _string(rest)
            if rest:
                return False
            der = encode_dss_signature(int.from_bytes(r, signed=True), int.from_bytes(s, signed=True))
            public.verify(der, signed, ECDSA(_ECDSA[public.curve.key_size]()))
    except (InvalidSignature, ValueError):
        return False
    return True


def _signed(namespace: str, hash_name: str, text: bytes) -> bytes:
    hashed = hashlib.new(hash_name, text).digest()
    return _MAGIC + _packed(namespace.encode()) + _packed(b"") + _packed(hash_name.encode()) + _packed(hashed)


def _application(blob: bytes) -> bytes:
    """Return what a hardware key was made for, the last part of its public key."""
    found = b""
    while blob:
        found, blob = _string(blob)
    return found


def _string(blob: bytes) -> tuple[bytes, bytes]:
    """Return the first text of some bytes, and the bytes after it."""
    if len(blob) < 4:
        raise ValueError("it ends too early")
    (length,) = struct.unpack(">I", blob[:4])
    if len(blob) < 4 + length:
        raise ValueError("it ends too early")
    return blob[4 : 4 + length], blob[4 + length :]


def _packed(text: bytes) -> bytes:
    return struct.pack(">I", len(text)) + text


def _number(value: int) -> bytes:
    return value.to_bytes(value.bit_length() // 8 + 1, signed=True)
