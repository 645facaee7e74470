"""Signatures in the format SSHSIG: what counts, and every form that is of another purpose, key, hash or text."""

import base64
import hashlib
import struct
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from airlock.base.keys import SignatureError, SshKey, read_key
from airlock.signing import sshsig
from airlock.signing.sshsig import problem, read_envelope

TEXT = b'{"decision":"approve"}'
KEY = Ed25519PrivateKey.generate()
PLAIN, HARDWARE, WEB = b"ssh-ed25519", b"sk-ssh-ed25519@openssh.com", b"webauthn-sk-ecdsa-sha2-nistp256@openssh.com"


def packed(*parts: bytes) -> bytes:
    return b"".join(struct.pack(">I", len(part)) + part for part in parts)


def blob_of(kind: bytes = PLAIN, application: bytes | None = None, key: Ed25519PrivateKey = KEY) -> bytes:
    parts = [kind, key.public_key().public_bytes_raw()]
    return packed(*parts) if application is None else packed(*parts, application)


def listed(kind: bytes = PLAIN, application: bytes | None = None) -> SshKey:
    return read_key(f"{kind.decode()} {base64.b64encode(blob_of(kind, application)).decode()} olga")


@dataclass(frozen=True)
class Made:
    """A signature, each part of which a test can replace."""

    magic: bytes = b"SSHSIG"
    version: int = 1
    blob: bytes = field(default_factory=blob_of)
    namespace: bytes = b"airlock"
    reserved: bytes = b""
    hash_name: bytes = b"sha512"
    kind: bytes = PLAIN
    rest: bytes = b""
    text: bytes = TEXT
    application: bytes = b"ssh:"
    signs: Callable[[bytes], bytes] = KEY.sign
    after: bytes = b""

    @property
    def bytes(self) -> bytes:
        hashed = hashlib.new(self.hash_name.decode(), self.text).digest()
        signed = self.magic + packed(self.namespace, self.reserved, self.hash_name, hashed)
        if self.rest:
            signed = hashlib.sha256(self.application).digest() + self.rest + hashlib.sha256(signed).digest()
        signature = packed(self.kind, self.signs(signed)) + self.rest
        head = self.magic + struct.pack(">I", self.version)
        return head + packed(self.blob, self.namespace, self.reserved, self.hash_name, signature) + self.after


def why(made: Made, key: SshKey | None = None) -> str | None:
    try:
        return problem(read_envelope(made.bytes), key or listed(), TEXT)
    except ValueError as error:
        return str(error)


def test_both_hashes_of_the_format_count() -> None:
    assert why(Made()) is None
    assert why(Made(hash_name=b"sha256")) is None
    assert problem(read_envelope(sshsig.sign(KEY, TEXT)), listed(), TEXT) is None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"namespace": b"file"}, "made for 'file'"),
        ({"namespace": b"git"}, "made for 'git'"),
        ({"namespace": b"airlock "}, "made for 'airlock '"),
        ({"namespace": b"Airlock"}, "made for 'Airlock'"),
        ({"namespace": b""}, "made for ''"),
        ({"namespace": b"airlock\x00"}, "made for"),
        ({"hash_name": b"sha1"}, "its hash is 'sha1'"),
        ({"hash_name": b"sha384"}, "its hash is 'sha384'"),
        ({"hash_name": b"md5"}, "its hash is 'md5'"),
        ({"hash_name": b"SHA512"}, "its hash is 'SHA512'"),
        ({"version": 0}, "version 1"),
        ({"version": 2}, "version 1"),
        ({"reserved": b"x"}, "version 1"),
        ({"after": b"\x00"}, "version 1"),
        ({"magic": b"SSHSIH"}, "ssh-keygen"),
        ({"kind": HARDWARE}, "another key made it"),
        ({"kind": b"ssh-rsa"}, "another key made it"),
        ({"text": TEXT + b" "}, "does not fit"),
        ({"rest": b"\x01\x00\x00\x00\x00"}, "another form"),
        ({"signs": lambda text: KEY.sign(text) + b"\x00"}, "does not fit"),
        ({"signs": lambda text: b""}, "does not fit"),
        ({"signs": Ed25519PrivateKey.generate().sign}, "does not fit"),
        ({"namespace": b"\xff\xfe"}, "no text"),
    ],
    ids=lambda value: value if isinstance(value, str) else "".join(value),
)
def test_a_signature_of_another_form_or_purpose_does_not_count(changes: dict[str, object], words: str) -> None:
    found = why(replace(Made(), **changes))  # type: ignore[arg-type]
    assert found is not None
    assert words in found


