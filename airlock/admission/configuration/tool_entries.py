"""The operator's entries for tools that another system describes: MCP servers and OpenAPI documents."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field

from airlock.base.model import FileModel, is_empty

SYSTEM_NAME = re.compile(r"[a-z][a-z0-9_-]{0,39}")
"""The name of a system with tools, which are `<name>.<tool>`: in ASCII, so that no name imitates another one."""


class SecretName(FileModel):
    """The place of a secret, written as in a plan: `{ "$secret" = "name" }`."""

    model_config = ConfigDict(populate_by_name=True)

    name: str = Field(alias="$secret", min_length=1)
    """The worker finds it in `AIRLOCK_SECRET_<NAME>`, or in a file of `AIRLOCK_SECRETS_DIR`."""


def _text_or_secret(value: object) -> object:
    # before the union: of a value that is neither, it tells what is wrong with each of its parts
    if isinstance(value, str | SecretName):
        return value
    if isinstance(value, Mapping) and len(value) == 1 and isinstance(value.get("$secret", value.get("name")), str):
        return value
    raise ValueError('is neither a text in quotes nor a secret by its name: { "$secret" = "NAME" }')


Given = Annotated[str | SecretName, BeforeValidator(_text_or_secret)]


class Mapped(FileModel):
    """A call of a tool of the same system, with arguments that a JMESPath expression makes."""

    tool: str
    """The name that the system gives it."""
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


def _way_of_dry_run(value: object) -> object:
    keys = {"tool": Mapped.model_fields, "argument": SelfPreview.model_fields}
    if not isinstance(value, Mapping):
        known = value is None or isinstance(value, Mapped | SelfPreview) or value in ("none", "validate", "read")
    else:
        known = any(name in value and value.keys() <= fields.keys() for name, fields in keys.items())
    if not known:
        raise ValueError('must be "none", "validate", "read", { tool, args } or { argument, value }')
    return value


class Failing(FileModel):
    """The answers that say that a call failed, though nothing marks them as errors."""

    when: str
    """JMESPath over `args` and `answer`: true for such an answer."""
    no_effect: bool = False
    """True if a call that is answered so has done nothing; without it, it means what an error of the tool means."""


def _as_failing(value: object) -> object:
    return {"when": value} if isinstance(value, str) else value


def _one_or_more(value: object) -> object:
    return [value] if isinstance(value, Mapping) else value


class ToolEntry(FileModel):
    """The operator's word about one tool. Every key that is not named here is one of its contract.

    Without an entry, a tool is HIGH, irreversible, needs approval, and is not called before it is approved.
    """

    model_config = ConfigDict(extra="allow")

    mock: str | None = None
    """JMESPath over `args`: the answer of the mock. Without it, everything about the answer is unknown until it is live."""
    dry_run: Annotated[
        Literal["none", "validate", "read"] | Mapped | SelfPreview | None, BeforeValidator(_way_of_dry_run)
    ] = None
    """`read` calls the tool itself, which only reads. Without it: `read` for read_only tools, else `validate`."""
    observe: Observing | None = None
    compensate: Annotated[tuple[Compensating, ...], BeforeValidator(_one_or_more)] = ()
    probe: Probing | None = None
    failed: Annotated[Failing | None, BeforeValidator(_as_failing)] = Field(default=None, exclude_if=is_empty)

    @property
    def promises(self) -> dict[str, Any]:
        """The keys of the contract that the operator has written."""
        return dict(self.model_extra or {})
