"""The credentials that operations need: the security schemes of a document, filled with secrets of the operator."""

import base64
from collections.abc import Mapping
from typing import Any, Literal

from airlock.base.errors import ContractError
from airlock.base.likely import likely_fix
from airlock.base.model import FileModel


class Credential(FileModel):
    """The place of one secret in a request."""

    scheme: str
    """Its name in the document."""
    place: Literal["header", "query", "cookie"]
    name: str
    """The name of the header, of the parameter of the query, or of the cookie."""
    form: Literal["plain", "bearer", "basic"] = "plain"

    def written(self, secret: str) -> str:
        """Return the value that is sent. The secret of `basic` is `user:password`."""
        if self.form == "bearer":
            return f"Bearer {secret}"
        return f"Basic {base64.b64encode(secret.encode()).decode()}" if self.form == "basic" else secret


def given_credentials(document: Mapping[str, Any], names: Mapping[str, Any]) -> dict[str, Credential]:
    """Return the credentials for the schemes that the operator has given a secret.

    Raises:
        ContractError: If a scheme is not in the document, or of a kind that is no single secret.
    """
    components = document.get("components")
    schemes = components.get("securitySchemes") if isinstance(components, Mapping) else None
    known = schemes if isinstance(schemes, Mapping) else {}
    return {name: _credential(name, known) for name in names}


def _credential(name: str, known: Mapping[str, Any]) -> Credential:
    scheme = known.get(name)
    if not isinstance(scheme, Mapping):
        there = likely_fix(name, known, f"there are: {', '.join(known) or 'none'}")
        raise ContractError(f"security names {name!r}, which is no security scheme of the document: {there}")
    kind, way = scheme.get("type"), str(scheme.get("scheme", "")).lower()
    if kind == "apiKey" and scheme.get("in") in ("header", "query", "cookie") and isinstance(scheme.get("name"), str):
        return Credential(scheme=name, place=scheme["in"], name=scheme["name"])
    if kind in ("oauth2", "openIdConnect") or (kind == "http" and way == "bearer"):
        return Credential(scheme=name, place="header", name="Authorization", form="bearer")
    if kind == "http" and way == "basic":
        return Credential(scheme=name, place="header", name="Authorization", form="basic")
    raise ContractError(f"the security scheme {name!r} is of a kind that needs more than a secret: {kind} {way}".rstrip())


def needed(document: Mapping[str, Any], operation: Mapping[str, Any]) -> tuple[tuple[str, ...], ...]:
    """Return the alternatives of an operation, each with the names of the schemes that it needs together."""
    asked = operation.get("security", document.get("security"))
    alternatives = asked if isinstance(asked, list) else []
    return tuple(tuple(each) for each in alternatives if isinstance(each, Mapping))


def chosen(alternatives: tuple[tuple[str, ...], ...], given: Mapping[str, Credential]) -> tuple[Credential, ...]:
    """Return the credentials of the first alternative that needs any and has all; none if there is no such alternative.

    An operation that asks for none gets none: a secret goes no further than it must.
    """
    fitting = next((each for each in alternatives if each and all(name in given for name in each)), ())
    return tuple(given[name] for name in fitting)
