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

from airlock.base.incoming import TOO_MUCH
from airlock.temporal.codec import is_compressed, undecodable
from airlock.temporal.converter import MAX_MESSAGE_BYTES

FLAG: Final = 41_002
"""The mark of a history in which signals were left undecoded, kept by Temporal beside the SDK's own flags."""
READ_BYTES: Final = 4_194_304
"""Bytes of signals that are decoded in one moment. A compressed one counts as the largest message there may be."""
LIGHT_BYTES: Final = 4_096
"""Bytes of a signal that is always decoded: whatever else arrives, a lock, a denial or a signed approval is read."""


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
        if act.is_replaying and FLAG not in act.available_internal_flags:
            return False
        if self._at != (at := (act.timestamp.seconds, act.timestamp.nanos)):
            self._at, self._read = at, 0
        found = False
        for job in act.jobs:
            if not job.HasField("signal_workflow"):
                continue
            weight = _weight(job.signal_workflow.input)
            if weight > LIGHT_BYTES and self._read + weight > READ_BYTES:
                del job.signal_workflow.input[:]
                job.signal_workflow.input.append(undecodable(TOO_MUCH))
                found = True
            else:
                self._read += weight
        return found


def mark(completion: WorkflowActivationCompletion) -> None:
    """Note in the history that signals were left undecoded, so that a replay leaves the same ones."""
    if completion.HasField("successful"):
        completion.successful.used_internal_flags.append(FLAG)


def _weight(payloads: Sequence[Payload]) -> int:
    """Return the bytes that the payloads of one signal have, or may have."""
    return sum(MAX_MESSAGE_BYTES if is_compressed(payload) else len(payload.data) for payload in payloads)
