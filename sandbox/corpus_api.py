"""The corpus APIs over HTTP: one world per plan, each call undoable, peeking free of effects."""

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sandbox.corpus_world import Called, Unknown, World, WorldError

Endpoint = Callable[[Request], Awaitable[Response]]
Operation = Callable[[dict[str, Any], dict[str, str]], dict[str, Any]]

_WORLD = "/worlds/{plan_id}"
_ASKED_FOR = {"error": "this failure was asked for"}
FAULTS = ("error", "half", "status")


class Broken(WorldError):
    """An answer that leaves open whether the call took effect."""

    status = 500


@dataclass
class Fault:
    """Lets so many calls through and spoils every other one; a call that is repeated under its key counts once.

    Kinds: `error`, nothing happens and the answer is an error; `half`, it takes effect and the answer is an error all
    the same; `status`, nothing happens and the answer is 500.
    """

    after_calls: int
    kind: str
    _let_through: set[str] = field(default_factory=set)

    def spoils(self, key: str | None) -> bool:
        """Return True if the call under this key is to be spoiled; counts it if not."""
        known = key if key is not None else f"#{len(self._let_through)}"
        if known not in self._let_through and len(self._let_through) >= self.after_calls:
            return True
        self._let_through.add(known)
        return False


class Worlds:
    """The worlds of this process by plan id; creating one again replaces it, its snapshots and its faults."""

    def __init__(self) -> None:
        self._worlds: dict[str, World] = {}
        self._created = 0
        self.faults: dict[str, Fault] = {}

    def create(self, plan_id: str, classes: list[str], initial_config: dict[str, Any]) -> World:
        """Return a fresh world; its snapshot ids are those of no other world of this process."""
        world = World(classes, initial_config, name=f"w{self._created + 1}")
        self._created += 1
        self._worlds[plan_id] = world
        self.faults.pop(plan_id, None)
        return world

    def get(self, plan_id: str) -> World:
        """Return the world of a plan.

        Raises:
            Unknown: it has not been created.
        """
        if plan_id not in self._worlds:
            raise Unknown(f"no world for plan {plan_id!r}")
        return self._worlds[plan_id]

    def ids(self) -> list[str]:
        """Return the plans that have a world, sorted."""
        return sorted(self._worlds)

    def remove(self, plan_id: str) -> None:
        """Forget a world; safe to repeat."""
        self._worlds.pop(plan_id, None)
        self.faults.pop(plan_id, None)


def create_corpus() -> Starlette:
    """Return the application; its worlds are gone with the process."""
    worlds = Worlds()
    routes = [
        Route("/health", _health),
        Route("/worlds", _answering(lambda _body, _params: {"worlds": worlds.ids()})),
    ]
    for method, path, operation in [*_world_operations(worlds), *_call_operations(worlds)]:
        routes.append(Route(path, _answering(operation), methods=[method]))
    return Starlette(routes=routes)


def _world_operations(worlds: Worlds) -> list[tuple[str, str, Operation]]:
    """Return the operations on a world as a whole, by method and path."""

    def create(body: dict[str, Any], params: dict[str, str]) -> dict[str, Any]:
        classes, config = _field(body, "classes", list), _field(body, "initial_config", dict, {})
        world = worlds.create(params["plan_id"], classes, config)
        return {"plan_id": params["plan_id"], "modules": world.modules, "digest": world.digest()}

    def remove(_body: dict[str, Any], params: dict[str, str]) -> dict[str, Any]:
        worlds.remove(params["plan_id"])
        return {"ok": True}

    def state(_body: dict[str, Any], params: dict[str, str]) -> dict[str, Any]:
        world = worlds.get(params["plan_id"])
        return {"state": world.state(), "digest": world.digest(), "generators": world.generators()}

    def digest(_body: dict[str, Any], params: dict[str, str]) -> dict[str, Any]:
        module = params["module"]
        return {"module": module, "digest": worlds.get(params["plan_id"]).digest(module)}

    return [
        ("POST", _WORLD, create),
        ("DELETE", _WORLD, remove),
        ("GET", f"{_WORLD}/state", state),
        ("GET", f"{_WORLD}/digest/{{module}}", digest),
    ]


