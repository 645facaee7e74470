"""A payload converter that does not raise for messages: no message is dropped unrecorded, and none wedges a run."""

import asyncio
import copy
from collections.abc import Sequence
from typing import Any

from google.protobuf.message import Message
from temporalio import workflow
from temporalio.api.common.v1 import Payload
from temporalio.common import RawValue
from temporalio.contrib.pydantic import PydanticPayloadConverter
from temporalio.converter import SerializationContext, WorkflowSerializationContext

from airlock.base.incoming import Undecodable
from airlock.temporal.codec import NO_REASON, undecodable, unfolded, why_undecodable

MAX_MESSAGE_BYTES = 524_288
"""Size in bytes of a signal or an update: far above any of Airlock's own, and decoded in well under a second."""


class ForgivingPayloadConverter(PydanticPayloadConverter):
    """Pydantic's converter, except that an undecodable argument without a type hint arrives as `Undecodable`.

    Temporal silently drops a signal whose payload cannot be decoded, so that the workflow could not record the refusal.
    With a type hint, as for the result of an activity, decoding raises as usual.
    """

    def __init__(self) -> None:
        super().__init__()
        self._of_a_workflow = False

    def with_context(self, context: SerializationContext) -> "ForgivingPayloadConverter":
        """Return the converter for this context; only messages to workflows are limited in size."""
        of_a_workflow = isinstance(context, WorkflowSerializationContext)
        if of_a_workflow is self._of_a_workflow:
            return self
        other = copy.copy(self)
        other._of_a_workflow = of_a_workflow
        return other

    def from_payloads(self, payloads: Sequence[Payload], type_hints: list[type] | None = None) -> list[Any]:
        """Decode payloads; raise only where a type hint is given."""
        if any(hint is not Any for hint in type_hints or ()):
            hints = [*(type_hints or ()), *[None] * len(payloads)]
            typed = [_unless_protobuf(unfolded(payload), hint) for payload, hint in zip(payloads, hints, strict=False)]
            return super().from_payloads(typed, type_hints)
        # a workflow's own input has the hint Any and may be large; signals and updates come without any hint
        limit = MAX_MESSAGE_BYTES if self._of_a_workflow and not type_hints else None
        return [self._decoded(payload, limit) for payload in payloads]

    def _decoded(self, payload: Payload, limit: int | None) -> Any:
        payload = unfolded(payload)
        if limit is not None and len(payload.data) > limit:
            return Undecodable(f"it has {len(payload.data):,} bytes, more than the {limit:,} of a message")
        if why := why_undecodable(_unless_protobuf(payload, None)):
            return Undecodable(why)
        try:
            return super().from_payloads([payload])[0]
        except Exception as error:  # noqa: BLE001  # any defect is left to the receiver, which records a refusal
            return Undecodable(f"{NO_REASON}: {type(error).__name__}")


def _unless_protobuf(payload: Payload, hint: Any) -> Payload:
    """Return a payload; one of protobuf that comes to a run only where it is expected.

    Half a megabyte of its JSON takes a second, fifty times as long as any other, and no run of Airlock is sent any.
    """
    if b"protobuf" not in payload.metadata.get("encoding", b"") or not _is_for_a_run():
        return payload
    if isinstance(hint, type) and issubclass(hint, Message | RawValue):
        return payload
    return undecodable("it is protobuf; a message is a JSON object")


def _is_for_a_run() -> bool:
    """Return True in a workflow task: the SDK decodes signals before any loop runs in that thread, the rest in the run's.

    A client decodes in a loop of its own, and is answered in protobuf where it asks for the description of a workflow.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return True
    return workflow.in_workflow()
