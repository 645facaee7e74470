"""The workflows of a worker.

The list is not in the package itself: the sandbox imports the package of each workflow, and would load all others too.
"""

from airlock.workflows.gates.claim import ClaimWorkflow
from airlock.workflows.gates.gate import GateWorkflow
from airlock.workflows.monitor import MonitorWorkflow
from airlock.workflows.plan import PlanWorkflow

WORKFLOWS = (PlanWorkflow, ClaimWorkflow, GateWorkflow, MonitorWorkflow)
