"""A service on the loopback that keeps files: uploads by a form, replacements by a body that is one file, their undo."""

import asyncio
import base64
import hashlib
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

Photo = dict[str, Any]
_FILE = {"type": "string", "format": "binary"}
_ID = [{"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}]
_FORM = {
    "type": "object",
    "required": ["title", "photo"],
    "properties": {
        "title": {"type": "string"},
        "photo": _FILE,
        "more": {"type": "array", "items": _FILE},
        "about": {"type": "object", "properties": {"place": {"type": "string"}}},
    },
}
_PATHS = {
    "/photos": {
        "get": {"operationId": "findPhotos", "parameters": [{"name": "title", "in": "query", "schema": {"type": "string"}}]},
        "post": {
            "operationId": "addPhoto",
            "requestBody": {
                "required": True,
                "content": {"multipart/form-data": {"schema": _FORM, "encoding": {"photo": {"contentType": "image/png"}}}},
            },
        },
    },
    "/photos/{id}": {"parameters": _ID, "delete": {"operationId": "removePhoto"}},
    "/photos/{id}/picture": {
        "parameters": _ID,
        "get": {"operationId": "readPicture"},
        "put": {
            "operationId": "replacePicture",
            "requestBody": {"required": True, "content": {"image/png": {"schema": _FILE}}},
        },
    },
    "/print": {"post": {"operationId": "orderPrint"}},
}
ENTRIES = """
[openapi.album.tools.findPhotos]
risk = "LOW"
reversibility = "read_only"

[openapi.album.tools.readPicture]
risk = "LOW"
reversibility = "read_only"

[openapi.album.tools.addPhoto]
risk = "MEDIUM"
reversibility = "reversible"
compensate = { tool = "removePhoto", args = "{params: {id: output.body.id}}" }
probe = { tool = "findPhotos", args = "{query: {title: args.body.title}}", happened = "length(answer.body.photos) > `0`" }

[openapi.album.tools.removePhoto]
risk = "HIGH"
reversibility = "irreversible"

[openapi.album.tools.replacePicture]
risk = "MEDIUM"
reversibility = "reversible"
observe = { tool = "readPicture", args = "{params: args.params}", state = "body" }
compensate = { tool = "replacePicture", args = "{params: args.params, body: {base64: before.base64}}" }

[openapi.album.tools.orderPrint]
risk = "MEDIUM"
reversibility = "irreversible"
"""


class Album:
    """The photos as the service keeps them, and the requests that changed something or tried to."""

    def __init__(self) -> None:
        self.url = ""
        self.photos: dict[str, Photo] = {}
        self.writes: list[tuple[str, str, str | None]] = []
        """Method, path and idempotency key of each."""
        self.loses_answers = False

    def told(self) -> list[Photo]:
        """Return the photos without their ids, which differ between a plan and direct calls."""
        return [{key: value for key, value in photo.items() if key != "id"} for photo in self.photos.values()]

    async def photos_of(self, request: Request) -> Response:
        """List photos, or add one."""
        if request.method == "GET":
            title = request.query_params.get("title")
            found = [photo["id"] for photo in self.photos.values() if title in (None, photo["title"])]
            return JSONResponse({"photos": found})
        self._note(request)
        async with request.form() as form:
            photo: Photo = {"id": f"p{len(self.writes)}", "more": []}
            for name, value in form.multi_items():
                kept = value if isinstance(value, str) else await _file(value)
                photo |= {"more": [*photo["more"], kept]} if name == "more" else {name: kept}
        self.photos[photo["id"]] = photo
        if self.loses_answers:  # of its gateway
            return Response(status_code=504)
        return JSONResponse({"id": photo["id"]}, 201)

    async def photo(self, request: Request) -> Response:
        """Remove a photo."""
        self._note(request)
        found = self.photos.pop(request.path_params["id"], None)
        return Response(status_code=404 if found is None else 204)

    async def picture(self, request: Request) -> Response:
        """Read the picture of a photo, or replace it."""
        photo = self.photos[request.path_params["id"]]
        if request.method == "PUT":
            self._note(request)
            photo["photo"] = (photo["photo"][0], request.headers["content-type"], await request.body())
        content = photo["photo"][2]
        sha256 = hashlib.sha256(content).hexdigest()
        return JSONResponse({"base64": base64.b64encode(content).decode(), "sha256": sha256})

    async def refuse(self, request: Request) -> Response:
        """Refuse, as the last call of a plan."""
        self._note(request)
        return JSONResponse({"error": "no paper"}, 422)

    def _note(self, request: Request) -> None:
        self.writes.append((request.method, request.url.path, request.headers.get("idempotency-key")))


async def _file(value: UploadFile) -> tuple[str | None, str | None, bytes]:
    return value.filename, value.content_type, await value.read()


@contextmanager
def album() -> Iterator[Album]:
    """Run the service."""
    kept = Album()
    routes = [
        Route("/photos", kept.photos_of, methods=["GET", "POST"]),
        Route("/photos/{id}", kept.photo, methods=["DELETE"]),
        Route("/photos/{id}/picture", kept.picture, methods=["GET", "PUT"]),
        Route("/print", kept.refuse, methods=["POST"]),
    ]
    server = uvicorn.Server(uvicorn.Config(Starlette(routes=routes), log_level="critical", lifespan="off"))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        kept.url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        thread = threading.Thread(target=lambda: asyncio.run(server.serve([listening])), daemon=True)
        thread.start()  # connections wait in the socket until it serves
        try:
            yield kept
        finally:
            server.should_exit = True
            thread.join(30)


def attaching(url: str, folder: Path) -> str:
    """Return an `airlock.toml` that attaches the service by its document."""
    document = folder / "album.json"
    document.write_text(json.dumps({"openapi": "3.1.0", "info": {"title": "Album", "version": "1"}, "paths": _PATHS}))
    section = f"[openapi.album]\ndocument = {str(document)!r}\nserver = {url!r}\n"
    return f"[catalogue]\nmodules = []\n{section}{ENTRIES}"
