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
    from airlock.plans.tool import Preview, Probe, Tool, ToolCall, tool

_HOME = {
    "Airlock": "airlock.client",
    "PlanHandle": "airlock.client",
    **dict.fromkeys(("Preview", "Probe", "Tool", "ToolCall", "tool"), "airlock.plans.tool"),
    **dict.fromkeys(
        (
            "AirlockError",
            "ConfigError",
            "ContractError",
            "InDoubt",
            "PlanError",
            "RefError",
            "SecretError",
            "Stale",
            "ToolFailed",
        ),
        "airlock.base.errors",
    ),
}

__all__ = [
    "Airlock",
    "AirlockError",
    "ConfigError",
    "ContractError",
    "InDoubt",
    "PlanError",
    "PlanHandle",
    "Preview",
    "Probe",
    "RefError",
    "SecretError",
    "Stale",
    "Tool",
    "ToolCall",
    "ToolFailed",
    "tool",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
