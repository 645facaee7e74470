"""Lines of `authorized_keys`: one is read, every other form is refused with a reason."""

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    SECP384R1,
    SECP521R1,
    EllipticCurve,
    generate_private_key,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from airlock.base.keys import SignatureError, read_key


def ssh(key: Ed25519PrivateKey) -> str:
    return key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


def test_a_line_gives_its_key_and_the_approver_of_its_comment():
    key = Ed25519PrivateKey.generate()
    found = read_key(f"{ssh(key)}  olga of operations ")
    assert (found.person, found.kind) == ("olga of operations", "ssh-ed25519")
    assert isinstance(found.public, Ed25519PublicKey)
    assert found.public.public_bytes_raw() == key.public_key().public_bytes_raw()


@pytest.mark.parametrize("curve", [SECP256R1(), SECP384R1(), SECP521R1()], ids=lambda curve: curve.name)
def test_an_ecdsa_key_is_read(curve: EllipticCurve):
    line = generate_private_key(curve).public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    assert read_key(f"{line} olga").kind == line.split()[0]


def test_a_key_of_another_kind_is_refused():
    other = rsa.generate_private_key(65537, 2048).public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    with pytest.raises(SignatureError, match="not an Ed25519 or ECDSA key"):
        read_key(f"{other} olga")


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("", "the comment names the approver"),
        ("ssh-ed25519 AAAA", "the comment names the approver"),
        ("ssh-ed25519 AAAA olga", "AAAA"),
    ],
)
def test_a_line_of_another_form_is_refused(line: str, why: str):
    with pytest.raises(SignatureError, match=why):
        read_key(line)
