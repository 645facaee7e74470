"""The common parts of the built-in tools: arguments, settings and outputs."""

import re
import unicodedata
from collections.abc import Iterable, Mapping
from email.errors import HeaderParseError
from email.headerregistry import Address
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, JsonValue, ValidationError

from airlock.base.errors import ToolFailed
from airlock.plans.refs import UNKNOWN
from airlock.plans.tool_call import ToolCall


class Arguments(BaseModel):
    """The arguments of a tool: an undeclared argument is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def frozen_description(text: str) -> ConfigDict:
    """Keep the description that the JSON Schema of some arguments had when it was first released.

    The schema's digest is part of the contract. With another description, a new worker would refuse the calls of plans that
    were approved before.
    """
    return ConfigDict(json_schema_extra={"description": text})


class Settings(BaseModel):
    """One section `[settings.<section>]` of `airlock.toml`: a misspelt key is an error, every default is harmless."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _split(value: object) -> object:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


Texts = Annotated[tuple[str, ...], BeforeValidator(_split)]
"""A list of texts; an environment variable holds one text with commas."""


_LOCAL = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_DOMAIN = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?)*")
_MAX_LOCAL = 64
"""Characters before the @ that a mail server takes (RFC 5321)."""


def is_plain_address(value: str) -> bool:
    """Return True for one address that means the same to every mail server: no comment, quote, group or name beside it.

    `jo(boss)@acme.test` would be shown as one mailbox, and told to the server as another.
    """
    local, at, domain = value.partition("@")
    if not (at and len(local) <= _MAX_LOCAL and _LOCAL.fullmatch(local) and _DOMAIN.fullmatch(domain)):
        return False
    try:
        return Address(addr_spec=value).addr_spec == value
    except (ValueError, IndexError, HeaderParseError):
        return False


def not_in_headers(text: str) -> str:
    """Return the first character of a text that no header may hold, such as `U+2028`; empty if there is none."""
    found = next((each for each in text if unicodedata.category(each) in ("Cc", "Zl", "Zp", "Cs")), "")
    return f"U+{ord(found):04X}" if found else ""


def _email(value: str) -> str:
    if value != UNKNOWN and not is_plain_address(value):
        raise ValueError("is not an email address")
    return value


Email = Annotated[str, Field(min_length=3, max_length=254), AfterValidator(_email)]
"""One plain address, or `UNKNOWN`."""


async def require_mine(call: ToolCall) -> None:
    """Refuse the effect of an attempt that does not belong to this worker any more. Call it right before the effect.

    Raises:
        ToolFailed: If so; nothing was done.
    """
    if not await call.still_mine():
        raise _not_mine()


def require_mine_sync(call: ToolCall) -> None:
    """Do what `require_mine` does, in a thread."""
    if not call.still_mine_sync():
        raise _not_mine()


def _not_mine() -> ToolFailed:
    text = "this attempt does not belong to its worker any more, or Temporal cannot be asked: nothing was done"
    # with a time: a call that may be made once only gets another attempt if nothing but the question failed
    return ToolFailed(text, retry=True, after=5.0)


def hidden(text: str, secrets: Iterable[str]) -> str:
    """Return a text with each of some secrets replaced by `***`."""
    for secret in secrets:
        text = text.replace(secret, "***") if secret else text
    return text


def required(value: str, key: str) -> str:
    """Return the value of a setting that this call needs.

    Raises:
        ToolFailed: If the operator has not set it; the message names the key and the environment variable.
    """
    if not value:
        variable = "AIRLOCK_" + key.upper().replace(".", "__")
        raise ToolFailed(f"{key} is not set: the operator sets it in airlock.toml, or as {variable}")
    return value


def fits(args: BaseModel) -> bool:
    """Return True if arguments are valid for their model; those of a mock may hold `UNKNOWN` in any place."""
    try:
        type(args).model_validate(dict(args))
    except ValidationError:
        return False
    return True


def json_of(output: Mapping[str, Any]) -> JsonValue:
    """Return an output typed as plain JSON; a predicted output need not have the exact shape."""
    return dict(output)
