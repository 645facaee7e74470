"""A program that speaks to the console as a browser would, or as no browser would."""

import re
from typing import Any

import httpx

from tests.console.desk import Desk


class Web:
    """One client with its cookies. Every post carries what a browser sends, unless a test says otherwise."""

    def __init__(self, desk: Desk) -> None:
        self.url = desk.url
        self.client = httpx.AsyncClient(base_url=desk.url, follow_redirects=True, trust_env=False, timeout=60)
        self.csrf = ""

    async def get(self, path: str, **more: Any) -> httpx.Response:
        return await self.client.get(path, **more)

    async def signs_in(self) -> httpx.Response:
        """Sign in at the identity provider, and take the token of forms from the inbox."""
        answer = await self.get("/login/oidc")
        page = await self.get("/")
        found = re.search(r'name="csrf" value="([^"]+)"', page.text)
        self.csrf = found[1] if found else ""
        return answer

    async def post(
        self, path: str, *, headers: dict[str, str] | None = None, csrf: str | None = None, **fields: Any
    ) -> httpx.Response:
        given = {"csrf": self.csrf if csrf is None else csrf, **fields}
        return await self.client.post(path, data=given, headers={"origin": self.url, **(headers or {})})
