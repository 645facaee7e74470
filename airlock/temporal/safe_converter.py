"""A data converter that no payload can make raise before Airlock's own code sees it."""

from collections.abc import Sequence

from temporalio.api.common.v1 import Payload, Payloads
from temporalio.converter import (
    DataConverter,
    SerializationContext,
    WithSerializationContext,
    WorkflowSerializationContext,
)

from airlock.base.names import OWN_PREFIXES
from airlock.temporal.codec import NO_REASON, undecodable, why_undecodable

HOOKS = ("_decode_reference_payload_sequence", "_external_retrieve_payload_sequence", "_transform_inbound_payloads")
"""The SDK's own methods that `SafeDataConverter` replaces; they are private, so a test watches that they exist."""
_PARTS = ("payload_converter", "payload_codec", "failure_converter", "external_storage")
MAX_PAYLOADS = 4
"""Values of one message to a workflow of Airlock. Its own have one; a million empty ones take longer than a task may.

Programs that share a client of Airlock have workflows and activities of their own, which take any number.
"""
_MARKER = "__temporal_external_storage_reference"
_ENCODING = b"json/external-storage-reference"
_MESSAGE = b"temporal.api.sdk.v1.ExternalStorageReference"


class SafeDataConverter(DataConverter):
    """The SDK's data converter, without an answer to payloads that claim to be stored outside of Temporal.

    The SDK raises for such a payload while it decodes a workflow task, before codec, converter and handlers: one signal
    by any sender would fail every task of the run for ever, the live gate's included. Airlock stores nothing outside of
    Temporal, so that such a payload arrives as one that cannot be decoded.
    """

    _few = False

    def with_context(self, context: SerializationContext) -> "SafeDataConverter":
        """Return the converter for the payloads of one workflow or activity.

        The SDK's own method makes a payload converter, to replace it at once; it is called several times for each payload.
        """
        made = object.__new__(type(self))
        made.__dict__.update(self.__dict__)
        made.__dict__["_few"] = _is_of_airlock(context)
        for part in _PARTS:
            if isinstance(there := getattr(self, part), WithSerializationContext):
                made.__dict__[part] = there.with_context(context)
        return made

    async def _decode_reference_payload_sequence(self, payloads: Sequence[Payload]) -> list[Payload]:
        if self._few and len(payloads) > MAX_PAYLOADS:
            return [undecodable(f"it has {len(payloads):,} values; a message has one, as a JSON object")]
        return [_harmless(_own(payload)) for payload in payloads]

    async def _external_retrieve_payload_sequence(self, payloads: Sequence[Payload]) -> list[Payload]:
        return [_harmless(payload) for payload in payloads]

    async def _transform_inbound_payloads(self, payloads: Payloads) -> None:
        # the SDK's own method, for details of failures, keeps what a shorter list leaves over
        safe = await self._decode_reference_payload_sequence(payloads.payloads)
        del payloads.payloads[:]
        payloads.payloads.extend(safe)
        await super()._transform_inbound_payloads(payloads)


def _is_of_airlock(context: SerializationContext) -> bool:
    return isinstance(context, WorkflowSerializationContext) and context.workflow_id.startswith(OWN_PREFIXES)


def _own(payload: Payload) -> Payload:
    """Return a payload; in the place of one in which a sender says why it cannot be decoded, one that does not repeat it."""
    return undecodable(NO_REASON) if why_undecodable(payload) else payload


def _harmless(payload: Payload) -> Payload:
    metadata = payload.metadata
    claims = _MARKER in metadata or metadata.get("encoding") == _ENCODING or metadata.get("messageType") == _MESSAGE
    return undecodable("it claims to be stored outside of Temporal") if claims else payload
