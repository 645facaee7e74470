"""One HTTP exchange with three outcomes, none of them guessed: success, no effect, in doubt.

The functions import httpx when they are called: a program that only reads contracts, such as the command line, has no use
for it. Every worker has it already.
"""

import json
import logging
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from pydantic import JsonValue

from airlock.base.canonical import bounded_json
from airlock.base.errors import InDoubt, ToolFailed
from airlock.base.text import shorten
from airlock.tools.body import ENCODINGS, decoded
from airlock.tools.common import Settings, Texts, hidden
from airlock.tools.outcomes import LOST, NOT_SENT, Asked, Effect, http_meaning, meaning

if TYPE_CHECKING:
    import httpx

MAX_BODY_BYTES = 65_536
READ_METHODS = ("GET", "HEAD", "OPTIONS")
KEPT_HEADERS = ("content-type", "etag", "last-modified", "location", "retry-after", "x-request-id")

_MAX_HEADER = 4_000
"""Characters of a header that an output keeps; a longer one is left out."""
_LONGEST_WAIT = 366 * 86_400.0
"""Any finite limit: what waits so long is not called again."""
_SECONDS = re.compile(r"[0-9]+(\.[0-9]*)?")
_CHARSET = re.compile(r"""charset\s*=\s*["']?([\w.:-]{1,40})""", re.IGNORECASE | re.ASCII)
_CHARSETS = ("iso-8859", "latin", "windows-", "cp", "us-ascii", "utf-16", "shift_jis", "euc-", "gb", "big5", "koi8")
"""The beginnings of the names of charsets that are looked up. Python knows others that are no charsets of the web."""


class HttpSettings(Settings):
    """The section `[settings.http]`."""

    section: ClassVar[str] = "http"
    allow_hosts: Texts = ()
    """The hosts that calls may reach: `api.example.com` for the usual port of its scheme, `127.0.0.1:8080` for another."""
    timeout: float = 10.0
    """Seconds for connecting, and for each wait for data."""
    trust_environment: bool = False
    """True to use proxy and certificate variables such as `HTTPS_PROXY`."""


@dataclass(frozen=True)
class Reply:
    """An answer with a status 2xx."""

    status: int
    headers: "httpx.Headers"
    content: bytes | None
    """The body; None if it was larger than `MAX_BODY_BYTES`, or could not be decoded."""
    undecoded: bool = False
    """True if the body has another encoding than its headers say."""

    def body(self) -> JsonValue:
        """Return the body: decoded if it is JSON that an output can hold, else as text; None if it is empty."""
        if not self.content:
            return None
        text = _text(self.content, self.headers)
        if "json" not in self.headers.get("content-type", "").lower():
            return text
        try:
            found: JsonValue = json.loads(text)
            bounded_json({"body": found})  # Python reads NaN, 1e999, half surrogates and any depth: no output can hold them
        except (ValueError, RecursionError):
            return text
        return found

    def kept_headers(self) -> dict[str, str]:
        """Return the headers that outputs keep."""
        return {name: found for name in KEPT_HEADERS if 0 < len(found := self.headers.get(name, "")) <= _MAX_HEADER}


class TargetRefused(ToolFailed):
    """A status of the server that says that the request had no effect."""

    def __init__(self, message: str, status: int, *, retry: bool = False, after: float = 0.0) -> None:
        self.status = status
        super().__init__(message, retry=retry, after=after)


class _Sending:
    """The way of a request to its target, as the HTTP library tells it."""

    def __init__(self) -> None:
        self._steps = 0
        self._begun = False

    async def note(self, step: str, told: Mapping[str, Any]) -> None:
        """Note one step. A request to a proxy to connect comes first, and is not the request itself."""
        self._steps += 1
        if step.endswith("send_request_headers.started") and told["request"].method != b"CONNECT":
            self._begun = True

    @property
    def not_begun(self) -> bool:
        """True if the library told steps, and no byte of the request was among them."""
        return self._steps > 0 and not self._begun


def log_no_addresses() -> None:
    """Keep the HTTP libraries from logging the addresses of requests: a query may hold a secret."""
    for name in ("httpx", "httpcore", "httpx2"):
        logging.getLogger(name).setLevel(logging.WARNING)


def is_gone(refusal: TargetRefused) -> bool:
    """Return True if the refusal of a DELETE, or of a GET, says that there is no such thing any more."""
    return meaning(Asked.HTTP_REMOVAL, refusal.status).effect is Effect.SUCCESS


def client_of(timeout: float, *, environment: bool) -> "httpx.AsyncClient":
    """Return a client for one call.

    Args:
        timeout: Seconds for connecting, and for each wait for data.
        environment: True to use proxy and certificate variables.

    Raises:
        ToolFailed: If one of these variables cannot be used; nothing was sent.
    """
    import httpx

    try:
        return httpx.AsyncClient(timeout=timeout, trust_env=environment, headers={"accept-encoding": ENCODINGS})
    except (ValueError, ImportError, OSError, httpx.InvalidURL) as error:  # a proxy, or a file of certificates
        what = "settings trust_environment: its variables cannot be used"
        raise ToolFailed(f"{what}: {type(error).__name__}") from error


