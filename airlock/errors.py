"""The old home of the errors; gone in 0.3. Import from `airlock` instead."""

import warnings

from airlock.base.errors import (
    AirlockError,
    ConfigError,
    ContractError,
    InDoubt,
    PlanError,
    Problem,
    RefError,
    SecretError,
    Stale,
    ToolFailed,
)

__all__ = [
    "AirlockError",
    "ConfigError",
    "ContractError",
    "InDoubt",
    "PlanError",
    "Problem",
    "RefError",
    "SecretError",
    "Stale",
    "ToolFailed",
]

warnings.warn("import from `airlock` instead of `airlock.errors`, which is gone in 0.3", DeprecationWarning, stacklevel=2)
