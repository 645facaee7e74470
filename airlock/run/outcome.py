"""The outcome of a run: how a plan ended."""

from enum import StrEnum
from typing import Final

MOCK_FAILED: Final = "its mock failed: "
"""The beginning of the reason for which a step stays below LIVE. Results of ended runs hold it."""
DRY_RUN_FAILED: Final = "its dry run failed: "
READ_FAILED: Final = "its read failed: "


class Outcome(StrEnum):
    """The outcome of a run that has ended."""

    COMPLETED = "completed"
    PARTIAL = "partial"
    REHEARSED = "rehearsed"
    DENIED = "denied"
    EXPIRED = "expired"
    ABORTED = "aborted"
    UNREHEARSED = "unrehearsed"
    """A mock or a dry run could not look, and no call was made: the same plan may be submitted again."""
