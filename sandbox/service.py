"""The way of every business request: logged, disturbed when a test asks, performed once per key."""

import asyncio
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sandbox.faults import Fault, Faults
from sandbox.store import JsonObject, Store, StoredReply

REASONS = {
    400: "Bad Request",
    401: "Unauthorized",
    404: "Not Found",
    412: "Precondition Failed",
    422: "Unprocessable Entity",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """An operation's answer; a str body is HTML, None is no body, everything else is JSON."""

    status: int
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)


class Refused(Exception):
    """The operation did nothing; `answer` says why, in the shape of the LeadConnector API's errors."""

    def __init__(self, status: int, message: str | list[str], **more: Any) -> None:
        super().__init__(message)
        body = {"statusCode": status, "message": message, "error": REASONS[status], **more}
        self.answer = Answer(status, body)


@dataclass(frozen=True, slots=True)
class Call:
    """One request, fully read, so that an operation runs without interruption."""

    method: str
    path: str
    params: Mapping[str, str]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    raw: bytes

    @property
    def idempotency_key(self) -> str | None:
        """The `Idempotency-Key` header, None when absent or empty."""
        return self.headers.get("idempotency-key") or None

    @property
    def fingerprint(self) -> str:
        """The same for two requests with the same method, path and body; headers do not count."""
        return hashlib.sha256(b"\n".join((self.method.encode(), self.path.encode(), self.raw))).hexdigest()

    def json(self) -> JsonObject:
        """Return the body.

        Raises:
            Refused: 400, the body is not a JSON object.
        """
        try:
            body = json.loads(self.raw)
        except ValueError as error:
            raise Refused(400, f"the body is not JSON: {error}") from None
        if not isinstance(body, dict):
            raise Refused(400, "the body must be a JSON object")
        return body


Operation = Callable[[Call], Answer]


class Service:
    """Makes routes out of operations; owns the store and the faults they share."""

    def __init__(self, store: Store, faults: Faults) -> None:
        self.store = store
        self.faults = faults

    def route(self, method: str, path: str, operation: Operation, *, keyed: bool = False) -> Route:
        """Return a route to an operation; with `keyed` a write under an `Idempotency-Key` takes effect once.

        Only an answer that had an effect (2xx) spends the key: it is replayed to the same request and any
        other request under that key is refused with 422. A refusal leaves the key free for another attempt.
        """

        async def endpoint(request: Request) -> Response:
            return await self._serve(request, operation, keyed)

        methods = ["GET", "POST", "PUT", "PATCH", "DELETE"] if method == "*" else [method]
        return Route(path, endpoint, methods=methods, name=f"{method} {path}")

    async def _serve(self, request: Request, operation: Operation, keyed: bool) -> Response:
        call = Call(
            method=request.method,
            path=request.url.path,
            params=request.path_params,
            query=request.query_params,
            headers=request.headers,
            raw=await request.body(),
        )
        number = self.store.log_received(call.method, call.path, call.idempotency_key)
        fault = self.faults.take(call.method, call.path)
        if fault is None:
            answer = self._perform(number, call, operation, keyed)
        else:
            answer = await self._disturbed(fault, number, call, operation, keyed)
            if fault.drop:
                self.store.log_sent(number, None, fault.describe())
                return await _drop(request)
        self.store.log_sent(number, answer.status, fault.describe() if fault else None)
        return _response(answer)

    async def _disturbed(self, fault: Fault, number: int, call: Call, operation: Operation, keyed: bool) -> Answer:
        """Carry out a fault: the effect before the delay, after it, or not at all."""
        answer = Answer(fault.status or 503, {"error": "this fault was asked for"})
        performed = self._perform(number, call, operation, keyed) if fault.after_effect else None
        await asyncio.sleep(fault.delay_seconds)
        if fault.replaces_answer:
            return answer
        return performed or self._perform(number, call, operation, keyed)

    def _perform(self, number: int, call: Call, operation: Operation, keyed: bool) -> Answer:
        """Run the operation in one transaction with the record of its reply."""
        replayed = False
        try:
            with self.store.transaction():
                answer, replayed = self._once(call, operation, keyed)
        except Refused as refusal:
            answer = refusal.answer
        self.store.log_effect(number, answer.status, replayed)
        return answer

    def _once(self, call: Call, operation: Operation, keyed: bool) -> tuple[Answer, bool]:
        """Return the operation's answer and whether it was replayed instead of performed."""
        key = call.idempotency_key
        if not keyed or key is None:
            return operation(call), False
        stored = self.store.reply(key)
        if stored is None:
            answer = operation(call)
            if answer.status < 300:
                reply = StoredReply(call.fingerprint, answer.status, answer.headers, answer.body)
                self.store.remember(key, reply)
            return answer, False
        if stored.fingerprint != call.fingerprint:
            raise Refused(422, f"idempotency key {key!r} was used for another request")
        return Answer(stored.status, stored.body, {**stored.headers, "Idempotent-Replayed": "true"}), True


def _response(answer: Answer) -> Response:
    if answer.body is None:
        return Response(status_code=answer.status, headers=answer.headers)
    if isinstance(answer.body, str):
        return Response(answer.body, answer.status, answer.headers, media_type="text/html")
    return JSONResponse(answer.body, answer.status, answer.headers)


async def _drop(request: Request) -> Response:
    """Break the connection without sending a byte; the returned response reaches no client."""
    request.state.abort()
    while (await request.receive())["type"] != "http.disconnect":
        pass
    return Response(status_code=503)
