"""The parts of a multipart body, and binary bodies: which of them are files, and the schema of the argument for a file."""

import re
from collections.abc import Mapping
from typing import Any

from pydantic import Field

from airlock.base.errors import ContractError
from airlock.base.model import FileModel, is_empty
from airlock.tools.openapi.parameters import is_json
from airlock.tools.openapi.schemas import SchemaOf

MULTIPART = "multipart/form-data"
BINARY = "application/octet-stream"
MAX_FILE_BYTES = 46_080
"""The size of a file. Its Base64 leaves room in the 65,536 bytes of an argument that an approver can read."""
_BASE64 = "^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$"
_FILENAME = r'^[^\x00-\x1f\x7f"\\/]{1,200}$'
_SUBTYPE = r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}"
_MEDIA = re.compile(rf"{_SUBTYPE}/{_SUBTYPE}")
_KIND = re.compile(rf"({_SUBTYPE})/\*")


class Part(FileModel):
    """A part of a body that is a file, or is always written as JSON."""

    file: bool = Field(default=False, exclude_if=is_empty)
    """True for a file: its value is `{base64, filename, media_type}`, of a whole body `{base64}`."""
    media: str = Field(default="", exclude_if=is_empty)
    """The media type, if the document names one; else a file says its own."""


def is_multipart(media: str) -> bool:
    """Return True for the media type of forms with files."""
    return _plain(media) == MULTIPART


def is_binary(media: str, found: Any) -> bool:
    """Return True for a body that is the content of one file.

    Args:
        media: The media type.
        found: The media type object of the document.
    """
    schema = found.get("schema") if isinstance(found, Mapping) else None
    kind = _plain(media)
    if not _MEDIA.fullmatch(kind) or kind.startswith("multipart/"):
        return False
    return _says_binary(schema) or (kind == BINARY and schema in (None, True, {}, {"type": "string"}))


def binary_body() -> tuple[dict[str, Any], dict[str, Part]]:
    """Return the schema of a body that is the content of one file, and its part."""
    return _file_schema(named=False), {"body": Part(file=True)}


def multipart_body(found: Mapping[str, Any], schemas: SchemaOf) -> tuple[dict[str, Any], dict[str, Part]]:
    """Return the schema of a multipart body, in which files are objects with `base64`, and its parts by place.

    Args:
        found: The media type object of the document.
        schemas: The schemas of the operation.

    Raises:
        ContractError: If a part cannot be sent; the message names it.
    """
    schema = _behind(found.get("schema") or {}, schemas)
    properties = schema.get("properties")
    if not isinstance(properties, Mapping) or not properties:
        raise ContractError(f"its body is {MULTIPART}, and the document names none of its parts (properties)")
    if _holds_binary({key: part for key, part in schema.items() if key != "properties"}, schemas):
        raise ContractError(f"its body is {MULTIPART}, and a file stands outside of its properties")
    encodings, parts, made = found.get("encoding") or {}, {}, {}
    for name, given in properties.items():
        part = _behind(given, schemas)
        items = _behind(part.get("items") or {}, schemas) if part.get("type") == "array" else None
        one = part if items is None else items
        media = _media_of(name, encodings.get(name) or {}, one)
        if _is_file(media, one):
            file, fixed = _file_of(media)
            parts[f"body.{name}"] = Part(file=True, media=fixed)
            made[name] = _described(file if items is None else _list_of(file, part), part)
            continue
        if _holds_binary(given, schemas):
            raise ContractError(f"its part {name!r} holds a file inside of other values, and no part can be both")
        if media and not is_json(media) and _plain(media) != "text/plain":
            raise ContractError(f"its part {name!r} is {media}, and only files, JSON and plain text can be sent")
        if media and is_json(media):
            parts[f"body.{name}"] = Part(media=_plain(media))
        made[name] = given
    return schemas.converted({"minProperties": 1, **schema, "type": "object", "properties": made}), parts


