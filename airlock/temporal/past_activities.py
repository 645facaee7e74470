"""Question and answer of one activity in a history, with the proof that a worker of Airlock said so."""

from datetime import UTC
from typing import Any

from temporalio.api.common.v1 import Payload, Payloads
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import Client
from temporalio.converter import ActivitySerializationContext
from temporalio.service import RPCError, RPCStatusCode

from airlock.base.errors import AirlockError
from airlock.base.keyring import Channel
from airlock.temporal import proof
from airlock.temporal.proof import Stamp
from airlock.temporal.proof_converter import demands_of

_UNDECODABLE = "failed to decode Protobuf message"


class Unreadable(AirlockError):
    """A history that may hold the outcome of a call cannot be read."""


class Defaced(Unreadable):
    """A history that can never be read, as a client had an event put into it that no SDK can decode."""


def is_undecodable(error: RPCError) -> bool:
    """Return True if an answer of Temporal cannot be decoded: what a client sent is nested too deeply."""
    return error.status is RPCStatusCode.INTERNAL and _UNDECODABLE in error.message


class ActivityReader:
    """Reader of the payloads of one activity in a history.

    Args:
        client: A client of the namespace.
        workflow_id: The workflow.
        event: The event that scheduled the activity.
    """

    def __init__(self, client: Client, workflow_id: str, event: HistoryEvent) -> None:
        self._scheduled = event.activity_task_scheduled_event_attributes
        self.event = event.event_id, event.event_time.ToNanoseconds()
        """The event, by number and time."""
        self._at = event.event_time.ToDatetime(UTC)
        context = ActivitySerializationContext(
            namespace=client.namespace, workflow_id=workflow_id, workflow_type="", is_local=False,
            activity_id=self._scheduled.activity_id, activity_type=self._scheduled.activity_type.name,
            activity_task_queue=self._scheduled.task_queue.name,
        )  # fmt: skip
        # the values are plain JSON here, so that only the codec needs to know the activity
        self._demands = demands_of(client.data_converter)
        self._plain = client.data_converter.payload_converter
        self._codec = client.data_converter.with_context(context).payload_codec
        self._asked = Stamp()

    @property
    def is_due(self) -> bool:
        """True if what was asked and answered needs a proof here."""
        return self._demands.due(Channel.RUN, self._at)

    @property
    def asked_by_airlock(self) -> bool:
        """True if a workflow of Airlock is known to have asked, or if no proof was demanded at that time."""
        return not self.is_due or (self._asked.proven and self._asked.by == proof.BY_WORKFLOW)

    @property
    def asked(self) -> tuple[str, str]:
        """The activity id and the mark of the question, which no other question of the workflow has; empty if unknown."""
        return self._scheduled.activity_id, self._asked.ask

    async def question(self) -> Any:
        """Return what was asked for, as plain JSON.

        Raises:
            Unreadable: If it cannot be decoded here.
        """
        value, self._asked = await self._read(self._scheduled.input)
        return value

    async def answer(self, payloads: Payloads) -> Any:
        """Return what was answered to the question, as plain JSON.

        Raises:
            Unreadable: If it cannot be decoded here, or if no worker of Airlock is known to have answered.
        """
        value, said = await self._read(payloads)
        fits = said.proven and said.by == proof.BY_ACTIVITY and said.ask == self._asked.ask
        if self.is_due and not fits:
            raise Unreadable(f"no worker of Airlock is known to have answered: {said.checked}")
        return value

    async def _read(self, payloads: Payloads) -> tuple[Any, Stamp]:
        try:
            (payload,) = await self._decoded(payloads)
            (value,) = self._plain.from_payloads([payload])
        except Exception as error:
            raise Unreadable(f"what is in a history cannot be decoded here: {type(error).__name__}") from error
        return value, Stamp.of(payload)

    async def _decoded(self, payloads: Payloads) -> list[Payload]:
        return list(payloads.payloads) if self._codec is None else await self._codec.decode(payloads.payloads)
