"""The sections `[mcp.<server>]` of `airlock.toml`: MCP servers whose tools the worker offers, as the operator rates them."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, model_validator

from airlock.base.model import FileModel

SERVER_NAME = re.compile(r"[a-z][a-z0-9_-]{0,39}")
"""The name of a server. Its tools are `<server>.<tool>`: in ASCII, so that no name imitates another one."""


class SecretName(FileModel):
    """The place of a secret, written as in a plan: `{ "$secret" = "name" }`."""

    model_config = ConfigDict(populate_by_name=True)

    name: str = Field(alias="$secret", min_length=1)
    """The worker finds it in `AIRLOCK_SECRET_<NAME>`, or in a file of `AIRLOCK_SECRETS_DIR`."""


Given = str | SecretName


class Mapped(FileModel):
    """A call of a tool of the same server, with arguments that a JMESPath expression makes."""

    tool: str
    """The name that the server gives it."""
    args: str = "args"
    """JMESPath over `args`, for compensations and probes also `before` and `output`. What is null in it is left out."""


class Observing(Mapped):
    """The state that a call depends on, read by a tool that changes nothing."""

    state: str = "@"
    """JMESPath over the answer: the part of it that must not change between preview and call."""
    absent: str | None = None
    """A text in an error of this tool which says that there is nothing: the state is null then."""


class Compensating(Mapped):
    """The call that undoes another one."""

    when: str | None = None
    """JMESPath over `args` and `before`: the first entry whose answer is true is made; without it, always."""


class Probing(Mapped):
    """The read that tells whether a call in doubt took effect."""

    happened: str
    """JMESPath over `args`, `before` and `answer`: true, false, or null if it cannot be told."""


class SelfPreview(FileModel):
    """An argument that makes a tool tell what it would do, and do nothing."""

    argument: str
    value: Any = True


def _one_or_more(value: object) -> object:
    return [value] if isinstance(value, Mapping) else value


class McpTool(FileModel):
    """The operator's word about one tool. Every key that is not named here is one of its contract.

    Without an entry, a tool is HIGH, irreversible, needs approval, and is not called before it is approved.
    """

    model_config = ConfigDict(extra="allow")

    mock: str | None = None
    """JMESPath over `args`: the answer of the mock. Without it, everything about the answer is unknown until it is live."""
    dry_run: Literal["none", "validate", "read"] | Mapped | SelfPreview | None = None
    """`read` calls the tool itself, which only reads. Without it: `read` for read_only tools, else `validate`."""
    observe: Observing | None = None
    compensate: Annotated[tuple[Compensating, ...], BeforeValidator(_one_or_more)] = ()
    probe: Probing | None = None
    errors: Literal["no_effect", "in_doubt"] | None = None
    """The meaning of an answer that is an error. Without it: that of the server."""

    @property
    def promises(self) -> dict[str, Any]:
        """The keys of the contract that the operator has written."""
        return dict(self.model_extra or {})


class McpServer(FileModel):
    """One server: a command that speaks MCP on its standard input and output, or a URL that speaks streamable HTTP."""

    command: str | None = None
    args: tuple[str, ...] = ()
    env: dict[str, Given] = Field(default_factory=dict)
    """All of the environment that a command gets beside HOME, LOGNAME, PATH, SHELL, TERM and USER."""
    cwd: str | None = None
    url: str | None = None
    headers: dict[str, Given] = Field(default_factory=dict)
    roles: tuple[Literal["rehearse", "live"], ...] = ("rehearse", "live")
    """The roles of workers that may start the server, or connect to it. All but these read `definitions`."""
    definitions: str | None = None
    """A file with the definitions of its tools, made by `airlock tools import`; relative to the working directory.

    Without it, every program that loads the catalogue asks the server.
    """
    connect_timeout: float = Field(default=30.0, gt=0, le=300)
    """Seconds until the server must have told its tools."""
    errors: Literal["no_effect", "in_doubt"] = "in_doubt"
    """The meaning of an error that a tool which writes answers: the server may have acted before it failed."""
    tools: dict[str, McpTool] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_way(self) -> "McpServer":
        if (self.command is None) == (self.url is None):
            raise ValueError("a server has either a command or a url")
        if self.url is None and self.headers:
            raise ValueError("headers are for a url: a command gets secrets by env")
        if self.command is None and (self.args or self.env or self.cwd):
            raise ValueError("args, env and cwd are for a command: a url gets secrets by headers")
        if "live" not in self.roles:
            raise ValueError('roles must hold "live": its tools could never be called')
        if "rehearse" not in self.roles and self.definitions is None:
            raise ValueError("definitions must name a file if not every role may start the server: airlock tools import")
        return self

    @property
    def secrets(self) -> tuple[str, ...]:
        """The names of the secrets that the server is given, sorted."""
        given = (*self.env.values(), *self.headers.values())
        return tuple(sorted({each.name for each in given if isinstance(each, SecretName)}))
