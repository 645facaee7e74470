"""Public keys in the format of `authorized_keys`."""

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_ssh_public_key

from airlock.base.errors import AirlockError


class SignatureError(AirlockError):
    """A key that cannot be used."""


def read_key(line: str) -> tuple[str, Ed25519PublicKey]:
    """Return the approver and the key of one `authorized_keys` line: `ssh-ed25519 <key> <approver>`.

    Raises:
        SignatureError: If the line has another form.
    """
    parts = line.split(maxsplit=2)
    if len(parts) != 3:
        raise SignatureError(f"{line[:40]!r}: write 'ssh-ed25519 <key> <approver>'; the comment names the approver")
    try:
        key = load_ssh_public_key(" ".join(parts[:2]).encode())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise SignatureError(f"{line[:40]!r}: {error}") from error
    if not isinstance(key, Ed25519PublicKey):
        raise SignatureError(f"{line[:40]!r}: not an Ed25519 key")
    return parts[2].strip(), key
