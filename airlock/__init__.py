"""Airlock: durable, approval-gated execution of AI agents' tool calls on Temporal.

The public names below are loaded on first use, so that `import airlock` costs nothing and a module of tools never
imports Temporal.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airlock.base.errors import (
        AirlockError,
        ConfigError,
        ContractError,
        InDoubt,
        PlanError,
        RefError,
        SecretError,
        Stale,
        ToolFailed,
    )
    from airlock.client import Airlock, PlanHandle
    from airlock.plans.arguments.schema_arguments import SchemaArguments, arguments_of
    from airlock.plans.contract import Contract, Fidelity, Mode, Reversibility, Risk
    from airlock.plans.own_steps import Earlier, Left
    from airlock.plans.refs import UNKNOWN
    from airlock.plans.shared import Opening, Shared, shared
    from airlock.plans.tool import Tool, tool
    from airlock.plans.tool_call import Preview, Probe, ToolCall

__all__ = [
    "UNKNOWN",
    "Airlock",
    "AirlockError",
    "ConfigError",
    "Contract",
    "ContractError",
    "Earlier",
    "Fidelity",
    "InDoubt",
    "Left",
    "Mode",
    "Opening",
    "PlanError",
    "PlanHandle",
    "Preview",
    "Probe",
    "RefError",
    "Reversibility",
    "Risk",
    "SchemaArguments",
    "SecretError",
    "Shared",
    "Stale",
    "Tool",
    "ToolCall",
    "ToolFailed",
    "arguments_of",
    "shared",
    "tool",
]

_HOME = {
    **dict.fromkeys(__all__, "airlock.base.errors"),
    **dict.fromkeys(("Airlock", "PlanHandle"), "airlock.client"),
    **dict.fromkeys(("Contract", "Fidelity", "Mode", "Reversibility", "Risk"), "airlock.plans.contract"),
    **dict.fromkeys(("Tool", "tool"), "airlock.plans.tool"),
    **dict.fromkeys(("Preview", "Probe", "ToolCall"), "airlock.plans.tool_call"),
    **dict.fromkeys(("Opening", "Shared", "shared"), "airlock.plans.shared"),
    **dict.fromkeys(("Earlier", "Left"), "airlock.plans.own_steps"),
    **dict.fromkeys(("SchemaArguments", "arguments_of"), "airlock.plans.arguments.schema_arguments"),
    "UNKNOWN": "airlock.plans.refs",
}
"""The module that defines each public name."""


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return import_module("airlock.program").version()
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
