"""One call of a tool of an MCP server, and the meaning of its answer."""

import json
from collections.abc import Mapping
from typing import Annotated, Any, NotRequired

from mcp import MCPError
from mcp.types import INVALID_REQUEST, PARSE_ERROR, CallToolResult
from pydantic import JsonValue, ValidationError, WithJsonSchema
from typing_extensions import TypedDict

from airlock.base.canonical import bounded_json
from airlock.base.errors import InDoubt, ToolFailed
from airlock.base.text import MAX_OUTPUT_BYTES, shorten
from airlock.plans.refs import UNKNOWN
from airlock.tools.mcp.connection import Session, told
from airlock.tools.mcp.parts import described
from airlock.tools.mcp.statuses import HttpRefusal, refusal_of
from airlock.tools.outcomes import ANY, INPUT_REQUIRED, UNREAD, Asked, Effect, http_meaning, meaning
from airlock.tools.rated.definitions import Definition, Definitions
from airlock.tools.rated.output_schema import without_refs
from airlock.tools.rated.session import ToolSaidError

_SESSION_GONE = "Session terminated"
"""The SDK's words for a 404 within a session: the server does not know the session, and has called nothing."""


class McpAnswer(TypedDict):
    """The answer of a tool without an output schema. One with a schema answers with the object that it declares."""

    text: str
    """Its texts, one after the other."""
    data: JsonValue
    """The text as JSON, if it is JSON; else null."""
    parts: JsonValue
    """The parts that are no text, as a list of what `airlock.tools.mcp.parts` describes: contents are mostly left out."""
    note: NotRequired[str]
    """A note that the answer of a write was too large and is left out. A read with such an answer fails instead."""


def output_type(definition: Definition) -> Any:
    """Return the type of the output of a tool."""
    schema = definition.output_schema
    return McpAnswer if schema is None else Annotated[Any, WithJsonSchema(without_refs(schema))]


def open_answer(definition: Definition) -> Any:
    """Return the answer that a mock gives: a later step may refer to any part of it, which only the server knows."""
    declared = definition.output_schema is not None
    return UNKNOWN if declared else McpAnswer(text=UNKNOWN, data=UNKNOWN, parts=UNKNOWN)


class ServerSession:
    """An open session with a server, as the way to its tools.

    Args:
        inner: The session.
        pinned: The definitions that the catalogue was made of.
        over_http: True if the server is reached over HTTP.
    """

    def __init__(self, inner: Session, pinned: Definitions, *, over_http: bool = False) -> None:
        self._inner, self._pinned, self._over_http = inner, pinned, over_http

    async def output(
        self,
        tool: str,
        args: Mapping[str, Any],
        *,
        writes: bool,
        undoes: bool = False,  # a server has no common word for what is gone
        key: str | None = None,
        fence: int = 0,
    ) -> Any:
        """Call a tool once, and return its answer as the output of a call; the errors are those of `Session.output`."""
        meta = None if key is None else {"airlock/idempotency-key": key, "airlock/fence": fence}
        answer = await ask(self._inner, tool, args, writes=writes, meta=meta, over_http=self._over_http)
        return output_of(answer, declared=self._pinned[tool].output_schema is not None, writes=writes)


async def ask(
    session: Session,
    tool: str,
    args: Mapping[str, Any],
    *,
    writes: bool,
    meta: Mapping[str, Any] | None = None,
    over_http: bool = False,
) -> CallToolResult:
    """Call a tool once, and return its answer. The SDK is kept from sending it again, and from answering questions.

    Raises:
        ToolSaidError: If the answer is an error of the tool; the caller decides what that means for a write.
        ToolFailed: If the call certainly had no effect, or only read.
        InDoubt: If it was sent, and no answer says what it did.
    """
    asked = Asked.MCP_WRITE if writes else Asked.MCP_READ
    try:
        answer = await session.call_tool(tool, dict(args), meta)
    except MCPError as error:
        if over_http and (refusal := refusal_of(error)):
            raise _refused(refusal, f"{tool}: {error.message}", writes=writes) from error
        said = UNREAD if over_http and _of_the_sdk(error) else str(error.code)
        raise _failure(asked, said, f"{tool}: {error.code} {shorten(error.message, 300)}") from error
    except ValidationError as error:
        wrong = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, wrong["loc"]))
        raise _failure(asked, ANY, f"{tool}: its answer is none of the protocol: {place}: {wrong['msg']}") from error
    except Exception as error:
        raise _failure(asked, ANY, f"{tool}: its answer was lost, or is not what it promises: {told(error)}") from error
    if not isinstance(answer, CallToolResult):
        raise _failure(asked, INPUT_REQUIRED, f"{tool}: the server asks for input, and gets none here")
    if answer.is_error:
        raise ToolSaidError(f"{tool}: {shorten(_text(answer) or 'an error without a text', 400)}")
    return answer


def _refused(refusal: HttpRefusal, message: str, *, writes: bool) -> ToolFailed | InDoubt:
    """Return what an HTTP error in the place of an answer means: what it means for any other request over HTTP."""
    found = http_meaning(Asked.HTTP_WRITE if writes else Asked.HTTP_READ, refusal.status, refusal.after)
    after = refusal.after or 0.0
    if found.effect is Effect.DOUBT:
        return InDoubt(f"{message} ({found.why})", after=after)
    return ToolFailed(message, retry=found.again, after=after if found.again else 0.0)


def _of_the_sdk(error: MCPError) -> bool:
    """Return True if the SDK may have written an error itself, over HTTP, about an answer that it could not read."""
    return error.code in (PARSE_ERROR, INVALID_REQUEST) and error.message != _SESSION_GONE


def output_of(answer: CallToolResult, *, declared: bool, writes: bool) -> Any:
    """Return an answer as the output of a call, within the size limit of outputs.

    Args:
        answer: The answer.
        declared: True if the tool has an output schema.
        writes: True if the call may have changed something: then its effect stands, whatever its answer is.

    Raises:
        ToolFailed: If the answer of a read is too large.
    """
    output: Any = answer.structured_content if declared else _plain(answer)
    try:
        size = len(bounded_json(output))  # refuses NaN, too
    except ValueError as error:
        size, why = MAX_OUTPUT_BYTES + 1, f"the answer cannot be kept: {error}"
    else:
        why = f"the answer was larger than {MAX_OUTPUT_BYTES} bytes"
    if size <= MAX_OUTPUT_BYTES:
        return output
    if not writes:
        raise ToolFailed(f"{why}: ask for less")
    return {"text": "", "data": None, "parts": [], "note": f"{why} and was left out"}


def _plain(answer: CallToolResult) -> McpAnswer:
    text = _text(answer)
    return {
        "text": text,
        "data": _json(text) if answer.structured_content is None else answer.structured_content,
        "parts": described(part for part in answer.content if part.type != "text"),
    }


def _text(answer: CallToolResult) -> str:
    return "\n".join(part.text for part in answer.content if part.type == "text")


def _json(text: str) -> Any:
    if text[:1] not in ("{", "["):  # a bare number or word is a text that happens to be JSON
        return None
    try:
        return json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None


def _refuse(name: str) -> Any:
    raise ValueError(name)


def _failure(asked: Asked, answer: str, message: str) -> ToolFailed | InDoubt:
    found = meaning(asked, answer)
    if found.effect is Effect.DOUBT:
        return InDoubt(f"{message} ({found.why})")
    return ToolFailed(message, retry=found.again)
