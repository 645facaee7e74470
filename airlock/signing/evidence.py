"""The evidence that a person made a decision: a signature of an SSH key, or the assertion of a passkey."""

import base64
import binascii
import re
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, Field, StringConstraints, field_validator

from airlock.base.model import WireModel

_ARMOR = re.compile(r"\s*-----BEGIN SSH SIGNATURE-----(?P<body>[A-Za-z0-9+/=\s]*)-----END SSH SIGNATURE-----\s*")

Nonce = Annotated[str, StringConstraints(pattern="^[0-9a-f]{64}$")]
Base64Url = Annotated[str, StringConstraints(pattern="^[A-Za-z0-9_-]+$", max_length=4_000)]


class _Evidence(WireModel):
    nonce: Nonce
    """The nonce that was signed."""
    expires: AwareDatetime
    """The time that was signed."""

    @field_validator("expires", mode="after")
    @classmethod
    def _to_the_second(cls, value: datetime) -> datetime:
        return value.astimezone(UTC).replace(microsecond=0)


class SshEvidence(_Evidence):
    """A signature in the format SSHSIG: of a key file, of an ssh-agent, or of a hardware key."""

    kind: Literal["ssh"]
    signature: Annotated[str, StringConstraints(max_length=4_000)]
    """Base64 of the signature. What `ssh-keygen -Y sign` prints is taken too, with its first and last line."""

    @field_validator("signature", mode="before")
    @classmethod
    def _without_armor(cls, value: Any) -> Any:
        found = _ARMOR.fullmatch(value) if isinstance(value, str) and len(value) <= 8_000 else None
        return "".join(found["body"].split()) if found else value


class PasskeyEvidence(_Evidence):
    """The assertion of a passkey (WebAuthn), each field as the browser gives it, in base64url without padding."""

    kind: Literal["passkey"]
    credential: Base64Url
    """The id of the credential."""
    authenticator_data: Base64Url
    client_data: Base64Url
    """The `clientDataJSON`."""
    signature: Base64Url


DecisionEvidence = Annotated[SshEvidence | PasskeyEvidence, Field(discriminator="kind")]
"""Every form of evidence; `kind` tells which."""


def exactly(text: str, *, url: bool = False) -> bytes | None:
    """Return the bytes of a text in base64; None if it is no base64, or another text stands for the same bytes."""
    try:
        if url:
            found = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
            same = base64.urlsafe_b64encode(found).decode().rstrip("=") == text
        else:
            found = base64.b64decode(text, validate=True)
            same = base64.b64encode(found).decode() == text
    except (binascii.Error, ValueError):
        return None
    return found if same else None
