"""What the built-in tools have in common: their arguments, settings and outputs."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, JsonValue

from airlock.errors import ToolFailed


class Arguments(BaseModel):
    """Arguments of a tool: an argument nobody declared is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Settings(BaseModel):
    """One `[settings.<section>]` of `airlock.toml`: a misspelt key is an error, every default is harmless."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _split(value: object) -> object:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


Texts = Annotated[tuple[str, ...], BeforeValidator(_split)]
"""A list of texts; from the environment, one text with commas."""


def required(value: str, key: str) -> str:
    """The value of a setting this call cannot do without.

    Raises:
        ToolFailed: When the operator has not set it; the message names the key and the environment variable.
    """
    if not value:
        variable = "AIRLOCK_" + key.upper().replace(".", "__")
        raise ToolFailed(f"{key} is not set: the operator sets it in airlock.toml, or as {variable}")
    return value


def json_of(output: Mapping[str, Any]) -> JsonValue:
    """An output, typed as any JSON is; what a preview predicts need not have the exact shape."""
    return dict(output)
