"""Python client of Airlock: submit a plan, follow it, decide on it."""

from airlock.client.errors import NoAnswer, NoSuchPlan, PlanConflict, PlanEnded, RunFailed, UndoRefused
from airlock.client.listing import PlanFacts, PlanSummary
from airlock.client.plans import Airlock, PlanHandle
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
