"""A service on the loopback that takes forms with files apart by a library of servers."""

import asyncio
import hashlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

Received = dict[str, Any]


@contextmanager
def receiving() -> Iterator[tuple[str, list[Received]]]:
    """A service that keeps what it received, and its address."""
    received: list[Received] = []

    async def take(request: Request) -> JSONResponse:
        kind = request.headers.get("content-type", "")
        taken: Received = {"path": request.url.path, "type": kind, "content": await request.body()}
        if kind.startswith("multipart/"):
            async with request.form() as form:
                taken["parts"] = [(name, await _told(value)) for name, value in form.multi_items()]
        received.append(taken)
        return JSONResponse({"digest": hashlib.sha256(taken["content"]).hexdigest()}, 201)

    app = Starlette(routes=[Route("/{path:path}", take, methods=["POST", "PUT"])])
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off"))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=lambda: asyncio.run(server.serve([listening])), daemon=True)
        thread.start()  # connections wait in the socket until it serves
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}", received
        finally:
            server.should_exit = True
            thread.join(30)


async def _told(value: UploadFile | str) -> Any:
    if isinstance(value, str):
        return value
    return value.filename, value.content_type, await value.read()
