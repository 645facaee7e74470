"""The parts of an answer that are no text: images, sounds, resources and links, as data of a bounded size."""

import base64
import binascii
import hashlib
from collections.abc import Iterable
from typing import Any

from mcp.types import AudioContent, BlobResourceContents, EmbeddedResource, ImageContent, ResourceLink, TextResourceContents
from pydantic import JsonValue

from airlock.base.text import shorten

MAX_PARTS = 50
"""Parts that an output describes; of the others it says how many there are."""
MAX_CONTENT = 4_000
"""Characters of a text in a resource that an output holds; a longer one is left out whole."""
_MAX_NAME = 2_000
"""Characters of a URI or of another name."""


def described(parts: Iterable[Any]) -> list[JsonValue]:
    """Return some parts without their contents: type, MIME type, size, SHA-256, URI. A short text is kept."""
    all_parts = list(parts)
    made: list[JsonValue] = [_described(part) for part in all_parts[:MAX_PARTS]]
    return [*made, {"type": "more", "count": len(all_parts) - MAX_PARTS}] if len(all_parts) > MAX_PARTS else made


def _described(part: Any) -> dict[str, JsonValue]:
    match part:
        case ImageContent() | AudioContent():
            return _made(part.type, part.mime_type, content=_decoded(part.data))
        case EmbeddedResource(resource=TextResourceContents() as found):
            text = found.text if len(found.text) <= MAX_CONTENT else None
            return _made(
                part.type, found.mime_type, uri=str(found.uri), content=found.text.encode(errors="replace"), text=text
            )
        case EmbeddedResource(resource=BlobResourceContents() as found):
            return _made(part.type, found.mime_type, uri=str(found.uri), content=_decoded(found.blob))
        case ResourceLink():
            # the size is the word of the server: nothing has come of it
            return _made(part.type, part.mime_type, uri=str(part.uri), name=part.name, size=part.size)
        case _:
            return _made(str(part.type), getattr(part, "mime_type", None), content=part.model_dump_json().encode())


def _made(kind: str, mime_type: str | None, content: bytes | None = None, **more: JsonValue) -> dict[str, JsonValue]:
    sized: dict[str, JsonValue] = {}
    if content is not None:
        sized = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    given: dict[str, JsonValue] = {"type": kind, "mime_type": mime_type, **sized, **more}
    return {key: _short(key, value) for key, value in given.items() if value is not None}


def _short(key: str, value: JsonValue) -> JsonValue:
    return shorten(value, _MAX_NAME) if isinstance(value, str) and key != "text" else value


def _decoded(data: str) -> bytes:
    try:
        return base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        return data.encode(errors="replace")
