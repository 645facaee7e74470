"""Lines of `authorized_keys`: one is read, every other form is refused with a reason."""

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from airlock.base.keys import SignatureError, read_key


def ssh(key: Ed25519PrivateKey) -> str:
    return key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


def test_a_line_gives_its_key_and_the_approver_of_its_comment():
    key = Ed25519PrivateKey.generate()
    approver, found = read_key(f"{ssh(key)}  olga of operations ")
    assert approver == "olga of operations"
    assert found.public_bytes_raw() == key.public_key().public_bytes_raw()


def test_a_key_of_another_kind_is_refused():
    other = generate_private_key(SECP256R1()).public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    with pytest.raises(SignatureError, match="not an Ed25519 key"):
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
