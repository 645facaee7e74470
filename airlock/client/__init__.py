"""Python client of Airlock: submit a plan, follow it, decide on it.

The names below are loaded on first use: `airlock list` reads a list and needs neither plans nor their graphs.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airlock.client.errors import NoAnswer, NoSuchPlan, PlanConflict, PlanEnded, RunFailed, UndoRefused
    from airlock.client.facts import PlanFacts
    from airlock.client.listing import PlanSummary
    from airlock.client.plan_handle import PlanHandle
    from airlock.client.plans import Airlock
    from airlock.temporal.connection import ConnectionFailed

__all__ = [
    "Airlock",
    "ConnectionFailed",
    "NoAnswer",
    "NoSuchPlan",
    "PlanConflict",
    "PlanEnded",
    "PlanFacts",
    "PlanHandle",
    "PlanSummary",
    "RunFailed",
    "UndoRefused",
]

_HOME = {
    **dict.fromkeys(__all__, "airlock.client.errors"),
    "Airlock": "airlock.client.plans",
    "PlanHandle": "airlock.client.plan_handle",
    "ConnectionFailed": "airlock.temporal.connection",
    "PlanFacts": "airlock.client.facts",
    "PlanSummary": "airlock.client.listing",
}
"""The module that defines each public name."""


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
