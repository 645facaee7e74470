"""Calls of the operations of one HTTP service."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, WithJsonSchema

from airlock.admission.configuration.tool_entries import Given, SecretName
from airlock.base.model import is_empty
from airlock.plans.contract import Mode
from airlock.plans.tool_call import ToolCall
from airlock.tools.http_client import HttpAnswer, allowed, open_answer, reachable, send
from airlock.tools.openapi.bodies import content_of
from airlock.tools.openapi.multipart import files_in_words
from airlock.tools.openapi.parameters import Writing, cookies_of, header_of, path_of, query_of
from airlock.tools.openapi.parts import Part
from airlock.tools.openapi.security import Credential
from airlock.tools.openapi.watch import Watch
from airlock.tools.rated.definitions import Definition, Definitions
from airlock.tools.rated.output_schema import without_refs
from airlock.tools.rated.session import Session, ToolSaidError
from airlock.tools.web import HttpSettings, TargetRefused, is_gone

IDEMPOTENCY_HEADER = "Idempotency-Key"
_ACCEPT = "application/json, */*;q=0.5"


class Operation(Definition):
    """The definition of one operation."""

    method: str
    path: str
    writings: dict[str, Writing] = Field(default_factory=dict, exclude_if=is_empty)
    """The way in which values are written into a request, by place and name, where it is not the usual one."""
    media: str = Field(default="", exclude_if=is_empty)
    """The media type of the body, unless it is JSON."""
    parts: dict[str, Part] = Field(default_factory=dict, exclude_if=is_empty)
    """The parts of the body that are files, or always JSON, by place."""
    credentials: tuple[Credential, ...] = Field(default=(), exclude_if=is_empty)
    """The credentials that its requests carry, of those that the operator has given."""


class ServiceCalls:
    """The way to the operations of one service.

    Args:
        server: The address before the paths.
        headers: Headers that every request carries.
        security: The secrets, by security scheme.
        operations: The operations of the catalogue, by name.
        watch: Tells what the document says now.
    """

    def __init__(
        self,
        server: str,
        headers: Mapping[str, Given],
        security: Mapping[str, SecretName],
        operations: Definitions,
        watch: Watch,
    ) -> None:
        self.server, self.headers, self.security, self.operations = server, headers, security, operations
        self._watch = watch

    async def reach(self, call: ToolCall) -> tuple[Session, Definitions]:
        """Return the way for one call, and the operations of the document. A dry run checks that the host is there."""
        now = await self._watch.now()
        settings: HttpSettings = call.settings
        url = _url(self.server)
        # the section names the server, and nothing else can be reached by it
        own = settings.model_copy(update={"allow_hosts": (url,)})
        if call.mode is Mode.DRY_RUN:
            await reachable(allowed(self.server, own), own)
        return _ServiceSession(self, call, own), now


class _ServiceSession:
    """The way to a service during one call."""

    def __init__(self, calls: ServiceCalls, call: ToolCall, settings: HttpSettings) -> None:
        self._calls, self._call, self._settings = calls, call, settings

    async def output(
        self,
        tool: str,
        args: Mapping[str, Any],
        *,
        writes: bool,
        undoes: bool = False,
        key: str | None = None,
        fence: int = 0,  # there is no common header for it
    ) -> Any:
        """Make one request, and return its answer; the errors are those of `Session.output`."""
        operation = self._calls.operations[tool]
        assert isinstance(operation, Operation)
        secrets = {each: self._call.secret(self._calls.security[each.scheme].name) for each in operation.credentials}
        body, media = content_of(args.get("body"), operation.media, operation.writings, operation.parts)
        headers = self._headers(operation, args, secrets)
        if media:
            _put(headers, "Content-Type", media)
        if writes and key is not None:
            headers |= {IDEMPOTENCY_HEADER: key}
        try:
            return await send(
                self._call,
                operation.method,
                self._address(operation, args, secrets),
                headers=headers,
                body=body,
                settings=self._settings,
                changes=writes,
                hide=list(secrets.values()),
            )
        except TargetRefused as refusal:
            if undoes and operation.method == "DELETE" and is_gone(refusal):
                return None
            if writes or refusal.retry:
                raise
            raise ToolSaidError(str(refusal)) from refusal

    def _address(self, operation: Operation, args: Mapping[str, Any], secrets: Mapping[Credential, str]) -> str:
        path = path_of(operation.path, args.get("params", {}), operation.writings)
        query = [query_of(args.get("query", {}), operation.writings)]
        query += [query_of({each.name: each.written(value)}, {}) for each, value in secrets.items() if each.place == "query"]
        return "?".join(part for part in (f"{self._calls.server}{path}", "&".join(filter(None, query))) if part)

    def _headers(self, operation: Operation, args: Mapping[str, Any], secrets: Mapping[Credential, str]) -> dict[str, str]:
        headers = {"Accept": _ACCEPT}
        for name, value in args.get("headers", {}).items():
            _put(headers, name, header_of(name, value, operation.writings.get(f"header.{name}")))
        cookies = [cookies_of(args.get("cookies", {}), operation.writings)]
        for credential, secret in secrets.items():
            if credential.place == "header":
                _put(headers, credential.name, credential.written(secret))
            elif credential.place == "cookie":
                cookies.append(f"{credential.name}={secret}")
        for name, given in self._calls.headers.items():  # the operator's word comes last, and stays
            value = self._call.secret(given.name) if isinstance(given, SecretName) else given
            if name.lower() == "cookie":
                cookies.append(value)
            else:
                _put(headers, name, value)
        if said := "; ".join(filter(None, cookies)):
            _put(headers, "Cookie", said)
        return headers


def _put(headers: dict[str, str], name: str, value: str) -> None:
    """Set a header in the place of one that differs in its letters' case only."""
    for other in [each for each in headers if each.lower() == name.lower()]:
        del headers[other]
    headers[name] = value


def output_type(definition: Definition) -> Any:
    """Return the type of the output of an operation."""
    schema = definition.output_schema
    return HttpAnswer if schema is None else Annotated[Any, WithJsonSchema(without_refs(schema))]


def open_answer_of(_definition: Definition) -> HttpAnswer:
    """Return the answer of a mock: what is in it, only the service knows."""
    return open_answer()


def files_of(definition: Definition, args: Mapping[str, Any]) -> str:
    """Return the files that a call sends, as the beginning of its preview; empty if it has none."""
    assert isinstance(definition, Operation)
    said = files_in_words(args.get("body"), definition.parts, definition.media)
    return f"Sends {said}. " if said else ""


def _url(server: str) -> str:
    """Return the host of a server, as `allow_hosts` names it."""
    import httpx

    try:
        url = httpx.URL(server)
        return f"{url.host}:{url.port or {'http': 80, 'https': 443}[url.scheme]}"
    except (httpx.InvalidURL, KeyError, ValueError):
        return ""  # `allowed` says what is wrong with it
