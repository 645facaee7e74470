"""The body of a request: which of the media types of a document is sent, and how."""

import json
from collections.abc import Mapping
from typing import Any

from airlock.base.errors import ContractError
from airlock.tools.openapi.multipart import content_of_file, multipart_of
from airlock.tools.openapi.parameters import Writing, is_json, query_of, writing_of
from airlock.tools.openapi.parts import Part, binary_body, is_binary, is_multipart, multipart_body
from airlock.tools.openapi.schemas import SchemaOf

FORM = "application/x-www-form-urlencoded"
JSON = "application/json"


def media_of(content: Mapping[str, Any]) -> str:
    """Return the media type that is sent: JSON if there is one, else a form, a text, a form with files, or one file.

    Raises:
        ContractError: If there is none of these.
    """
    for fits in (is_json, _is_form, lambda kind: kind.lower().startswith("text/plain")):
        if found := next((kind for kind in content if fits(kind)), None):
            return str(found)
    if found := next((kind for kind in content if is_multipart(kind)), None):
        return found
    if found := next((kind for kind, each in content.items() if is_binary(kind, each)), None):
        return found
    raise ContractError(
        f"its body is {', '.join(content)}, and only JSON, forms, plain text, files in a form (multipart/form-data) and one "
        "file as the body (a string of format binary) can be sent"
    )


def sent_as(media: str) -> str:
    """Return the media type as a request names it; empty for plain JSON, which needs no word."""
    plain = media.partition(";")[0].strip().lower()
    return "" if plain in (JSON, "*/*") else plain


def body_of(media: str, found: Mapping[str, Any], schemas: SchemaOf) -> tuple[Any, dict[str, Part]]:
    """Return the schema of the argument `body`, and the parts of the body that are files or always JSON, by place.

    Args:
        media: The media type.
        found: The media type object of the document.
        schemas: The schemas of the operation.

    Raises:
        ContractError: If a part cannot be sent; the message names it.
    """
    if is_multipart(media):
        return multipart_body(found, schemas)
    known = is_json(media) or _is_form(media) or media.lower().startswith("text/plain")
    if not known and is_binary(media, found):
        return binary_body()
    return schemas.converted(found.get("schema", {})), {}


def fields_of(media: str, found: Mapping[str, Any], schema: Any) -> dict[str, Writing]:
    """Return how the fields of a form are written, where it is not the usual way.

    Args:
        media: The media type.
        found: The media type object of the document.
        schema: The schema of the body, behind its reference.
    """
    if not _is_form(media):
        return {}
    properties = schema.get("properties") if isinstance(schema, Mapping) else None
    encodings, made = found.get("encoding") or {}, {}
    for name, part in (properties or {}).items():
        encoding = encodings.get(name) or {}
        nested = isinstance(part, Mapping) and part.get("type") == "object"
        # without a style an object is written as JSON, a list as one field for each item
        writing = Writing(style="form", as_json=True) if nested and "style" not in encoding else None
        if found_writing := writing or writing_of("query", {"name": name, **encoding, "content": None}):
            made[f"body.{name}"] = found_writing
    return made


def content_of(
    body: Any, media: str, writings: Mapping[str, Writing], parts: Mapping[str, Part]
) -> tuple[str | bytes | None, str]:
    """Return what is sent as the body, and its media type.

    Args:
        body: The argument; None for no body.
        media: What `sent_as` says.
        writings: How the fields of a form are written.
        parts: The parts that are files or always JSON, by place.

    Raises:
        ToolFailed: If a file cannot be read.
    """
    if body is None:
        return None, ""
    if is_multipart(media):
        return multipart_of(body, parts)
    if "body" in parts:
        return content_of_file(body, "body"), media
    if _is_form(media):
        return query_of(body if isinstance(body, Mapping) else {}, writings, "body"), media
    if media.startswith("text/"):
        return (body if isinstance(body, str) else json.dumps(body)), f"{media}; charset=utf-8"
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")), media or JSON


def _is_form(media: str) -> bool:
    return media.partition(";")[0].strip().lower() == FORM
