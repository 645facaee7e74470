"""The query `carry`: the whole state of a run, believed only from that very run."""

from datetime import timedelta
from typing import TypeVar

from pydantic import BaseModel
from temporalio.client import Client
from temporalio.common import RawValue
from temporalio.converter import WorkflowSerializationContext

from airlock.temporal.proof_converter import ProofConverter, UnprovenAnswer

CARRY = "carry"
"""Name of the query."""

M = TypeVar("M", bound=BaseModel)


def demands_proofs(client: Client) -> bool:
    """Return True if a client believes only proven answers of workers now."""
    converter = client.data_converter.payload_converter
    return isinstance(converter, ProofConverter) and converter.demands_proofs


async def carried_by(
    client: Client, workflow_id: str, run_id: str, kind: type[M], nonce: str = "", within: timedelta | None = None
) -> M:
    """Return the whole state of a run, open or closed.

    Args:
        client: A client of the namespace.
        workflow_id: The workflow.
        run_id: The run.
        kind: The class of the answer.
        nonce: A text for a run that repeats it, so that no old answer fits.
        within: The time that a worker has to answer; the SDK's own unless given.

    Raises:
        RPCError: If no worker answers.
        WorkflowQueryFailedError: If the run refuses.
        UnprovenAnswer: If proofs are demanded, and the answer is not that of a worker of Airlock for this run.
        ValueError: If it is not such a state.
    """
    handle = client.get_workflow_handle(workflow_id, run_id=run_id)
    raw = await handle.query(CARRY, args=[nonce] if nonce else [], result_type=RawValue, rpc_timeout=within)
    context = WorkflowSerializationContext(namespace=client.namespace, workflow_id=workflow_id)
    converter = client.data_converter.with_context(context).payload_converter
    if isinstance(converter, ProofConverter) and (why := converter.unlike(raw.payload, kind.__name__, run_id)):
        raise UnprovenAnswer(f"run {run_id} of {workflow_id} is not known to have made this answer: {why}")
    # the result type matters: a payload without one is decoded as a message from outside, with its size limit
    (value,) = converter.from_payloads([raw.payload], [dict[str, object]])
    return kind.model_validate(value)