def _behind(schema: Any, schemas: SchemaOf) -> Mapping[str, Any]:
    """Return a schema behind its reference, behind an `allOf` of one, and without the alternative `null`."""
    found = schemas.resolved(schema) if isinstance(schema, Mapping) else {}
    for key in ("allOf", "anyOf", "oneOf"):
        others = [each for each in found.get(key) or () if not (isinstance(each, Mapping) and each.get("type") == "null")]
        if len(others) == 1 and not found.keys() & {"type", "properties", "$ref"}:
            about = {name: value for name, value in found.items() if name in ("title", "description")}
            return {**_behind(others[0], schemas), **about}
    kinds = found.get("type")
    if isinstance(kinds, list) and len(rest := [kind for kind in kinds if kind != "null"]) == 1:
        return {**found, "type": rest[0]}
    return found


def _media_of(name: str, encoding: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    """Return the media type of a part, or several behind commas; empty if the document names none."""
    headers = encoding.get("headers") or {}
    if any(isinstance(each, Mapping) and each.get("required") for each in headers.values()):
        raise ContractError(f"its part {name!r} needs a header, which cannot be sent")
    said = str(schema.get("contentMediaType") or "")
    # a schema that calls its content binary leaves open of which kind it is
    return str(encoding.get("contentType") or ("" if _plain(said) == BINARY else said))


def _is_file(media: str, schema: Mapping[str, Any]) -> bool:
    if _says_binary(schema):
        return True
    # without a type, as 3.1 has it, only the media type says that a part is a file
    return "type" not in schema and bool(media) and not is_json(media) and not _plain(media).startswith("text/")


def _says_binary(schema: Any) -> bool:
    if not isinstance(schema, Mapping) or schema.get("type", "string") != "string" or "contentEncoding" in schema:
        return False
    kind = _plain(str(schema.get("contentMediaType") or ""))
    return schema.get("format") == "binary" or bool(kind and not is_json(kind) and not kind.startswith("text/"))


def _holds_binary(schema: Any, schemas: SchemaOf) -> bool:
    """Return True if a file stands anywhere in a schema or in what it refers to."""
    waiting, seen = [schema], set()
    while waiting:
        found = waiting.pop()
        if isinstance(found, list):
            waiting += found
        elif isinstance(found, Mapping):
            if found.get("format") == "binary":
                return True
            if isinstance(ref := found.get("$ref"), str) and ref not in seen:
                seen.add(ref)
                waiting.append(schemas.resolved(found))
            waiting += found.values()
    return False


def _file_of(media: str) -> tuple[dict[str, Any], str]:
    """Return the schema of a file, and its media type if the document leaves no choice."""
    kinds = [_plain(each) for each in media.split(",") if each.strip()]
    if not kinds or "*/*" in kinds:
        return _file_schema(media={"pattern": f"^{_SUBTYPE}/{_SUBTYPE}$", "default": BINARY}), ""
    if all(_MEDIA.fullmatch(kind) for kind in kinds):
        return (_file_schema(), kinds[0]) if len(kinds) == 1 else (_file_schema(media={"enum": kinds}), "")
    forms = [
        re.escape(kind) if not (any_of := _KIND.fullmatch(kind)) else f"{re.escape(any_of[1])}/{_SUBTYPE}" for kind in kinds
    ]
    return _file_schema(media={"pattern": f"^(?:{'|'.join(forms)})$"}), ""


def _file_schema(*, named: bool = True, media: Mapping[str, Any] | None = None) -> dict[str, Any]:
    properties: dict[str, Any] = {
        "base64": {
            "type": "string",
            "contentEncoding": "base64",
            "pattern": _BASE64,
            "maxLength": MAX_FILE_BYTES // 3 * 4,
            "description": f"the content in Base64 with padding and without line breaks, at most {MAX_FILE_BYTES:,} bytes",
        }
    }
    required = ["base64"]
    if named:
        properties["filename"] = {"type": "string", "pattern": _FILENAME, "description": "a name without a folder"}
        required.append("filename")
    if media is not None:
        properties["media_type"] = {"type": "string", **media}
        required += [] if "default" in media else ["media_type"]
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _list_of(file: dict[str, Any], part: Mapping[str, Any]) -> dict[str, Any]:
    limits = {key: part[key] for key in ("minItems", "maxItems") if key in part}
    return {"type": "array", "items": file, **limits}


def _described(schema: dict[str, Any], part: Mapping[str, Any]) -> dict[str, Any]:
    said = part.get("description")
    return {**schema, "description": said} if isinstance(said, str) else schema


def _plain(media: str) -> str:
    return media.partition(";")[0].strip().lower()
