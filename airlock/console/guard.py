"""The guard before the application: which requests come in at all, and what every answer says to the browser."""

import logging
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from airlock.admission.configuration.console_config import ConsoleConfig
from airlock.console.limits import RateLimit

MAX_BODY = 2_000_000
"""Bytes of a form. An approval that names each step of the largest plan has less."""
MAX_BEFORE = 64_000
"""Bytes of a form before a session, which every stranger can send."""
_BEFORE = ("/login", "/register")
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
"""The content security policy: nothing that stands in a page itself runs or styles it."""
HEADERS = (
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    # not `no-referrer`, under which browsers send `Origin: null` with forms
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
)
_STATIC = "/static/"
_log = logging.getLogger(__name__)


class Guard:
    """A check of each request, and the headers of each answer.

    Args:
        app: The application.
        config: The section `[console]`.
    """

    def __init__(self, app: ASGIApp, config: ConsoleConfig) -> None:
        self._app = app
        self._netloc = config.netloc
        parts = urlsplit(config.url)
        self._origin = f"{parts.scheme}://{parts.netloc}"
        self._secure = config.secure
        self._limit = RateLimit(burst=400, every=0.02)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        secured = self._with_headers(scope, send)
        refusal = self._refusal(scope)
        if refusal is not None:
            # no path, no header: what an attacker writes does not belong into a log
            _log.warning("a request was refused: %s", refusal[1])
            await _refuse(secured, *refusal)
            return
        answer = _Answer(secured)
        try:
            await self._app(scope, _Bounded(receive, _most(scope)), answer)
        except Exception as error:  # noqa: BLE001  a server would write the text of it into its log, and a text may quote a plan
            _log.error("a request failed: %s", type(error).__name__)
            if not answer.begun:
                await _refuse(secured, 500, "something is wrong in the console itself")

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        headers = _headers(scope)
        if headers.get(b"host", []) != [self._netloc.encode()]:
            return 421, f"this console answers at {self._origin} alone"
        if not self._limit.allows(_sender(scope)):
            return 429, "too many requests; wait a little"
        if scope["method"] in ("GET", "HEAD"):
            return None
        if scope["method"] != "POST":
            return 405, "only GET and POST"
        if headers.get(b"origin", []) != [self._origin.encode()]:
            return 403, "a form of another page"
        if headers.get(b"sec-fetch-site", [b"same-origin"]) != [b"same-origin"]:
            return 403, "a form of another page"
        length = headers.get(b"content-length", [b"0"])[0]
        most = _most(scope)
        if not length.isdigit() or len(length) > 10 or int(length) > most:
            return 413, f"a form has at most {most:,} bytes"
        return None

    def _with_headers(self, scope: Scope, send: Send) -> Send:
        cached = scope["path"].startswith(_STATIC)

        async def secured(message: Message) -> None:
            if message["type"] == "http.response.start":
                added = [*HEADERS, (b"cache-control", b"no-cache" if cached else b"no-store")]
                if self._secure:
                    added.append((b"strict-transport-security", b"max-age=31536000"))
                names = {name for name, _ in added}
                kept = [(name, value) for name, value in message.get("headers", []) if name.lower() not in names]
                message = {**message, "headers": [*kept, *added]}
            await send(message)

        return secured


class _Answer:
    """The answer to a request, which tells whether it has begun."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.begun = False

    async def __call__(self, message: Message) -> None:
        self.begun = True
        await self._send(message)


class _Bounded:
    """The body of a request, which ends where it gets too long."""

    def __init__(self, receive: Receive, most: int) -> None:
        self._receive = receive
        self._left = most

    async def __call__(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request":
            self._left -= len(message.get("body", b""))
            if self._left < 0:
                return {"type": "http.disconnect"}
        return message


def _most(scope: Scope) -> int:
    """Return the bytes that the body of a request may have."""
    return MAX_BEFORE if scope["path"].startswith(_BEFORE) else MAX_BODY


def _headers(scope: Scope) -> dict[bytes, list[bytes]]:
    found: dict[bytes, list[bytes]] = {}
    for name, value in scope["headers"]:
        found.setdefault(name.lower(), []).append(value)
    return found


def _sender(scope: Scope) -> str:
    client = scope.get("client")
    return str(client[0]) if client else ""


async def _refuse(send: Send, status: int, why: str) -> None:
    body = f"{why}\n".encode()
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"%d" % len(body))]
    if status == 429:
        headers.append((b"retry-after", b"5"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
