"""Every workflow a worker runs.

Not in the package itself: the sandbox imports the package of each workflow it loads, and would load all others with it.
"""

from airlock.workflows.claim import ClaimWorkflow
from airlock.workflows.gate import GateWorkflow
from airlock.workflows.monitor import MonitorWorkflow
from airlock.workflows.plan import PlanWorkflow

WORKFLOWS = (PlanWorkflow, ClaimWorkflow, GateWorkflow, MonitorWorkflow)
