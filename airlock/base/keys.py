"""Keys of people: public ones in the format of `authorized_keys`, private ones as `ssh-keygen` makes them."""

import base64
import binascii
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_ssh_private_key, load_ssh_public_key

from airlock.base.errors import AirlockError

KINDS: Final = (
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
)
"""The kinds of keys that count. Those whose name begins with `sk-` are on hardware."""

PrivateKey = Ed25519PrivateKey | EllipticCurvePrivateKey


class SignatureError(AirlockError):
    """A key that cannot be used."""


class PassphraseNeeded(SignatureError):
    """A key file that opens with a passphrase alone."""


class KeyOnHardware(SignatureError):
    """A key file that stands for a key on hardware: only OpenSSH signs with it."""


@dataclass(frozen=True)
class SshKey:
    """The public key of a person."""

    person: str
    kind: str
    blob: bytes
    """The key as a signature names it."""
    public: Ed25519PublicKey | EllipticCurvePublicKey


def read_key(line: str) -> SshKey:
    """Return the key of one `authorized_keys` line: `<kind> <key> <person>`.

    Raises:
        SignatureError: If the line has another form, or the key is of a kind that does not count.
    """
    parts = line.split(maxsplit=2)
    if len(parts) != 3:
        raise SignatureError(f"{line[:40]!r}: write 'ssh-ed25519 <key> <approver>'; the comment names the approver")
    if parts[0] not in KINDS:
        raise SignatureError(f"{line[:40]!r}: not an Ed25519 or ECDSA key; make one with: ssh-keygen -t ed25519")
    try:
        public = load_ssh_public_key(" ".join(parts[:2]).encode())
        blob = base64.b64decode(parts[1], validate=True)
    except (ValueError, UnsupportedAlgorithm, binascii.Error) as error:
        raise SignatureError(f"{line[:40]!r}: {error}") from error
    if not isinstance(public, Ed25519PublicKey | EllipticCurvePublicKey):
        raise SignatureError(f"{line[:40]!r}: not an Ed25519 or ECDSA key")
    return SshKey(person=parts[2].strip(), kind=parts[0], blob=blob, public=public)


def read_private_key(content: bytes, passphrase: bytes | None = None) -> PrivateKey:
    """Return the private key of a file.

    Args:
        content: The content of the file.
        passphrase: The passphrase of the file, if it has one.

    Raises:
        PassphraseNeeded: If the file has a passphrase, and none is given.
        KeyOnHardware: If the key itself is not in the file.
        SignatureError: If it cannot be read, or is of a kind that does not count.
    """
    try:
        key = load_ssh_private_key(content, passphrase)
    except UnsupportedAlgorithm as error:
        raise KeyOnHardware(f"the key file cannot be read: {error}") from error
    except (ValueError, TypeError) as error:
        kind = PassphraseNeeded if passphrase is None and "password" in str(error).lower() else SignatureError
        raise kind(f"the key file cannot be read: {error}") from error
    if not isinstance(key, Ed25519PrivateKey | EllipticCurvePrivateKey):
        raise SignatureError("the key is no Ed25519 or ECDSA key; make one with: ssh-keygen -t ed25519")
    return key
