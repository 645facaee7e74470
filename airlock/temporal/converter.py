"""Decoding of messages that never raises, so that no message can be lost or wedge a run."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from temporalio.api.common.v1 import Payload
from temporalio.contrib.pydantic import PydanticPayloadConverter
from temporalio.converter import SerializationContext, WorkflowSerializationContext

MAX_MESSAGE_BYTES = 524_288
"""The largest signal or update, in bytes: far more than any of Airlock's, and decoded in well under a second."""


@dataclass(frozen=True)
class Undecodable:
    """Stands for something that could not be decoded. Not JSON on purpose: no model accepts it."""

    why: str


class ForgivingPayloadConverter(PydanticPayloadConverter):
    """Pydantic's converter; where the receiver takes anything, what cannot be decoded arrives as `Undecodable`.

    Temporal drops a signal whose payload cannot be decoded without telling its sender: it could not be recorded as refused.
    Where a receiver says what it expects, such as the result of an activity, decoding still raises.
    """

    def __init__(self) -> None:
        super().__init__()
        self._of_a_workflow = False

    def with_context(self, context: SerializationContext) -> "ForgivingPayloadConverter":
        """Return the converter for the payloads of a workflow, or of something else."""
        of_a_workflow = isinstance(context, WorkflowSerializationContext)
        if of_a_workflow is self._of_a_workflow:
            return self
        other = copy.copy(self)
        other._of_a_workflow = of_a_workflow
        return other

    def from_payloads(self, payloads: Sequence[Payload], type_hints: list[type] | None = None) -> list[Any]:
        """Decode; raises only where a type is expected."""
        if any(hint is not Any for hint in type_hints or ()):
            return super().from_payloads(payloads, type_hints)
        # a workflow's own input has the hint Any and may be large; signals and updates come without any hint
        limit = MAX_MESSAGE_BYTES if self._of_a_workflow and not type_hints else None
        return [self._decoded(payload, limit) for payload in payloads]

    def _decoded(self, payload: Payload, limit: int | None) -> Any:
        if limit is not None and len(payload.data) > limit:
            return Undecodable(f"{len(payload.data):,} bytes are too many")
        try:
            return super().from_payloads([payload])[0]
        except Exception as error:  # noqa: BLE001  # whatever is wrong with it, its receiver judges
            return Undecodable(type(error).__name__)
