"""The ways in which a person settles a step that waits for one, each with its meaning."""

from collections.abc import Mapping
from typing import Final

from airlock.run.call_record import CallStatus
from airlock.run.messages import Settlement

SETTLEMENTS: Final[Mapping[CallStatus, tuple[tuple[Settlement, str], ...]]] = {
    CallStatus.IN_DOUBT: (
        (Settlement.HAPPENED, "the call took effect"),
        (Settlement.DID_NOT_HAPPEN, "the call took no effect"),
    ),
    CallStatus.UNDO_FAILED: (
        (Settlement.RETRY, "try its compensation again"),
        (Settlement.SKIP, "leave it as it is"),
        (Settlement.COMPENSATED, "it was undone by hand"),
    ),
}
