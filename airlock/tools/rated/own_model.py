"""The argument model of a tool that another system describes, and the reasons why there is none."""

import re
from collections.abc import Mapping
from typing import Any

from airlock.base.errors import ContractError
from airlock.base.visible import visible
from airlock.plans.arguments.schema_arguments import SchemaArguments, arguments_of

_NAME = re.compile(r"[A-Za-z0-9_./-]+")
_LONGEST_NAME = 128


def unusable(name: str, schema: Mapping[str, Any]) -> str:
    """Return why a tool cannot be offered, whatever its entry says; empty if it can."""
    try:
        own_model(name, schema)
    except ContractError as error:
        return str(error)
    return ""


def own_model(name: str, schema: Mapping[str, Any]) -> type[SchemaArguments]:
    """Return the argument model of a tool.

    Raises:
        ContractError: If its name or its arguments cannot be used.
    """
    if len(name) > _LONGEST_NAME:
        raise ContractError(f"its name has {len(name)} characters, and {_LONGEST_NAME} are the most")
    if not _NAME.fullmatch(name):
        raise ContractError(f"its name {visible(name)!r} has other characters than letters, digits, _ . / and -")
    try:
        return arguments_of(schema, class_name(name), foreign=True)
    except ContractError as error:
        raise ContractError(f"its arguments cannot be checked: {error}") from error


def class_name(tool: str) -> str:
    """Return the name of the argument model of a tool."""
    return "".join(part[:1].upper() + part[1:] for part in re.split(r"[^A-Za-z0-9]+", tool)) or "Arguments"
