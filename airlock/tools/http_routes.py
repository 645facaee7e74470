"""`http_tool`: a tool from one HTTP route, in two lines of an operator's own module.

from airlock.tools.http_routes import http_tool

open_account = http_tool(
    name="open_account", method="POST", url="https://billing.test/accounts", risk="MEDIUM",
    reversibility="reversible", undo_url="https://billing.test/accounts/{id}", permissions={"billing:write"},
)
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any
from urllib.parse import quote

import jmespath
from pydantic import Field, JsonValue

from airlock.base.errors import ToolFailed
from airlock.plans.arguments.schema_arguments import SchemaArguments
from airlock.plans.tool import Tool, tool
from airlock.plans.tool_call import Preview, ToolCall
from airlock.tools.common import Arguments, frozen_description
from airlock.tools.http_client import HttpAnswer, allowed, open_answer, reachable, read_before, send
from airlock.tools.web import READ_METHODS, HttpSettings, TargetRefused, is_gone

_PLACEHOLDER = re.compile(r"\{([^{}]+)\}")


class RouteArguments(Arguments):
    """The variable parts of a call of one route."""

    model_config = frozen_description("What varies between calls of one route.")

    params: Annotated[
        dict[str, str | int], Field(description="values for the {placeholders} of the route's URL", default_factory=dict)
    ]
    query: Annotated[dict[str, str | int | float | bool], Field(description="the query of the URL", default_factory=dict)]
    body: Annotated[JsonValue, Field(description="a text is sent as it is, everything else as JSON")] = None


@dataclass(frozen=True)
class _Route:
    method: str
    url: str
    undo_method: str
    undo_url: str | None
    idempotency_header: str
    secret_headers: Mapping[str, str] = field(default_factory=dict)

    def headers(self, call: ToolCall, key: str) -> dict[str, str]:
        found = {name: call.secret(secret) for name, secret in self.secret_headers.items()}
        return {**found, self.idempotency_header: key}

    async def live(self, args: RouteArguments, call: ToolCall) -> HttpAnswer:
        url = filled(self.url, args.params)
        headers = self.headers(call, call.idempotency_key)
        answer = await send(call, self.method, url, query=args.query, headers=headers, body=args.body)
        if self.undo_url is not None:
            try:
                call.undo = {"method": self.undo_method, "url": filled(self.undo_url, answer["body"])}
            except ToolFailed as error:
                call.undo = {"method": self.undo_method, "url": None, "why": str(error)}
        return answer

    async def dry_run(self, args: RouteArguments, call: ToolCall) -> Preview:
        url = filled(self.url, args.params)
        if self.method in READ_METHODS:
            return await read_before(call, f"{self.method} {url},", lambda: self.live(args, call))
        await reachable(allowed(url, call.settings), call.settings)
        undo = None
        if self.undo_url is not None:
            allowed(self.undo_url, call.settings)
            undo = f"{self.undo_method} {self.undo_url} with values from the answer."
        return Preview(effect=f"Would {self.method} {url}.", undo=undo)

    async def compensate(self, _args: RouteArguments, call: ToolCall) -> None:
        token = call.undo
        if not isinstance(token, dict) or not isinstance(token.get("url"), str):
            why = token.get("why") if isinstance(token, dict) else "there is no undo token"
            raise ToolFailed(f"the answer does not say what to undo: {why}")
        try:
            headers = self.headers(call, f"{call.idempotency_key}/undo")
            await send(call, str(token["method"]), str(token["url"]), headers=headers)
        except TargetRefused as refusal:
            if token["method"] != "DELETE" or not is_gone(refusal):
                raise

    def mock(self, _args: RouteArguments, _call: ToolCall) -> HttpAnswer:
        return open_answer()


@dataclass(frozen=True)
class _DescribedRoute:
    """A route whose arguments have a JSON Schema."""

    route: _Route

    async def live(self, args: SchemaArguments, call: ToolCall) -> HttpAnswer:
        return await self.route.live(_plain(args), call)

    async def dry_run(self, args: SchemaArguments, call: ToolCall) -> Preview:
        return await self.route.dry_run(_plain(args), call)

    async def compensate(self, args: SchemaArguments, call: ToolCall) -> None:
        await self.route.compensate(_plain(args), call)

    def mock(self, _args: SchemaArguments, _call: ToolCall) -> HttpAnswer:
        return open_answer()


def _plain(args: SchemaArguments) -> RouteArguments:
    # checked by their own schema, which allows lists in a query
    return RouteArguments.model_construct(**{"params": {}, "query": {}, "body": None, **args.given()})


def http_tool(
    *,
    name: str,
    method: str,
    url: str,
    risk: str,
    reversibility: str,
    undo_url: str | None = None,
    undo_method: str = "DELETE",
    idempotency_header: str = "Idempotency-Key",
    secret_headers: Mapping[str, str] | None = None,
    arguments: Mapping[str, Any] | None = None,
    **promises: Any,
) -> Tool:
    """Create a tool that makes one kind of HTTP request, with the risk that the operator states.

    The host must be in `settings.http.allow_hosts`. The answer is the output; see `airlock.tools.http_client.HttpAnswer`.

    Args:
        name: The name plans use.
        method: The HTTP method.
        url: The address; `{placeholders}` are filled from the argument `params`.
        risk: LOW, MEDIUM or HIGH.
        reversibility: read_only, reversible, compensable or irreversible.
        undo_url: The address that undoes the call; `{placeholders}` are JMESPath over the body of the answer.
        undo_method: The method that undoes the call.
        idempotency_header: The header that carries the idempotency key.
        secret_headers: Names of secrets by the header that carries them, such as `Authorization`.
        arguments: The JSON Schema of the arguments, an object with `params`, `query` and `body`; unless given, each of
            them takes any value.
        promises: Any other field of `airlock.plans.contract.Contract`; `idempotent=True` if the service makes a
            request once per idempotency key, so that a request whose answer was lost may be repeated.

    Raises:
        ContractError: If the promises contradict each other; a reversible route needs an `undo_url`.
    """
    route = _Route(method.upper(), url, undo_method.upper(), undo_url, idempotency_header, secret_headers or {})
    needed = tuple((secret_headers or {}).values())
    promises = {"description": f"{route.method} {url}", "fidelity": "probe", "needs_secrets": needed, **promises}
    declare = tool(name=name, risk=risk, reversibility=reversibility, settings=HttpSettings, arguments=arguments, **promises)
    functions = route if arguments is None else _DescribedRoute(route)
    found = declare(functions.live)
    found.dry_run(functions.dry_run)
    found.mock(functions.mock)
    if undo_url is not None:
        found.compensate(functions.compensate)
    found.contract()
    return found


def filled(template: str, values: Any) -> str:
    """Return an address with its placeholders replaced by values, each encoded as one part of a path.

    Raises:
        ToolFailed: If a value is missing, or would change the path.
    """

    def value_of(match: re.Match[str]) -> str:
        found = jmespath.search(match[1], values)
        if not isinstance(found, str | int) or isinstance(found, bool) or found in ("", ".", ".."):
            raise ToolFailed(f"there is no {match[1]!r} to put into {template}")
        return quote(str(found), safe="")

    return _PLACEHOLDER.sub(value_of, template)
