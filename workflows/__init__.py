"""Deterministic orchestration: the core decides, these workflows command."""

from workflows.claim import ClaimWorkflow
from workflows.plan import PlanWorkflow

WORKFLOWS = (PlanWorkflow, ClaimWorkflow)

__all__ = ["WORKFLOWS", "ClaimWorkflow", "PlanWorkflow"]
