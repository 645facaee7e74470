"""Every workflow a worker runs.

Not in the package itself: the sandbox imports the package of each workflow it loads, and would load all others with it.
"""

from workflows.claim import ClaimWorkflow
from workflows.gate import GateWorkflow
from workflows.monitor import MonitorWorkflow
from workflows.plan import PlanWorkflow

WORKFLOWS = (PlanWorkflow, ClaimWorkflow, GateWorkflow, MonitorWorkflow)
