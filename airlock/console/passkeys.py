"""Passkeys at the console: a person makes one and hands its public half to the operator, and signs in with it later."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from webauthn import (
    generate_authentication_options,
    generate_registration_options,
    options_to_json,
    verify_authentication_response,
    verify_registration_response,
)
from webauthn.helpers import base64url_to_bytes, bytes_to_base64url
from webauthn.helpers.structs import (
    AuthenticatorSelectionCriteria,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from airlock.admission.configuration.console_config import ConsoleConfig
from airlock.base.errors import AirlockError
from airlock.signing.passkey import Passkey, is_embedded

NAME = "Airlock"
_TIMEOUT = 120_000
"""Milliseconds for the person in front of the browser."""


class PasskeyRefused(AirlockError):
    """An answer of a browser that does not prove that its person holds a registered passkey."""


def login_options(config: ConsoleConfig, challenge: bytes) -> str:
    """Return the options of `navigator.credentials.get` for a sign-in, as JSON."""
    return _asked(config, challenge, ())


def signing_options(config: ConsoleConfig, challenge: bytes, known: Iterable[Passkey]) -> str:
    """Return the options for the signature of a decision, by one of the passkeys of its person."""
    return _asked(
        config, challenge, tuple(PublicKeyCredentialDescriptor(id=base64url_to_bytes(each.credential)) for each in known)
    )


def _asked(config: ConsoleConfig, challenge: bytes, allowed: tuple[PublicKeyCredentialDescriptor, ...]) -> str:
    return options_to_json(
        generate_authentication_options(
            rp_id=config.host,
            challenge=challenge,
            timeout=_TIMEOUT,
            allow_credentials=list(allowed),
            user_verification=UserVerificationRequirement.REQUIRED,
        )
    )


def signed_in(config: ConsoleConfig, assertion: Mapping[str, Any], challenge: bytes, passkey: Passkey | None) -> Passkey:
    """Return the passkey of a person who has proved to hold it.

    Args:
        config: The section `[console]`.
        assertion: What the browser made of `navigator.credentials.get`.
        challenge: The challenge of this sign-in.
        passkey: The registered passkey of that credential; None if there is none.

    Raises:
        PasskeyRefused: If it is no such proof.
    """
    if passkey is None:
        raise PasskeyRefused("this passkey is not registered")
    try:
        verify_authentication_response(
            credential=dict(assertion),
            expected_challenge=challenge,
            expected_rp_id=config.host,
            expected_origin=config.url,
            credential_public_key=base64url_to_bytes(passkey.public_key),
            credential_current_sign_count=0,  # the challenge is good once, so a copied answer is none
            require_user_verification=True,
        )
    except Exception as error:
        raise PasskeyRefused(f"the passkey did not sign this ({type(error).__name__})") from error
    if is_embedded(base64url_to_bytes(str(assertion["response"]["clientDataJSON"]))):
        raise PasskeyRefused("this page stands within a page of another origin: open it by itself")
    return passkey


def registration_options(config: ConsoleConfig, person: str, challenge: bytes, label: str = "") -> str:
    """Return the options of `navigator.credentials.create` for a person, as JSON.

    Browsers list passkeys by the name that stands here, so a label is part of it: `olga (work laptop)`.
    """
    return options_to_json(
        generate_registration_options(
            rp_id=config.host,
            rp_name=NAME,
            user_name=f"{person} ({label})" if label else person,
            challenge=challenge,
            timeout=_TIMEOUT,
            authenticator_selection=AuthenticatorSelectionCriteria(
                resident_key=ResidentKeyRequirement.REQUIRED, user_verification=UserVerificationRequirement.REQUIRED
            ),
        )
    )


def registered(
    config: ConsoleConfig, person: str, credential: Mapping[str, Any], challenge: bytes, label: str = ""
) -> Passkey:
    """Return a new passkey. It counts only once the operator has put it into the policy.

    Raises:
        PasskeyRefused: If the browser's answer does not fit.
    """
    try:
        made = verify_registration_response(
            credential=dict(credential),
            expected_challenge=challenge,
            expected_rp_id=config.host,
            expected_origin=config.url,
            require_user_verification=True,
        )
    except Exception as error:
        raise PasskeyRefused(f"the browser's answer does not fit ({type(error).__name__})") from error
    return Passkey(
        person=person,
        credential=bytes_to_base64url(made.credential_id),
        public_key=bytes_to_base64url(made.credential_public_key),
        rp_id=config.host,
        origins=(config.url,),
        label=label,
    )


def toml_of(passkey: Passkey) -> str:
    """Return the lines of the operator's file that register a passkey."""
    fields = passkey.model_dump(mode="json") | ({"label": passkey.label} if passkey.label else {})
    return "\n".join(("[[policy.passkeys]]", *(f"{name} = {_toml(value)}" for name, value in fields.items())))


def _toml(value: object) -> str:
    # basic strings of TOML are those of JSON, without DEL and with \U for what JSON writes as a pair of surrogates
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