def test_every_signature_that_is_cut_is_refused() -> None:
    whole = Made().bytes
    for length in range(len(whole)):
        with pytest.raises(ValueError, match=r"."):
            read_envelope(whole[:length])


def test_a_length_beyond_the_end_is_refused() -> None:
    whole = bytearray(Made().bytes)
    whole[10:14] = b"\xff\xff\xff\xff"
    with pytest.raises(ValueError, match="too early"):
        read_envelope(bytes(whole))


def test_a_certificate_is_no_key_and_no_key_of_a_certificate_counts() -> None:
    kind = b"ssh-ed25519-cert-v01@openssh.com"
    certificate = packed(kind, b"nonce" * 6, KEY.public_key().public_bytes_raw()) + struct.pack(">Q", 1) + packed(b"")
    with pytest.raises(SignatureError):
        read_key(f"{kind.decode()} {base64.b64encode(certificate).decode()} olga")
    assert why(Made(blob=certificate, kind=kind)) == "another key made it"
    assert why(Made(blob=certificate)) == "another key made it"


def test_a_line_of_one_kind_with_a_key_of_another_is_refused() -> None:
    with pytest.raises(SignatureError):
        read_key(f"{PLAIN.decode()} {base64.b64encode(blob_of(HARDWARE, b'ssh:')).decode()} olga")
    with pytest.raises(SignatureError):
        read_key(f"{HARDWARE.decode()} {base64.b64encode(blob_of()).decode()} olga")


def hardware(flags: int = 0x01, **changes: object) -> Made:
    rest = bytes([flags]) + struct.pack(">I", 7)
    made = Made(blob=blob_of(HARDWARE, b"ssh:"), kind=HARDWARE, rest=rest)
    return replace(made, **changes)  # type: ignore[arg-type]


def test_a_hardware_key_counts_that_its_person_touched() -> None:
    key = listed(HARDWARE, b"ssh:")
    assert why(hardware(), key) is None
    assert why(hardware(0x05), key) is None


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (hardware(0x00), "nobody touched"),
        (hardware(0x04), "nobody touched"),
        (hardware(0xFE), "nobody touched"),
        (hardware(rest=b"\x01\x00\x00\x00"), "nobody touched"),
        (hardware(rest=b"\x01\x00\x00\x00\x00\x00"), "nobody touched"),
        (hardware(rest=b""), "nobody touched"),
        (hardware(application=b"ssh:other"), "does not fit"),
        (hardware(kind=PLAIN), "another key made it"),
        (hardware(kind=WEB), "another key made it"),
        (hardware(blob=blob_of()), "another key made it"),
        (hardware(blob=blob_of(HARDWARE, b"ssh:evil")), "another key made it"),
    ],
    ids=range(11),
)
def test_a_hardware_key_that_was_not_touched_or_is_another_does_not_count(made: Made, words: str) -> None:
    found = why(made, listed(HARDWARE, b"ssh:"))
    assert found is not None
    assert words in found


def test_flags_and_counter_are_signed() -> None:
    whole = hardware(0x00).bytes
    (at,) = [place for place in range(len(whole)) if whole[place:] == b"\x00\x00\x00\x00\x07"]
    touched = whole[:at] + b"\x01" + whole[at + 1 :]
    assert problem(read_envelope(touched), listed(HARDWARE, b"ssh:"), TEXT) == "it does not fit what is decided here"


@pytest.mark.parametrize("numbers", [(0, 0), (0, 1), (-1, -1), (1 << 300, 1), (1 << 16_000, 1 << 16_000)], ids=range(5))
def test_numbers_that_no_curve_makes_do_not_count(numbers: tuple[int, int]) -> None:
    curve = generate_private_key(SECP256R1())
    line = curve.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    key = read_key(f"{line} olga")

    def of(r: int, s: int) -> bytes:
        return packed(*(value.to_bytes(value.bit_length() // 8 + 1, signed=True) for value in (r, s)))

    made = Made(
        blob=key.blob,
        kind=key.kind.encode(),
        signs=lambda text: of(*decode_dss_signature(curve.sign(text, ECDSA(SHA256())))),
    )
    assert why(made, key) is None
    assert why(replace(made, signs=lambda _: of(*numbers)), key) == "it does not fit what is decided here"
