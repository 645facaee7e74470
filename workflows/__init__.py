"""Deterministic orchestration: the core decides, these workflows command."""

from workflows.plan import PlanWorkflow

WORKFLOWS = (PlanWorkflow,)

__all__ = ["WORKFLOWS", "PlanWorkflow"]
