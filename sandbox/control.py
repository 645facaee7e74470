"""The control surface for tests, under /_sandbox/: look at everything, inject faults, start afresh.

Requests to it are neither logged nor disturbed.
"""

import json

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sandbox.faults import Faults, parse_fault
from sandbox.service import Service
from sandbox.store import Store


def control_routes(service: Service) -> list[Route]:
    """Return the routes of the control surface of one service."""

    async def reset(_request: Request) -> Response:
        service.store.reset()
        service.faults.clear()
        return JSONResponse({"ok": True})

    routes = [*_look_routes(service.store), *_fault_routes(service.faults)]
    return [*routes, Route("/_sandbox/reset", reset, methods=["POST"])]


def _look_routes(store: Store) -> list[Route]:
    async def contacts(_request: Request) -> Response:
        found = store.all("contact")
        return JSONResponse({"contacts": found, "total": len(found)})

    async def accounts(_request: Request) -> Response:
        found = store.all("account")
        return JSONResponse({"accounts": found, "total": len(found)})

    async def log(_request: Request) -> Response:
        return JSONResponse({"requests": store.requests()})

    return [
        Route("/_sandbox/contacts", contacts),
        Route("/_sandbox/accounts", accounts),
        Route("/_sandbox/log", log),
    ]


def _fault_routes(faults: Faults) -> list[Route]:
    async def faults_waiting(_request: Request) -> Response:
        return JSONResponse({"faults": faults.waiting()})

    async def add_fault(request: Request) -> Response:
        try:
            body = json.loads(await request.body())
            fault = parse_fault(body if isinstance(body, dict) else {"?": body})
        except ValueError as error:
            return JSONResponse({"error": str(error)}, 422)
        faults.add(fault)
        return JSONResponse({"faults": faults.waiting()}, 201)

    async def clear_faults(_request: Request) -> Response:
        faults.clear()
        return JSONResponse({"ok": True})

    return [
        Route("/_sandbox/faults", faults_waiting, methods=["GET"]),
        Route("/_sandbox/faults", add_fault, methods=["POST"]),
        Route("/_sandbox/faults", clear_faults, methods=["DELETE"]),
    ]
