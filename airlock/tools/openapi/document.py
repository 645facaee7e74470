"""The parts of an OpenAPI 3 document: its operations, and the arguments and answers of each."""

import re
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from airlock.base.errors import ContractError
from airlock.base.json_text import JsonFault, parse_json
from airlock.tools.openapi.bodies import body_of, fields_of, media_of, sent_as
from airlock.tools.openapi.parameters import Writing, is_json, writing_of
from airlock.tools.openapi.parts import Part
from airlock.tools.openapi.schemas import SchemaOf
from airlock.tools.openapi.yaml_text import parse_yaml

METHODS = ("get", "head", "options", "post", "put", "patch", "delete")
_ARGUMENTS = {"path": "params", "query": "query", "header": "headers", "cookie": "cookies"}
"""The argument that holds the parameters of each place."""
_NOT_THE_AGENTS = (
    "accept", "content-type", "authorization", "cookie", "idempotency-key", "host", "content-length", "transfer-encoding",
    "connection", "upgrade", "te", "trailer", "expect", "x-http-method", "x-http-method-override", "x-method-override",
)  # fmt: skip
"""Headers that no argument sets: Airlock or the operator does, or they would make another call of this one."""


def whole_document(given: Mapping[str, Any] | str | Path | bytes, named: str = "") -> Mapping[str, Any]:
    """Return an OpenAPI document.

    Args:
        given: The document, its JSON or YAML, or the path of a file.
        named: The place that JSON or YAML comes from, for messages.

    Raises:
        ContractError: If it cannot be read, or is none of version 3.
    """
    found: Any = given
    if not isinstance(given, Mapping):
        where = named or str(given)
        try:
            data = given if isinstance(given, bytes) else Path(given).read_bytes()
            found = parse_yaml(data) if is_yaml(where, data) else parse_json(data)
        except (OSError, JsonFault, ContractError) as error:
            raise ContractError(f"{where}: {error}") from error
    version = found.get("openapi") if isinstance(found, Mapping) else None
    if not isinstance(version, str) or not re.fullmatch(r"3\.[0-2]\.\d+(-[\w.]+)?", version):
        old = isinstance(found, Mapping) and found.get("swagger") is not None
        said = f"swagger is {found['swagger']!r}: convert it to OpenAPI 3 first" if old else f"openapi is {version!r}"
        raise ContractError(f"that is no OpenAPI document of version 3.0, 3.1 or 3.2: {said}")
    return dict(found)


def is_yaml(named: str, data: bytes) -> bool:
    """Return True for a text that is read as YAML: by its name, else by its first character."""
    name = named.lower().partition("?")[0]
    return name.endswith((".yaml", ".yml")) or (
        not name.endswith(".json") and data.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] != b"{"
    )


