"""The HTTP status by which a request was answered, in the errors of the SDK, which leaves it out."""

import json
import secrets
from http import HTTPStatus
from typing import Any, Final

import httpx2
from mcp import MCPError
from mcp.types import INTERNAL_ERROR
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from airlock.tools.web import retry_after

MARK: Final = f"airlock/http/{secrets.token_hex(16)}"
"""The key of the status in the data of an error. No server knows it: one that did could make a call count as not made."""
_NOT_FOUND = 404
"""The SDK tells this one itself: within a session the server does not know the session, else not the method."""


class HttpRefusal(BaseModel):
    """An answer by an HTTP error alone."""

    model_config = ConfigDict(frozen=True)

    status: int = Field(ge=400)
    after: float | None = None
    """Seconds that the server asks to wait, if it does."""


class StatusTransport(httpx2.AsyncBaseTransport):
    """A transport that answers an HTTP error without a JSON-RPC error by one that names the status.

    The SDK would say "Server returned an error response" of each, so that a call that was certainly turned away, such as
    by a 401 or a 429, could not be told from one that failed at an unknown point.

    Args:
        inner: Sends the requests.
    """

    def __init__(self, inner: httpx2.AsyncBaseTransport) -> None:
        self._inner = inner

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request."""
        response = await self._inner.handle_async_request(request)
        if request.method != "POST" or response.status_code < 400 or response.status_code == _NOT_FOUND:
            return response
        try:
            body = await response.aread() if _is_json(response) else b""  # the SDK reads it then, and leaves any other alone
        finally:
            await response.aclose()
        if not _is_error(body):
            refusal = HttpRefusal(status=response.status_code, after=retry_after(response.headers))
            body = json.dumps(_error(refusal)).encode()
        return httpx2.Response(response.status_code, headers=_JSON, content=body)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._inner.aclose()


_JSON = {"content-type": "application/json"}


def refusal_of(error: BaseException | None) -> HttpRefusal | None:
    """Return the HTTP error that an error of the SDK stands for; None if it is another one, such as one of the server."""
    data = error.data if isinstance(error, MCPError) else None
    if not isinstance(data, dict) or MARK not in data:
        return None
    try:
        return HttpRefusal.model_validate(data[MARK])
    except ValidationError:
        return None


def _is_json(response: httpx2.Response) -> bool:
    return bool(response.headers.get("content-type", "").lower().startswith("application/json"))


def _is_error(body: bytes) -> bool:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return False
    return isinstance(found, dict) and found.get("jsonrpc") == "2.0" and isinstance(found.get("error"), dict)


def _error(refusal: HttpRefusal) -> dict[str, Any]:
    try:
        phrase = HTTPStatus(refusal.status).phrase
    except ValueError:
        phrase = "an error"
    error = {
        "code": INTERNAL_ERROR,  # the SDK's own, by which it looks for older servers
        "message": f"the server answered {refusal.status} {phrase}",
        "data": {MARK: refusal.model_dump()},
    }
    return {"jsonrpc": "2.0", "id": None, "error": error}
