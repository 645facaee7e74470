"""The sections `[openapi.<name>]` of `airlock.toml`: HTTP services described by a document, as the operator rates them."""

import re

from pydantic import Field, field_validator, model_validator

from airlock.admission.configuration.tool_entries import Given, SecretName, ToolEntry
from airlock.admission.configuration.web_address import HTTP, address_problem
from airlock.base.model import FileModel

_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,200}")
_RESERVED = ("host", "content-length", "transfer-encoding", "connection", "idempotency-key")


class OpenApiService(FileModel):
    """One HTTP service whose operations are tools."""

    document: str = Field(min_length=1)
    """An OpenAPI document of version 3, as JSON or YAML: a file, relative to the working directory, or its URL."""
    server: str | None = None
    """The address before the paths of the document; without it, that of the first server in the document."""
    variables: dict[str, str] = Field(default_factory=dict)
    """Values for variables of that first server; the others have the defaults of the document."""
    headers: dict[str, Given] = Field(default_factory=dict)
    """Headers that every request carries."""
    security: dict[str, SecretName] = Field(default_factory=dict)
    """The secret for a security scheme of the document, by its name: a key, a token, or `user:password`."""
    only: tuple[str, ...] = ()
    """The operationIds that are offered; without it, all. The others are not part of any pin."""
    tools: dict[str, ToolEntry] = Field(default_factory=dict)
    """The operator's word about an operation, by its operationId."""

    @field_validator("server")
    @classmethod
    def _whole(cls, value: str | None) -> str | None:
        if value is not None and (problem := address_problem(value, HTTP)):
            raise ValueError(problem)
        return value

    @field_validator("document")
    @classmethod
    def _somewhere(cls, value: str) -> str:
        if "://" in value and (problem := address_problem(value, HTTP)):
            raise ValueError(problem)
        return value

    @field_validator("headers")
    @classmethod
    def _free(cls, value: dict[str, Given]) -> dict[str, Given]:
        if wrong := [name for name in value if not _HEADER.fullmatch(name) or name.lower() in _RESERVED]:
            raise ValueError(f"{wrong[0]!r} is no header, or one that Airlock sets itself: remove it")
        return value

    @model_validator(mode="after")
    def _one_server(self) -> "OpenApiService":
        if self.server is not None and self.variables:
            raise ValueError("variables are for the server of the document: remove them, or server")
        return self

    @property
    def secrets(self) -> tuple[str, ...]:
        """The names of the secrets that requests carry, sorted."""
        given = (*self.headers.values(), *self.security.values())
        return tuple(sorted({each.name for each in given if isinstance(each, SecretName)}))
