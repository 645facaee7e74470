"""An identity provider on loopback: it signs in the person that a test names, and can lie in every way a token can."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlencode

from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from airlock.serving import serve

CLIENT = "airlock-console"


class Provider:
    """An OpenID provider with one client, which needs PKCE and no password."""

    def __init__(self) -> None:
        self.url = ""
        self.slash = ""
        """The text behind its address where it names itself."""
        self.key = RSAKey.generate_key(2048, {"kid": "one", "alg": "RS256", "use": "sig"})
        self.claims: dict[str, Any] = {"sub": "1", "email": "olga@acme.test", "email_verified": True}
        self.changes: dict[str, Any] = {}
        """Claims that the next tokens have instead of the right ones; None leaves one out."""
        self.header: dict[str, Any] = {}
        self.secret: OctKey | None = None
        self.asked: list[dict[str, str]] = []
        self._codes: dict[str, dict[str, str]] = {}

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/.well-known/openid-configuration", self._described),
                Route("/keys", self._keys),
                Route("/authorize", self._authorize),
                Route("/token", self._token, methods=["POST"]),
            ]
        )

    async def _described(self, request: Request) -> Response:
        return JSONResponse(
            {
                "issuer": f"{self.url}{self.slash}",
                "authorization_endpoint": f"{self.url}/authorize",
                "token_endpoint": f"{self.url}/token",
                "jwks_uri": f"{self.url}/keys",
            }
        )

    async def _keys(self, request: Request) -> Response:
        return JSONResponse({"keys": [self.key.as_dict(private=False)]})

    async def _authorize(self, request: Request) -> Response:
        asked = dict(request.query_params)
        self.asked.append(asked)
        code = f"code-{len(self._codes)}"
        self._codes[code] = asked
        answer = urlencode({"code": code, "state": asked["state"]})
        return RedirectResponse(f"{asked['redirect_uri']}?{answer}", 302)

    async def _token(self, request: Request) -> Response:
        form = await request.form()
        asked = self._codes.pop(str(form["code"]), None)
        if asked is None or not form.get("code_verifier"):
            return JSONResponse({"error": "invalid_grant"}, 400)
        now = int(time.time())
        claims = {
            **self.claims, "iss": f"{self.url}{self.slash}", "aud": CLIENT, "iat": now, "exp": now + 300,
            "nonce": asked["nonce"], **self.changes,
        }  # fmt: skip
        claims = {name: value for name, value in claims.items() if value is not None}
        header = {"alg": "RS256", "kid": "one", **self.header}
        token = jwt.encode(header, claims, self.secret or self.key, algorithms=["RS256", "HS256"])
        return JSONResponse({"access_token": "token", "token_type": "Bearer", "id_token": token})


@asynccontextmanager
async def provider() -> AsyncIterator[Provider]:
    made = Provider()
    ready: asyncio.Event = asyncio.Event()

    def listening(port: int) -> None:
        made.url = f"http://127.0.0.1:{port}"
        ready.set()

    server = asyncio.ensure_future(serve(made.app(), "127.0.0.1", 0, listening))
    try:
        await asyncio.wait_for(ready.wait(), 60)
        yield made
    finally:
        server.cancel()
        await asyncio.gather(server, return_exceptions=True)
