"""Sign-in by an identity provider: OpenID Connect, authorization code with PKCE; the ID token names the person."""

import asyncio
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx
from authlib.integrations.httpx_client import AsyncOAuth2Client
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import InvalidKeyIdError, JoseError
from joserfc.jwk import KeySet

from airlock.admission.configuration.console_config import OidcConfig
from airlock.base.errors import AirlockError
from airlock.tools.secret_source import secret_of

ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
"""Signatures of ID tokens that count: public keys only, never `none` and never the client's password."""
_KNOWN_FOR = 3_600.0
"""Seconds for which the provider's description and keys are remembered."""
_KNOWN_AGAIN = 10.0
"""The same, when a token names a key that is not among them."""
_TIMEOUT = 10.0
_LEEWAY = 60
"""Seconds by which the clocks may differ."""


class OidcRefused(AirlockError):
    """The provider did not say who this is, or cannot be asked."""


@dataclass(frozen=True)
class Attempt:
    """One sign-in that has begun. It is good for one answer of the provider."""

    state: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    nonce: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    verifier: str = field(default_factory=lambda: secrets.token_urlsafe(48))


class Oidc:
    """The identity provider.

    Args:
        config: The table `[console.oidc]`.
        redirect: The address to which it sends people back.
    """

    def __init__(self, config: OidcConfig, redirect: str) -> None:
        self._config = config
        self._redirect = redirect
        self._described: tuple[float, dict[str, Any], KeySet] | None = None
        self._turn = asyncio.Lock()

    async def begin(self, attempt: Attempt) -> str:
        """Return the address at the provider at which a person signs in.

        Raises:
            OidcRefused: If the provider cannot be asked.
        """
        described, _ = await self._provider()
        async with self._client() as client:
            url, _ = client.create_authorization_url(
                described["authorization_endpoint"], state=attempt.state, nonce=attempt.nonce, code_verifier=attempt.verifier
            )
        return str(url)

    async def finish(self, attempt: Attempt, answer: Mapping[str, str]) -> tuple[str, str]:
        """Return the name and the subject of the person that the provider has sent back.

        Args:
            attempt: The attempt that this browser began.
            answer: The query of the address to which the provider sent it.

        Raises:
            OidcRefused: If the answer is not one to this attempt, or does not name a person.
        """
        if "error" in answer:
            raise OidcRefused("the provider refused the sign-in")
        if not secrets.compare_digest(answer.get("state", "").encode(), attempt.state.encode()) or not answer.get("code"):
            raise OidcRefused("the answer of the provider does not belong to a sign-in that this browser began")
        described, _ = await self._provider()
        if answer.get("iss", described["issuer"]) != described["issuer"]:
            raise OidcRefused("the answer is one of another provider")
        try:
            async with self._client() as client:
                token = await client.fetch_token(
                    described["token_endpoint"], code=answer["code"], code_verifier=attempt.verifier,
                    grant_type="authorization_code",
                )  # fmt: skip
        except Exception as error:
            raise OidcRefused(f"the provider gave no token ({type(error).__name__})") from error
        return self._person(await self._proved(token, attempt))

    async def _proved(self, token: Mapping[str, Any], attempt: Attempt) -> dict[str, Any]:
        for fresh in (False, True):
            described, keys = await self._provider(fresh=fresh)
            try:
                return self._claims(token, attempt, described["issuer"], keys)
            except InvalidKeyIdError:  # the provider may sign with a new key
                continue
        raise OidcRefused("the ID token is signed by none of the provider's keys")

    def _claims(self, token: Mapping[str, Any], attempt: Attempt, issuer: str, keys: KeySet) -> dict[str, Any]:
        try:
            decoded = jwt.decode(str(token["id_token"]), keys, algorithms=ALGORITHMS)
            claims = CodeIDToken(
                decoded.claims,
                decoded.header,
                options={
                    # as the provider writes it, which may be with a slash at its end
                    "iss": {"essential": True, "value": issuer},
                    "aud": {"essential": True, "value": self._config.client_id},
                },
                params={
                    "nonce": attempt.nonce,
                    "client_id": self._config.client_id,
                    "access_token": token.get("access_token"),
                },
            )
            claims.validate(now=int(time.time()), leeway=_LEEWAY)
        except InvalidKeyIdError:
            raise
        except (JoseError, KeyError, ValueError, TypeError) as error:
            raise OidcRefused(f"the ID token does not count ({type(error).__name__})") from error
        return dict(claims)

    def _person(self, claims: Mapping[str, Any]) -> tuple[str, str]:
        name = claims.get(self._config.claim)
        if not isinstance(name, str) or not name.strip():
            raise OidcRefused(f"the ID token has no {self._config.claim}: ask for its scope, or name another claim")
        if self._config.claim == "email" and claims.get("email_verified") is not True:
            raise OidcRefused("the provider has not verified this e-mail address")
        return name.strip(), str(claims["sub"])

    def _client(self) -> AsyncOAuth2Client:
        secret = secret_of(self._config.secret) if self._config.secret is not None else None
        return AsyncOAuth2Client(
            client_id=self._config.client_id,
            client_secret=secret,
            token_endpoint_auth_method="none" if secret is None else "client_secret_basic",
            scope=" ".join(self._config.scopes),
            redirect_uri=self._redirect,
            code_challenge_method="S256",
            timeout=_TIMEOUT,
        )

    async def _provider(self, *, fresh: bool = False) -> tuple[dict[str, Any], KeySet]:
        async with self._turn:
            known_for = _KNOWN_AGAIN if fresh else _KNOWN_FOR
            if self._described is not None and time.monotonic() - self._described[0] < known_for:
                return self._described[1], self._described[2]
            try:
                async with httpx.AsyncClient(timeout=_TIMEOUT) as client:
                    found = await client.get(f"{self._config.issuer}/.well-known/openid-configuration")
                    described = dict(found.raise_for_status().json())
                    if described["issuer"].rstrip("/") != self._config.issuer:
                        raise OidcRefused("the provider calls itself by another name than `issuer`")
                    keys = await client.get(described["jwks_uri"])
                    known = KeySet.import_key_set(keys.raise_for_status().json())
            except (httpx.HTTPError, JoseError, KeyError, ValueError, TypeError) as error:
                raise OidcRefused(f"the identity provider cannot be asked ({type(error).__name__})") from error
            self._described = (time.monotonic(), described, known)
            return described, known
