"""Start of the live gate."""

from temporalio.client import Client
from temporalio.common import WorkflowIDConflictPolicy

from airlock.admission.admitted import EPOCH
from airlock.admission.policy import Policy
from airlock.base import names
from airlock.gates.messages import GateStart
from airlock.temporal.gate_memory import left_behind


async def start_live_gate(client: Client, policy: Policy) -> None:
    """Start the live gate if it is not running, so that it can be locked before the first plan.

    Raises:
        RPCError: If Temporal does not answer.
        Unreadable: If Temporal does not answer.
    """
    await client.start_workflow(
        names.GATE_WORKFLOW,
        GateStart(capacity=policy.max_live_escalations, after=await left_behind(client, names.LIVE_GATE), epoch=EPOCH),
        id=names.LIVE_GATE,
        task_queue=names.WORKFLOW_QUEUE,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        static_summary="the live gate",
    )