async def exchange(
    client: "httpx.AsyncClient", request: "httpx.Request", *, hide: Sequence[str] = (), changes: bool | None = None
) -> Reply:
    """Send a request and return its answer if the status is 2xx.

    Args:
        client: The client. Redirects are never followed, whatever its settings.
        request: The request.
        hide: Texts, such as credentials, that must not appear in an error.
        changes: True if the request changes something; None decides by its method.

    Raises:
        TargetRefused: If the answer says that the request had no effect, see `airlock.tools.outcomes`.
        ToolFailed: If nothing was sent, or if only the answer to a read was lost.
        InDoubt: If a change was sent, and no answer says whether it had an effect.
    """
    import httpx

    not_sent = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError, httpx.UnsupportedProtocol)
    what = _what(request)
    changes = request.method not in READ_METHODS if changes is None else changes
    asked = Asked.HTTP_WRITE if changes else Asked.HTTP_READ
    sending = _Sending()
    request.extensions = {**request.extensions, "trace": sending.note}
    try:
        response = await client.send(request, stream=True, follow_redirects=False)
    except not_sent as error:
        raise ToolFailed(f"{what} was not sent: {_name(error)}", retry=meaning(asked, NOT_SENT).again) from error
    except httpx.LocalProtocolError as error:
        raise ToolFailed(f"{what} is not a valid request: {hidden(str(error), hide)}") from error
    except Exception as error:
        if sending.not_begun:
            raise ToolFailed(f"{what} was not sent: {_name(error)}", retry=meaning(asked, NOT_SENT).again) from error
        raise _lost(asked, what, error) from error
    succeeded = meaning(asked, response.status_code).effect is Effect.SUCCESS
    content: bytes | None = None
    undecoded = False
    try:
        content = await _content(response)
    except Exception as error:
        # the status of a refusal tells all; the body of a success is its result, but one that came whole is kept apart
        undecoded = succeeded and changes and isinstance(error, httpx.DecodingError)
        if succeeded and not undecoded:
            raise _lost(asked, what, error) from error
    finally:
        with suppress(httpx.HTTPError):
            await response.aclose()
    if succeeded:
        return Reply(response.status_code, response.headers, content, undecoded)
    said = shorten(hidden(_text(content or b"", response.headers), hide), 200)
    raise _failure(asked, what, response, said)


def _lost(asked: Asked, what: str, error: Exception) -> ToolFailed | InDoubt:
    found = meaning(asked, LOST)
    message = f"{what} was sent, but its answer was lost: {_name(error)}"
    return InDoubt(message) if found.effect is Effect.DOUBT else ToolFailed(message, retry=found.again)


def _failure(asked: Asked, what: str, response: "httpx.Response", said: str) -> TargetRefused | InDoubt:
    status, after = response.status_code, retry_after(response.headers)
    found = http_meaning(asked, status, after)
    message = f"{what} was answered {status}{f': {said}' if said else ''}"
    if 300 <= status < 400:
        where = shorten(response.headers.get("location", "nowhere"), 200)
        message += f" (redirects are not followed; it points to {where})"
    after = (after or 0.0) if found.again else 0.0
    if found.effect is Effect.DOUBT:
        return InDoubt(f"{message} ({found.why})", after=after)
    return TargetRefused(message, status, retry=found.again, after=after)


class Headers(Protocol):
    """The headers of an answer, of whichever library."""

    def get_list(self, key: str) -> list[str]:
        """Return the values of a header, which may come several times."""


def retry_after(headers: Headers) -> float | None:
    """Return the seconds that the server asks to wait, the longest of several; None if its header is missing or invalid."""
    sent = _date(", ".join(headers.get_list("date")))
    waits = [_wait(asked.strip(), sent) for asked in headers.get_list("retry-after")]
    return max((wait for wait in waits if wait is not None), default=None)


def _wait(asked: str, sent: datetime | None) -> float | None:
    if _SECONDS.fullmatch(asked):  # with a fraction it is not HTTP, but widely sent, and its meaning is plain
        return min(float(asked), _LONGEST_WAIT)
    when = _date(asked)
    if when is None:
        return None
    # by the server's own clock if it sends one, because the clock of this machine may be wrong
    return min(max((when - (sent or datetime.now(UTC))).total_seconds(), 0.0), _LONGEST_WAIT)


def _date(text: str) -> datetime | None:
    try:
        found = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _text(content: bytes, headers: "httpx.Headers") -> str:
    """Return a body as text, in the charset that its headers name; what cannot be read is replaced by U+FFFD."""
    named = _CHARSET.search(headers.get("content-type", ""))
    name = named[1].lower() if named else ""
    try:
        # a byte order mark, which some services send, is no part of the text
        return content.decode(name if name.startswith(_CHARSETS) else "utf-8-sig", errors="replace")
    except LookupError:
        return content.decode("utf-8-sig", errors="replace")


async def _content(response: "httpx.Response") -> bytes | None:
    content = b""
    async for piece in decoded(response):
        content += piece
        if len(content) > MAX_BODY_BYTES:
            return None if response.is_success else content[:1_000]
    return content


def _what(request: "httpx.Request") -> str:
    """Return the request in a few words, without its query, which may hold secrets."""
    return f"{request.method} {request.url.copy_with(query=None, fragment=None)}"


def _name(error: Exception) -> str:
    return shorten(f"{type(error).__name__} {error}".strip(), 200)


def json_bytes(value: Any) -> int:
    """Return the size of a value as JSON, in bytes."""
    return len(json.dumps(value))
