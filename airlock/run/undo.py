"""The undo of a plan after its end, as data: who asked for it, and what its approver is shown."""

from datetime import datetime
from enum import StrEnum

from airlock.base.model import WireModel


class Undoing(WireModel):
    """The reason why a run is the undo of a plan that has ended.

    `previous` is the run id of the latest earlier undo of that plan, when there was one. `recovered` says that what went
    live and was not undone is known; `quiet_at` is when the last call of the ended run must have ended, UTC, if one may
    still run.
    """

    by: str
    reason: str
    to_step: str | None = None
    previous: str = ""
    recovered: bool = False
    quiet_at: datetime | None = None


class Prospect(StrEnum):
    """The prospect of one step: it would be undone, would fail by its tool's word, stays, or must be settled."""

    UNDO = "undo"
    NOT_LOOKED = "not_looked_at"
    WOULD_FAIL = "would_fail"
    KEPT = "kept"
    IN_DOUBT = "in_doubt"


class UndoLook(WireModel):
    """A tool's own look at one undo. `error` says why it would fail now; empty when it would work."""

    step: str
    looked: bool
    effect: str = ""
    error: str = ""


class UndoStep(WireModel):
    """One step of an undo as its approver sees it; `call` names the call by its key, so that the seal is about that call."""

    id: str
    agent: str
    tool: str
    risk: str
    reversibility: str
    call: str
    prospect: Prospect
    says: str = ""


class UndoContent(WireModel):
    """The content that the approver of an undo is shown, in the order in which it would happen; what stays comes last."""

    by: str
    reason: str
    to_step: str | None = None
    steps: tuple[UndoStep, ...] = ()