def operations(document: Mapping[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield the operations, each with its id and with the parameters and servers of its path.

    One without an id is named by its method and its path: `get_accounts_id`.
    """
    schemas = SchemaOf(document)
    for path, item in document.get("paths", {}).items():
        whole = schemas.resolved(item)
        for method in METHODS:
            operation = whole.get(method)
            if isinstance(operation, Mapping):
                shared = {_place(schemas, each): each for each in whole.get("parameters", ())}
                own = {_place(schemas, each): each for each in operation.get("parameters", ())}
                named = operation.get("operationId") or _named(method, path)
                found = {"servers": whole.get("servers"), **operation, "operationId": named}
                yield path, method, {**found, "parameters": list((shared | own).values())}


def _named(method: str, path: str) -> str:
    return "_".join([method, *re.findall(r"[A-Za-z0-9]+", path)])[:128]


def _place(schemas: SchemaOf, parameter: Mapping[str, Any]) -> tuple[Any, Any]:
    found = schemas.resolved(parameter)
    return found.get("name"), found.get("in")


@dataclass(frozen=True)
class Asked:
    """The input of an operation: the schema of its arguments, and how they are written into a request."""

    schema: dict[str, Any]
    """The JSON Schema of `params` (of the path), `query`, `headers`, `cookies` and `body`."""
    writings: dict[str, Writing] = field(default_factory=dict)
    """The way in which a value is written, by place and name, where it is not the usual one."""
    media: str = ""
    """The media type of the body, unless it is JSON."""
    parts: dict[str, Part] = field(default_factory=dict)
    """The parts of the body that are files, or always JSON, by place."""


def asked_of(document: Mapping[str, Any], path: str, operation: Mapping[str, Any], given: Container[str]) -> Asked:
    """Return what an operation takes.

    Args:
        document: The document.
        path: The path of the operation.
        operation: The operation, as `operations` yields it.
        given: The headers that the operator gives, in lower case.

    Raises:
        ContractError: If it cannot be given, such as a header that no argument may set.
    """
    schemas = SchemaOf(document)
    parts: dict[str, dict[str, Any]] = {where: _object({}, []) for where in _ARGUMENTS}
    writings: dict[str, Writing] = {}
    for each in operation["parameters"]:
        parameter = schemas.resolved(each)
        where, name = parameter.get("in"), parameter.get("name")
        if where not in parts or not isinstance(name, str):
            raise ContractError(f"a parameter is in {where!r}, not in path, query, header or cookie")
        if where == "header" and not _is_the_agents(parameter, name, given):
            continue
        parts[where]["properties"][name] = schemas.converted(_schema_of(parameter))
        if parameter.get("required") or where == "path":
            parts[where]["required"].append(name)
        if writing := writing_of(where, parameter):
            writings[f"{where}.{name}"] = writing
    if missing := sorted(set(re.findall(r"\{([^{}]+)\}", path)) ^ set(parts["path"]["properties"])):
        raise ContractError(f"the path {path!r} and its parameters do not fit: {missing[0]!r}")
    properties = {_ARGUMENTS[where]: part for where, part in parts.items() if part["properties"]}
    required = [name for name, part in properties.items() if part["required"]]
    body = schemas.resolved(operation.get("requestBody") or {})
    media = ""
    parts_of_body: dict[str, Part] = {}
    if content := body.get("content"):
        media = media_of(content)
        schema = content[media].get("schema", {})
        properties["body"], parts_of_body = body_of(media, content[media], schemas)
        required += ["body"] if body.get("required") else []
        writings |= fields_of(media, content[media], schemas.resolved(schema) if isinstance(schema, Mapping) else {})
    return Asked({**_object(properties, required), **schemas.definitions()}, writings, sent_as(media), parts_of_body)


def _is_the_agents(parameter: Mapping[str, Any], name: str, given: Container[str]) -> bool:
    """Return True for a header that an argument may set; one that the operator gives is none."""
    if name.lower() in given:
        return False
    if name.lower() not in _NOT_THE_AGENTS:
        return True
    if parameter.get("required") and name.lower() not in ("accept", "content-type", "idempotency-key"):
        raise ContractError(f"it needs the header {name!r}, which only the operator can give")
    return False


def _schema_of(parameter: Mapping[str, Any]) -> Any:
    content = parameter.get("content")
    if isinstance(content, Mapping) and content:
        return next((content[kind].get("schema", {}) for kind in content if is_json(kind)), {})
    return parameter.get("schema", {})


def _object(properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def answer_schema(document: Mapping[str, Any], operation: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the JSON Schema of a call's output, `{status, headers, body}`; None if the document does not say the body's.

    Raises:
        ContractError: If a `$ref` leads nowhere.
    """
    schemas = SchemaOf(document, answers=True)
    responses = operation.get("responses")
    found = responses if isinstance(responses, Mapping) else {}
    bodies = []
    for status, response in sorted(found.items()):
        if str(status).startswith("2") and isinstance(response, Mapping):
            content = schemas.resolved(response).get("content") or {}
            media = next((kind for kind in content if is_json(kind)), None)
            bodies += [] if media is None else [schemas.converted(content[media].get("schema", {}))]
    if len(bodies) != 1 or not bodies[0]:
        return None
    kept = {"status": {"type": "integer"}, "headers": {"type": "object"}, "body": bodies[0], "note": {"type": "string"}}
    return {**_object(kept, ["status", "headers", "body"]), **schemas.definitions()}
