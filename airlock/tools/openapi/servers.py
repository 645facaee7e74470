"""The address before the paths of a document."""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urljoin

from airlock.base.errors import ContractError

_VARIABLE = re.compile(r"\{([^{}]+)\}")


def first_server(
    document: Mapping[str, Any], variables: Mapping[str, str] | None = None, came_from: str = "", give: str = "url"
) -> str:
    """Return the address of the first server in a document.

    Args:
        document: The document.
        variables: Values for variables of the server; the others have their defaults.
        came_from: The URL of the document, if it has one: an address may be relative to it.
        give: The name of what an operator gives instead, for messages.

    Raises:
        ContractError: If it is no whole address, or has no such variable or value.
    """
    servers = document.get("servers") or [{}]
    server = servers[0] if isinstance(servers, list) and isinstance(servers[0], Mapping) else {}
    written = str(server.get("url", "")) or ("/" if came_from else "")
    found = _filled(written, server.get("variables") or {}, variables or {})
    if came_from.startswith(("http://", "https://")):
        found = urljoin(came_from, found)
    if not found.startswith(("http://", "https://")) or "{" in found:
        raise ContractError(f"servers[0].url is {written!r}, which is no whole address: give `{give}`")
    return found


def _filled(url: str, known: Mapping[str, Any], given: Mapping[str, str]) -> str:
    if unknown := sorted(given.keys() - set(_VARIABLE.findall(url))):
        raise ContractError(f"servers[0].url is {url!r}, which has no variable {unknown[0]!r}")

    def value_of(match: re.Match[str]) -> str:
        variable = known.get(match[1])
        about = variable if isinstance(variable, Mapping) else {}
        value = given.get(match[1], about.get("default"))
        allowed = about.get("enum")
        if isinstance(allowed, list) and value is not None and value not in allowed:
            raise ContractError(f"the variable {match[1]!r} of the server is one of {', '.join(map(str, allowed))}")
        return match[0] if value is None else str(value)

    return _VARIABLE.sub(value_of, url)


def own_server(operation: Mapping[str, Any]) -> str:
    """Return the server that an operation, or its path, has for itself; empty if it has none."""
    servers = operation.get("servers")
    first = servers[0] if isinstance(servers, list) and servers else None
    return str(first.get("url", "")) if isinstance(first, Mapping) else ""
