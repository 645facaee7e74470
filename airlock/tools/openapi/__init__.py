"""`openapi_tools`: a tool for each operation of an OpenAPI 3 document, in one line of an operator's own module.

from airlock.tools.openapi import openapi_tools

TOOLS = openapi_tools("billing.json", name="billing", rated={
    "openAccount": {"risk": "MEDIUM", "reversibility": "reversible", "undo_url": "https://billing.test/accounts/{id}"},
})
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from airlock.base.errors import ContractError
from airlock.base.likely import likely_fix
from airlock.base.text import shorten
from airlock.base.visible import visible
from airlock.plans.tool import Tool
from airlock.tools.http_routes import http_tool
from airlock.tools.openapi.document import Asked, asked_of, operations, whole_document
from airlock.tools.openapi.servers import first_server, own_server
from airlock.tools.web import READ_METHODS

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
        document: The document, or the path of a file with it, in JSON or YAML.
        name: The first part of the tools' names.
        url: The address before the paths; unless given, that of the first server in the document.
        rated: The operator's rating by operationId: any argument of `http_tool`, such as `risk` or `undo_url`.
        secret_headers: Names of secrets by the header that carries them, for every operation.

    Raises:
        ContractError: If the document, an operation or a rating cannot be used; the message names it.
    """
    found = whole_document(document)
    base = (url or first_server(found)).rstrip("/")
    ratings = dict(rated or {})
    tools = []
    for path, method, operation in operations(found):
        operation_id = operation["operationId"]
        given = {**(_READS if method.upper() in READ_METHODS else _WRITES), **ratings.pop(operation_id, {})}
        said = str(operation.get("summary") or operation.get("description") or "").strip().split("\n")[0]
        if not _NAME.fullmatch(operation_id):
            raise ContractError(f"operation {visible(operation_id)!r}: a name has ASCII letters, digits, _ . / and - only")
        try:
            if url is None and (own := own_server(operation)):
                raise ContractError(f"it has a server of its own, {own}: give `url`")
            arguments = _plain(asked_of(found, path, operation, {header.lower() for header in secret_headers or {}}))
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


def _plain(asked: Asked) -> dict[str, Any]:
    """Return the schema of what `http_tool` can send: no headers, no cookies, JSON, and every value in its usual style."""
    parts = dict(asked.schema["properties"])
    for name in ("headers", "cookies"):
        if needed := parts.pop(name, {}).get("required"):
            raise ContractError(f"it needs the {name.removesuffix('s')} {needed[0]!r}, which only secret_headers can give")
    if asked.media:
        raise ContractError(f"its body is {asked.media}, and only JSON can be sent here: use a section [openapi.<name>]")
    if unusual := [place for place in asked.writings if not place.startswith(("header.", "cookie."))]:
        raise ContractError(f"{unusual[0]} has a style that only a section [openapi.<name>] can send")
    return {**asked.schema, "properties": parts}
