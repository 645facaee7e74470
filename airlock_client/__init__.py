"""The Python door to Airlock: submit a plan, follow it, decide about it."""

from airlock_client.client import (
    Airlock,
    NoAnswer,
    NoSuchPlan,
    PlanConflict,
    PlanEnded,
    PlanHandle,
    RunFailed,
)
from airlock_client.connection import ConnectionFailed

__all__ = [
    "Airlock",
    "ConnectionFailed",
    "NoAnswer",
    "NoSuchPlan",
    "PlanConflict",
    "PlanEnded",
    "PlanHandle",
    "RunFailed",
]
