"""Assertions of passkeys (WebAuthn): verified with the extra `passkeys`, from what the policy registers."""

import json
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import import_module
from typing import Any, Final, Protocol

from cryptography.exceptions import InvalidSignature
from pydantic import Field, field_validator

from airlock.base.errors import AirlockError
from airlock.base.model import FileModel
from airlock.base.text import shorten
from airlock.base.visible import visible
from airlock.signing.evidence import PasskeyEvidence, exactly

INSTALL: Final = "pip install 'airlock-temporal[passkeys]'"


LONGEST_LABEL: Final = 60


class MissingExtra(AirlockError):
    """Passkeys cannot be verified here, because a package is not installed."""


class Passkey(FileModel):
    """A passkey of a person, as the operator registers it."""

    person: str = Field(min_length=1, max_length=200)
    credential: str
    """The id of the credential, in base64url without padding."""
    public_key: str
    """The COSE public key that its registration returned, in base64url without padding."""
    rp_id: str = Field(min_length=1)
    """The domain that it was made for: the relying party."""
    origins: tuple[str, ...] = Field(min_length=1)
    """The origins of the pages that may ask it, such as `https://console.example.org`."""
    label: str = Field(default="", exclude=True)
    """The name by which people tell it from their others, such as `work laptop`; at most 60 characters.

    It is no part of the key: it is in no seal, no signature, no message and no record.
    """

    def __eq__(self, other: object) -> bool:
        """Return True for the same key of the same person, whatever it is called."""
        return isinstance(other, Passkey) and self.model_dump() == other.model_dump()

    def __hash__(self) -> int:
        """Return the hash of what makes two passkeys equal."""
        return hash((self.person, self.credential, self.public_key))

    @field_validator("credential", "public_key")
    @classmethod
    def _base64url(cls, value: str) -> str:
        if not value or exactly(value, url=True) is None:
            raise ValueError("is no base64url without padding")
        return value

    @field_validator("label")
    @classmethod
    def _fit(cls, value: str) -> str:
        if why := label_problem(value):
            raise ValueError(why)
        return value


def label_problem(label: str) -> str:
    """Return the reason why a name for a passkey is not taken; empty for a fit one, and for none."""
    if len(label) > LONGEST_LABEL:
        return f"is too long: write {LONGEST_LABEL} characters at most"
    if visible(label) != label or label != label.strip():
        return "holds what cannot be seen, or mixes alphabets in a word: write a plain name, such as work laptop"
    return ""


class _Verify(Protocol):
    def __call__(
        self,
        *,
        credential: Mapping[str, Any],
        expected_challenge: bytes,
        expected_rp_id: str,
        expected_origin: Sequence[str],
        credential_public_key: bytes,
        credential_current_sign_count: int,
        require_user_verification: bool,
    ) -> object: ...


@cache
def ready() -> _Verify:
    """Return the function that verifies an assertion. A worker calls this first: a workflow must not import.

    Raises:
        MissingExtra: If the extra is not installed.
    """
    try:
        verify: _Verify = import_module("webauthn").verify_authentication_response
    except ImportError as error:
        raise MissingExtra(f"passkeys are registered, but cannot be verified here: {INSTALL}") from error
    return verify


def key_problem(passkey: Passkey) -> str:
    """Return the reason why the public key of a passkey cannot verify anything; empty if it can.

    The model does not ask for it: histories hold policies that were read before this check existed.

    Raises:
        MissingExtra: If the extra is not installed.
    """
    ready()
    helpers = import_module("webauthn.helpers")
    try:
        key = helpers.decode_credential_public_key(exactly(passkey.public_key, url=True) or b"")
        public = helpers.decoded_public_key_to_cryptography(key)
        helpers.verify_signature(public_key=public, signature_alg=key.alg, signature=b"none", data=b"")
    except InvalidSignature:  # the key can be asked, and has refused what is no signature
        return ""
    except ValueError as error:
        return f"{type(error).__name__}: {shorten(str(error), 120)}"
    except Exception as error:  # noqa: BLE001  # bytes may stand for anything, which the library takes for a map
        return f"its bytes are no key ({type(error).__name__})"
    return "it verifies anything"


def problem(evidence: PasskeyEvidence, passkey: Passkey, challenge: bytes) -> str | None:
    """Return the reason why an assertion of a passkey does not count; None if it counts.

    The counter of the passkey is not looked at: the nonce of the challenge is good once.

    Args:
        evidence: The assertion.
        passkey: The passkey of that credential.
        challenge: What it must have signed.

    Raises:
        MissingExtra: If the extra is not installed.
    """
    verify = ready()
    texts = (evidence.credential, evidence.authenticator_data, evidence.client_data, evidence.signature)
    if any(exactly(text, url=True) is None for text in texts):
        return "it is no base64url without padding"
    response = {
        "authenticatorData": evidence.authenticator_data,
        "clientDataJSON": evidence.client_data,
        "signature": evidence.signature,
    }
    credential = {
        "id": evidence.credential,
        "rawId": evidence.credential,
        "type": "public-key",
        "clientExtensionResults": {},
        "response": response,
    }
    try:
        verify(
            credential=credential,
            expected_challenge=challenge,
            expected_rp_id=passkey.rp_id,
            expected_origin=list(passkey.origins),
            credential_public_key=exactly(passkey.public_key, url=True) or b"",
            credential_current_sign_count=0,
            require_user_verification=True,
        )
    except Exception as error:  # noqa: BLE001  # whatever the library says of bytes that any client may have sent
        return f"it does not fit what is decided here ({type(error).__name__}: {str(error)[:120]})"
    if is_embedded(exactly(evidence.client_data, url=True) or b""):
        return "it was asked for in a page within a page of another origin, which shows what it likes around it"
    return None


def is_embedded(client_data: bytes) -> bool:
    """Return True if a verified `clientDataJSON` says that its page stood within a page of another origin."""
    return json.loads(client_data).get("crossOrigin") is True
