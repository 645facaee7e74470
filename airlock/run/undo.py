"""The undo of a plan after its end, as data: its request, and the content that its approver is shown."""

from datetime import datetime
from enum import StrEnum

from pydantic import Field

from airlock.base.model import WireModel, is_empty
from airlock.signing.evidence import DecisionEvidence


class Undoing(WireModel):
    """The request for the undo of a plan that has ended, and the progress of its recovery."""

    by: str
    reason: str
    to_step: str | None = None
    previous: str = ""
    """The run id of the latest earlier undo of the plan; empty if there is none."""
    recovered: bool = False
    """True once the calls that went live and were not undone are known."""
    quiet_at: datetime | None = None
    """The time at which the last call of the ended run must have ended, UTC; None if no call may be running."""
    evidence: DecisionEvidence | None = Field(default=None, exclude_if=is_empty)
    """The proof that `by` made this request; None if it is not signed."""


class EndedPlan(WireModel):
    """The subject of a signed request for an undo: the plan as it ended, and the undo before this one."""

    life: str
    """The life of the plan's last run."""
    digest: str | None = None
    """The digest of its last seal."""
    previous: str = ""
    """The run id of the latest undo before this one; empty if there was none."""


class Prospect(StrEnum):
    """The prospect of one step in an undo."""

    UNDO = "undo"
    NOT_LOOKED = "not_looked_at"
    WOULD_FAIL = "would_fail"
    KEPT = "kept"
    IN_DOUBT = "in_doubt"


class UndoLook(WireModel):
    """The result of a tool's check of one undo."""

    step: str
    looked: bool
    effect: str = ""
    error: str = ""
    """The reason why the undo would fail now; empty if it would work."""


class UndoStep(WireModel):
    """One step of an undo as its approver sees it."""

    id: str
    agent: str
    tool: str
    risk: str
    reversibility: str
    call: str
    """The idempotency key of the call, so that the seal is about this very call."""
    prospect: Prospect
    says: str = ""


class UndoContent(WireModel):
    """The content that the approver of an undo is shown."""

    by: str
    reason: str
    to_step: str | None = None
    steps: tuple[UndoStep, ...] = ()
    """The steps in the order of their compensation; steps that stay come last."""
