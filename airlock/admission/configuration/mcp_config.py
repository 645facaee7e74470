"""The sections `[mcp.<server>]` of `airlock.toml`: MCP servers whose tools the worker offers, as the operator rates them."""

from typing import Literal

from pydantic import Field, model_validator

from airlock.admission.configuration.tool_entries import Given, SecretName, ToolEntry
from airlock.admission.configuration.web_address import HTTP, address_problem
from airlock.base.model import FileModel


class McpTool(ToolEntry):
    """The operator's word about one tool of an MCP server.

    Without an entry, a tool is HIGH, irreversible, needs approval, and is not called before it is approved.
    """

    errors: Literal["no_effect", "in_doubt"] | None = None
    """The meaning of an answer that is an error. Without it: that of the server."""


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
    connect_timeout: float = Field(default=30.0, gt=0, le=300, strict=True, allow_inf_nan=False)
    """Seconds until the server must have told its tools."""
    errors: Literal["no_effect", "in_doubt"] = "in_doubt"
    """The meaning of an error that a tool which writes answers: the server may have acted before it failed."""
    tools: dict[str, McpTool] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_way(self) -> "McpServer":
        if (self.command is None) == (self.url is None):
            raise ValueError("a server has either a command or a url")
        if self.url is not None and (problem := address_problem(self.url, HTTP)):
            raise ValueError(f"url {problem}")
        if self.command is not None and not self.command.strip():
            raise ValueError("command is empty: name a program")
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
