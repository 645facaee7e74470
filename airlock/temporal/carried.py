"""Reader of what a workflow says beyond its messages: the query `carry`, inputs and endings in a history."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from pydantic import BaseModel
from temporalio.api.common.v1 import Payload
from temporalio.client import Client
from temporalio.common import RawValue
from temporalio.converter import WorkflowSerializationContext

from airlock.base.keyring import Channel
from airlock.temporal import proof
from airlock.temporal.proof import Stamp
from airlock.temporal.proof_converter import SentObject, UnprovenAnswer, demands_of

CARRY = "carry"
"""Name of the query for the whole state of a run."""

M = TypeVar("M", bound=BaseModel)


class Reader:
    """Reader of the payloads of one workflow, outside of it.

    Args:
        client: A client of the namespace.
        workflow_id: The workflow.
    """

    def __init__(self, client: Client, workflow_id: str) -> None:
        self._client = client
        self._context = WorkflowSerializationContext(namespace=client.namespace, workflow_id=workflow_id)
        self._converter = client.data_converter.with_context(self._context)
        self._demands = demands_of(client.data_converter)

    async def decoded(self, payloads: Iterable[Payload]) -> list[Payload]:
        """Return payloads as the codec leaves them, with what it found about their proofs."""
        codec = self._client.data_converter.with_context(self._context).payload_codec  # one for each: see `ProofCodec`
        return list(payloads) if codec is None else await codec.decode(list(payloads))

    def value(self, payload: Payload) -> dict[str, Any]:
        """Return the JSON object in a decoded payload.

        Raises:
            ValueError: If there is none.
        """
        # the type matters: a payload without one is decoded as a message from outside, with its size limit
        try:
            (value,) = self._converter.payload_converter.from_payloads([payload], [dict[str, Any]])
        except Exception as error:
            raise ValueError(f"it cannot be decoded: {type(error).__name__}") from error
        return dict(value)

    def is_due(self, at: datetime) -> bool:
        """Return True if what was said at a time needs a proof here."""
        return self._demands.due(Channel.RUN, at)

    def objection(self, payload: Payload, kind: str, by: str, at: datetime, run_id: str = "") -> str:
        """Return why a decoded payload is not what a worker said; empty if it is, or if no proof was demanded then.

        Args:
            payload: The payload.
            kind: The class of the message.
            by: `BY_WORKFLOW` or `BY_WORKER`.
            at: The time at which it was said, UTC.
            run_id: The run that said it; any if empty.
        """
        if not self.is_due(at):
            return ""
        sent = SentObject()
        sent.stamp, sent.demands = Stamp.of(payload), self._demands
        said_by = sent.stamp.run
        return sent.objection(kind, by, at) or (f"run {said_by} said it" if run_id and said_by != run_id else "")


def demands_proofs(client: Client) -> bool:
    """Return True if a client believes only proven answers of workers now."""
    return demands_of(client.data_converter).due(Channel.RUN, datetime.now(UTC))


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
    reader = Reader(client, workflow_id)
    why = reader.objection(raw.payload, kind.__name__, proof.BY_WORKFLOW, datetime.now(UTC), run_id)
    if why:
        raise UnprovenAnswer(f"run {run_id} of {workflow_id} is not known to have made this answer: {why}")
    return kind.model_validate(reader.value(raw.payload))
