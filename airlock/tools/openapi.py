"""`openapi_tools`: a tool for each operation of an OpenAPI 3 document, in one line of an operator's own module.

from airlock.tools.openapi import openapi_tools

TOOLS = openapi_tools("billing.json", name="billing", rated={
    "openAccount": {"risk": "MEDIUM", "reversibility": "reversible", "undo_url": "https://billing.test/accounts/{id}"},
})
"""

import re
from collections.abc import Container, Iterator, Mapping
from pathlib import Path
from typing import Any

from airlock.base.errors import ContractError
from airlock.base.json_text import JsonFault, parse_json
from airlock.base.likely import likely_fix
from airlock.base.text import shorten
from airlock.base.visible import visible
from airlock.plans.tool import Tool
from airlock.tools.http_routes import http_tool
from airlock.tools.openapi_schemas import SchemaOf
from airlock.tools.web import READ_METHODS

METHODS = ("get", "head", "options", "post", "put", "patch", "delete")
_JSON = re.compile(r"application/(?:[\w.+-]+\+)?json\b", re.IGNORECASE)
_NAME = re.compile(r"[A-Za-z0-9_./-]{1,128}")
_READS = {"risk": "LOW", "reversibility": "read_only"}
_WRITES = {"risk": "HIGH", "reversibility": "irreversible"}


def openapi_tools(
    document: Mapping[str, Any] | str | Path,
    *,
    name: str,
    url: str | None = None,
    rated: Mapping[str, Mapping[str, Any]] | None = None,
    secret_headers: Mapping[str, str] | None = None,
) -> list[Tool]:
    """Return a tool for each operation that has an `operationId`, named `<name>.<operationId>`.

    Its arguments are `params` (of the path), `query` and `body`, each with the schema of the document. Its output is that
    of `http_tool`, whose rules hold: the host must be in `settings.http.allow_hosts`. Without a rating, GET, HEAD and
    OPTIONS are LOW and read_only, as HTTP defines them (RFC 9110, 9.2.1); every other operation is HIGH and irreversible.

    Args:
        document: The document, or the path of a JSON file with it.
        name: The first part of the tools' names.
        url: The address before the paths; unless given, that of the first server in the document.
        rated: The operator's rating by operationId: any argument of `http_tool`, such as `risk` or `undo_url`.
        secret_headers: Names of secrets by the header that carries them, for every operation.

    Raises:
        ContractError: If the document, an operation or a rating cannot be used; the message names it.
    """
    found = _document(document)
    base = (url or _server(found)).rstrip("/")
    ratings = dict(rated or {})
    tools = []
    for path, method, operation in _operations(found):
        operation_id = operation["operationId"]
        given = {**(_READS if method.upper() in READ_METHODS else _WRITES), **ratings.pop(operation_id, {})}
        said = str(operation.get("summary") or operation.get("description") or "").strip().split("\n")[0]
        if not _NAME.fullmatch(operation_id):
            raise ContractError(f"operation {visible(operation_id)!r}: a name has ASCII letters, digits, _ . / and - only")
        try:
            arguments = _arguments(found, path, operation, secret_headers or {})
        except ContractError as error:
            raise ContractError(f"operation {operation_id!r}: {error}") from error
        tools.append(
            http_tool(
                **{"description": visible(shorten(said, 200)) or f"{method.upper()} {path}", **given},
                name=f"{name}.{operation_id}",
                method=method,
                url=f"{base}{path}",
                secret_headers=secret_headers,
                arguments=arguments,
            )
        )
    if unknown := next(iter(ratings), None):
        known = [tool.name.removeprefix(f"{name}.") for tool in tools]
        there = f"there are: {', '.join(known)}"
        raise ContractError(f"rated names {unknown!r}, which is no operation: {likely_fix(unknown, known, there)}")
    return tools


def _document(given: Mapping[str, Any] | str | Path) -> Mapping[str, Any]:
    found: Any = given
    if not isinstance(given, Mapping):
        try:
            found = parse_json(Path(given).read_bytes())
        except (OSError, JsonFault) as error:
            raise ContractError(f"{given}: {error}; convert a document in YAML to JSON first") from error
    version = found.get("openapi") if isinstance(found, Mapping) else None
    if not isinstance(version, str) or not re.fullmatch(r"3\.[01]\.\d+", version):
        raise ContractError(f"that is no OpenAPI document of version 3.0 or 3.1: openapi is {version!r}")
    return dict(found)


def _server(document: Mapping[str, Any]) -> str:
    servers = document.get("servers") or [{}]
    found = servers[0].get("url", "")
    if not found.startswith(("http://", "https://")) or "{" in found:
        raise ContractError(f"servers[0].url is {found!r}, which is no whole address: give `url`")
    return str(found)


def _operations(document: Mapping[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield the operations that have an id, each with the parameters of its path."""
    for path, item in document.get("paths", {}).items():
        for method in METHODS:
            operation = item.get(method)
            if isinstance(operation, Mapping) and operation.get("operationId"):
                shared = {_place(document, each): each for each in item.get("parameters", ())}
                own = {_place(document, each): each for each in operation.get("parameters", ())}
                yield path, method, {**operation, "parameters": list((shared | own).values())}


def _place(document: Mapping[str, Any], parameter: Mapping[str, Any]) -> tuple[Any, Any]:
    found = SchemaOf(document).resolved(parameter)
    return found.get("name"), found.get("in")


def _arguments(
    document: Mapping[str, Any], path: str, operation: Mapping[str, Any], given_headers: Mapping[str, str]
) -> dict[str, Any]:
    """Return the JSON Schema of an operation's arguments."""
    schemas = SchemaOf(document)
    parts = _parameters(schemas, operation, {header.lower() for header in given_headers})
    if missing := sorted(set(re.findall(r"\{([^{}]+)\}", path)) ^ set(parts["path"]["properties"])):
        raise ContractError(f"the path {path!r} and its parameters do not fit: {missing[0]!r}")
    properties = {key: parts[where] for where, key in (("path", "params"), ("query", "query")) if parts[where]["properties"]}
    required = [key for key, part in properties.items() if part["required"]]
    body = schemas.resolved(operation.get("requestBody", {}))
    if content := body.get("content"):
        media = next((kind for kind in content if _JSON.match(kind)), None)
        if media is None:
            raise ContractError(f"its body is {', '.join(content)}, and only JSON can be sent")
        properties["body"] = schemas.converted(content[media].get("schema", {}))
        required += ["body"] if body.get("required") else []
    return {**_object(properties, required), **schemas.definitions()}


def _parameters(schemas: SchemaOf, operation: Mapping[str, Any], given: Container[str]) -> dict[str, dict[str, Any]]:
    """Return the schemas of the parameters in the path and in the query."""
    parts = {"path": _object({}, []), "query": _object({}, [])}
    for each in operation["parameters"]:
        parameter = schemas.resolved(each)
        where, name = parameter.get("in"), parameter.get("name")
        if where in ("header", "cookie"):
            if parameter.get("required") and str(name).lower() not in given:
                raise ContractError(f"it needs the {where} {name!r}, which only secret_headers can give")
        elif where in parts and isinstance(name, str):
            parts[where]["properties"][name] = schemas.converted(parameter.get("schema", {}))
            if parameter.get("required") or where == "path":
                parts[where]["required"].append(name)
        else:
            raise ContractError(f"a parameter is in {where!r}, not in path, query, header or cookie")
    return parts


def _object(properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
