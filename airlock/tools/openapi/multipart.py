"""Files in a request: their content, a multipart body, and what a preview says of both."""

import base64
import binascii
import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from airlock.base.errors import ToolFailed
from airlock.base.text import count, quoted
from airlock.tools.openapi.parts import BINARY, MAX_FILE_BYTES, MULTIPART, Part

_TOLD = 2
"""Files that a preview describes in words, with their digests; all of their content stands among the arguments."""
_LONGEST_NAME = 60

Piece = tuple[str, tuple[str | None, bytes, str]]
"""The name of a part, and its file name, content and media type, as the HTTP library takes them."""


def content_of_file(value: Mapping[str, Any], place: str) -> bytes:
    """Return the content of a file.

    Args:
        value: The argument, with `base64`.
        place: Its place among the arguments, for messages.

    Raises:
        ToolFailed: If it is no Base64, or larger than `MAX_FILE_BYTES`.
    """
    try:
        content = base64.b64decode(value["base64"], validate=True)
    except (KeyError, TypeError, ValueError, binascii.Error) as error:
        raise ToolFailed(f"{place}.base64 is no Base64 with padding and without line breaks") from error
    if len(content) > MAX_FILE_BYTES:
        raise ToolFailed(f"{place}.base64 holds {len(content):,} bytes, and {MAX_FILE_BYTES:,} are the most")
    return content


def multipart_of(body: Mapping[str, Any], parts: Mapping[str, Part]) -> tuple[bytes, str]:
    """Return a multipart body and its media type. The same arguments make the same bytes, on every attempt.

    Args:
        body: The argument.
        parts: The parts that are files or JSON, by place.

    Raises:
        ToolFailed: If a file cannot be read, or if there is nothing to send.
    """
    import httpx

    try:
        pieces = [piece for name, value in body.items() for piece in _pieces(name, value, parts.get(f"body.{name}"))]
    except UnicodeEncodeError as error:  # half a surrogate pair
        raise ToolFailed("body has a text that cannot be written as UTF-8") from error
    if not pieces:
        raise ToolFailed("body has no part to send: give one of its fields a value")
    # no content can hold a digest of itself, so that none can end its part
    seen = hashlib.sha256(repr(pieces).encode()).hexdigest()
    media = f"{MULTIPART}; boundary=airlock-{seen[:32]}"
    made = httpx.Request("POST", "http://localhost", files=pieces, headers={"Content-Type": media})
    return made.read(), media


def _pieces(name: str, value: Any, part: Part | None) -> Iterator[Piece]:
    if value is None:
        return
    if isinstance(value, list):
        for number, each in enumerate(value):
            yield name, _piece(f"body.{name}[{number}]", each, part)
    else:
        yield name, _piece(f"body.{name}", value, part)


def _piece(place: str, value: Any, part: Part | None) -> tuple[str | None, bytes, str]:
    if part is not None and part.file:
        return str(value["filename"]), content_of_file(value, place), _media_type(value, part)
    if part is not None or isinstance(value, Mapping | list):
        return None, _json(value).encode(), part.media if part is not None else "application/json"
    return None, (value if isinstance(value, str) else _json(value)).encode(), "text/plain; charset=utf-8"


def files_in_words(body: Any, parts: Mapping[str, Part], media: str) -> str:
    """Return the files of a call with media type, size and digest; empty if it has none.

    Args:
        body: The argument.
        parts: The parts that are files or JSON, by place.
        media: The media type of the body.

    Raises:
        ToolFailed: If a file cannot be read.
    """
    if not isinstance(body, Mapping):
        return ""
    told = [_in_words(place, value, part, media) for place, value, part in _files(body, parts)]
    more = [f"and {count(len(told) - _TOLD, 'more file')}"] if len(told) > _TOLD else []
    return "; ".join([*told[:_TOLD], *more])


def _files(body: Mapping[str, Any], parts: Mapping[str, Part]) -> Iterator[tuple[str, Mapping[str, Any], Part]]:
    for place, part in parts.items():
        value = body if place == "body" else body.get(place.removeprefix("body."))
        if not part.file or value is None:
            continue
        if isinstance(value, list):
            yield from ((f"{place}[{number}]", each, part) for number, each in enumerate(value))
        else:
            yield place, value, part


def _in_words(place: str, value: Mapping[str, Any], part: Part, media: str) -> str:
    content = content_of_file(value, place)
    named = [quoted(str(value["filename"]), _LONGEST_NAME)] if "filename" in value else []
    kind = media if place == "body" else _media_type(value, part)
    about = [*named, kind, f"{len(content):,} bytes", f"SHA-256 {hashlib.sha256(content).hexdigest()}"]
    return f"{place}: {', '.join(about)}"


def _media_type(value: Mapping[str, Any], part: Part) -> str:
    return part.media or str(value.get("media_type") or BINARY)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
