"""The load of the signals of one moment: what is too much for one workflow task is not decoded at all.

Temporal hands a run all signals that have arrived in one task, the SDK decodes them all before the first handler begins,
and a task must end within ten seconds. Thousands of signals of half a kilobyte can become half a megabyte each: a run that
reads them would never go on, and take its worker's memory with it.
"""

from collections.abc import Sequence
from typing import Final

from temporalio.api.common.v1 import Payload
from temporalio.bridge.proto.workflow_activation import WorkflowActivation
from temporalio.bridge.proto.workflow_completion import WorkflowActivationCompletion

from airlock.base.incoming import LIGHT, TOO_MUCH
from airlock.temporal.codec import is_compressed, undecodable
from airlock.temporal.converter import MAX_MESSAGE_BYTES

FLAG: Final = 41_002
"""The mark of a history in which signals were left undecoded, kept by Temporal beside the SDK's own flags."""
READ_BYTES: Final = 4_194_304
"""Bytes of signals that are decoded in one moment. A compressed one counts as the largest message there may be."""
LIGHT_BYTES: Final = 32_768
"""Bytes of a signal that is always decoded, unless it has more than `LIGHT` lists and objects, which take time and memory.

Whatever else arrives, the locks, denials and signed approvals of people are read, and what workers tell of a few plans.
"""


class MessageLoad:
    """The load of the signals of one run. Time stands still within a workflow task."""

    def __init__(self) -> None:
        self._at = (0, 0)
        self._read = 0

    def lighten(self, act: WorkflowActivation) -> bool:
        """Put a text that says why in the place of each signal that is too much; return True if there is one.

        Histories of older workers, which decoded everything, replay as they are.

        Args:
            act: The activation, before any of its signals is decoded. Changed in place.
        """
        may = not act.is_replaying or FLAG in act.available_internal_flags
        if self._at != (at := (act.timestamp.seconds, act.timestamp.nanos)):
            self._at, self._read = at, 0
        found = False
        for job in act.jobs:
            if not job.HasField("signal_workflow"):
                continue
            sent = job.signal_workflow.input
            weight = sum(map(_weight, sent))
            if may and self._read + weight > READ_BYTES and not _is_light(sent, weight):
                del sent[:]
                sent.append(undecodable(TOO_MUCH))
                found = True
            else:
                self._read += weight
        return found


def mark(completion: WorkflowActivationCompletion) -> None:
    """Note in the history that signals were left undecoded, so that a replay leaves the same ones."""
    if completion.HasField("successful"):
        completion.successful.used_internal_flags.append(FLAG)


def _weight(payload: Payload) -> int:
    """Return the bytes that the content of a payload has, or may have; none if it is refused for its size anyway."""
    if is_compressed(payload):
        return MAX_MESSAGE_BYTES
    return len(payload.data) if len(payload.data) <= MAX_MESSAGE_BYTES else 0


def _is_light(payloads: Sequence[Payload], weight: int) -> bool:
    if weight > LIGHT_BYTES:
        return False
    return sum(payload.data.count(b"[") + payload.data.count(b"{") for payload in payloads) <= LIGHT