def _call_operations(worlds: Worlds) -> list[tuple[str, str, Operation]]:
    """Return the operations for calls and their undos, by method and path."""

    def call(body: dict[str, Any], params: dict[str, str]) -> dict[str, Any]:
        world, fault = worlds.get(params["plan_id"]), worlds.faults.get(params["plan_id"])
        if fault is not None and fault.spoils(_field(body, "idempotency_key", str, None)):
            return _spoiled(fault, world, body).as_json()
        return _call(world, body).as_json()

    def called(_body: dict[str, Any], params: dict[str, str]) -> dict[str, Any]:
        return worlds.get(params["plan_id"]).answer(params["key"]).as_json()

    def spoil(body: dict[str, Any], params: dict[str, str]) -> dict[str, Any]:
        worlds.get(params["plan_id"])
        worlds.faults[params["plan_id"]] = fault = _fault(body)
        return {"after_calls": fault.after_calls, "kind": fault.kind}

    def peek(body: dict[str, Any], params: dict[str, str]) -> dict[str, Any]:
        world = worlds.get(params["plan_id"])
        result, before = world.peek(*_target(body))
        return {"result": result, "digest_before": before}

    def restore(body: dict[str, Any], params: dict[str, str]) -> dict[str, Any]:
        world = worlds.get(params["plan_id"])
        module = world.restore(_field(body, "undo", str))
        return {"restored": module, "digest": world.digest(module)}

    return [
        ("POST", f"{_WORLD}/call", call),
        ("GET", f"{_WORLD}/calls/{{key:path}}", called),
        ("POST", f"{_WORLD}/faults", spoil),
        ("POST", f"{_WORLD}/peek", peek),
        ("POST", f"{_WORLD}/restore", restore),
    ]


def _call(world: World, body: dict[str, Any]) -> Called:
    key = _field(body, "idempotency_key", str, None)
    if_digest, ours = _field(body, "if_digest", str, None), _field(body, "ours", str, None)
    return world.call(*_target(body), key=key, if_digest=if_digest, ours=ours)


def _fault(body: dict[str, Any]) -> Fault:
    fault = Fault(_field(body, "after_calls", int), _field(body, "kind", str, "error"))
    if fault.kind not in FAULTS or fault.after_calls < 0:
        raise WorldError(f"after_calls must be 0 or more, kind one of {', '.join(FAULTS)}")
    return fault


def _spoiled(fault: Fault, world: World, body: dict[str, Any]) -> Called:
    if fault.kind == "status":
        raise Broken(_ASKED_FOR["error"])
    if fault.kind == "half":
        return replace(_call(world, body), result=_ASKED_FOR)
    digest = world.digest(_target(body)[0])
    return Called(_ASKED_FOR, changed=False, undo=None, digest_before=digest, digest_after=digest)


def _target(body: dict[str, Any]) -> tuple[str, str, dict[str, Any]]:
    return _field(body, "module", str), _field(body, "method", str), _field(body, "args", dict, {})


_REQUIRED = object()


def _field(body: dict[str, Any], name: str, kind: type, default: Any = _REQUIRED) -> Any:
    """Return a field of the body; null counts as absent.

    Raises:
        WorldError: it is missing or has another type.
    """
    value = body.get(name)
    if value is None and default is not _REQUIRED:
        return default
    if not isinstance(value, kind):
        raise WorldError(f"{name} must be given, as {kind.__name__}")
    return value


def _answering(operation: Operation) -> Endpoint:
    """Return an endpoint that runs an operation without interruption; a refusal becomes `{"error": ...}`."""

    async def endpoint(request: Request) -> Response:
        raw = await request.body()
        try:
            body = json.loads(raw) if raw else {}
            if not isinstance(body, dict):
                raise WorldError("the body must be a JSON object")
            return JSONResponse(operation(body, request.path_params))
        except WorldError as error:
            return JSONResponse({"error": str(error)}, error.status)
        except ValueError as error:
            return JSONResponse({"error": f"the body is not JSON: {error}"}, 400)

    return endpoint


async def _health(_request: Request) -> Response:
    return JSONResponse({"ok": True})
