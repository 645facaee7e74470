"""The Python door to Airlock: submit a plan, follow it, decide about it."""

from airlock_client.client import Airlock, PlanHandle
from airlock_client.connection import ConnectionFailed
from airlock_client.errors import NoAnswer, NoSuchPlan, PlanConflict, PlanEnded, RunFailed, UndoRefused
from airlock_client.listing import PlanFacts, PlanSummary

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
