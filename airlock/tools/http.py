"""`http_request`: one HTTP request to a host that the operator allows."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, JsonValue

from airlock.plans.tool import tool
from airlock.plans.tool_call import Preview, ToolCall
from airlock.tools.common import Arguments
from airlock.tools.http_client import HttpAnswer, allowed, open_answer, reachable, read_before, send
from airlock.tools.web import READ_METHODS, HttpSettings, json_bytes

IDEMPOTENCY_HEADER = "Idempotency-Key"


def _upper(value: object) -> object:
    return value.upper() if isinstance(value, str) else value


class HttpRequest(Arguments):
    """One request."""

    url: Annotated[str, Field(min_length=8, max_length=2_000, description="http or https, to an allowed host")]
    method: Annotated[
        Literal["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"],
        BeforeValidator(_upper),
        Field(description="GET, HEAD and OPTIONS only read; every other method is HIGH risk and irreversible"),
    ] = "GET"
    query: Annotated[
        dict[str, str | int | float | bool], Field(description="added to the URL's query", default_factory=dict)
    ]
    headers: Annotated[
        dict[str, str],
        Field(description='such as {"Authorization": {"$secret": "<name>"}}', default_factory=dict),
    ]
    body: Annotated[JsonValue, Field(description="a text is sent as it is, everything else as JSON")] = None


@tool(
    name="http_request",
    risk="HIGH",
    reversibility="irreversible",
    permissions={"http:write"},
    secrets={"url", "query", "headers", "body"},
    fidelity="probe",
    timeout=30,
    settings=HttpSettings,
)
async def http_request(args: HttpRequest, call: ToolCall) -> HttpAnswer:
    """Make one HTTP request: GET, HEAD and OPTIONS are read-only, every other method is irreversible."""
    headers = dict(args.headers)
    if args.method not in READ_METHODS and IDEMPOTENCY_HEADER.lower() not in {name.lower() for name in headers}:
        headers[IDEMPOTENCY_HEADER] = call.idempotency_key
    return await send(call, args.method, args.url, query=args.query, headers=headers, body=args.body)


@http_request.variant
def by_method(args: Mapping[str, Any]) -> Mapping[str, Any]:
    """Lower the risk of a reading request; any other or unknown method keeps the declared contract."""
    method = args.get("method", "GET")
    if not isinstance(method, str) or method.upper() not in READ_METHODS:
        return {}
    return {
        "risk": "LOW",
        "reversibility": "read_only",
        "permissions": ("http:read",),
        "fidelity": "native",
        "idempotent": True,
    }


@http_request.dry_run
async def look(args: HttpRequest, call: ToolCall) -> Preview:
    """Make a reading request; of any other, check that its host is allowed and accepts connections."""
    url = allowed(args.url, call.settings)
    shown = f"{args.method} {url.copy_with(query=None, fragment=None)}"
    if args.method in READ_METHODS:
        return await read_before(call, f"{shown}, which is", lambda: http_request.live(args, call))
    await reachable(url, call.settings)
    size = "no body" if args.body is None else f"a body of {json_bytes(args.body)} bytes"
    names = f" and the headers {', '.join(sorted(args.headers))}" if args.headers else ""
    return Preview(effect=f"Would {shown} with {size}{names}.")


@http_request.mock
def mock(_args: HttpRequest, _call: ToolCall) -> HttpAnswer:
    """Return a success whose contents only the server knows."""
    return open_answer()
