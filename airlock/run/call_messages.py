"""Requests for live calls and compensations, and the answers of the worker."""

from typing import Any

from pydantic import Field, JsonValue

from airlock.base.model import WireModel, WorkerMessage
from airlock.plans.contract import Contract
from airlock.plans.outcome import Attempt, StepPreview
from airlock.plans.plan import Step
from airlock.run.undo import UndoLook


class CallRequest(WireModel):
    """One live call.

    `outputs` are those its references read, the ones of earlier calls in the same chain left out. `undo` is the token an
    earlier attempt left, if any. `fence` is the token of the first resource the call touches, if it touches one.
    """

    step: Step
    contract: Contract
    preview: StepPreview | None = None
    outputs: dict[str, Any] = Field(default_factory=dict)
    undone: int = 0
    attempt: int = 1
    undo: JsonValue = None
    fence: int | None = None
    fence_scope: str = ""
    """What fences are compared within: `resource`, `key`, or empty where the run was admitted before there was a choice."""
    token: str = ""
    """The live role's own proof that this call was approved."""
    receipts: dict[str, str] = Field(default_factory=dict)
    """By step: the live role's own proof that an output the call reads was returned by a live call."""

    @property
    def last_attempt(self) -> bool:
        """Whether the contract allows no further attempt after this one."""
        checked = self.preview is not None and self.preview.observed is not None
        return self.attempt >= self.contract.attempts(checked=checked)


class ChainRequest(WireModel, WorkerMessage):
    """Calls to make in order; the next is made only when the one before is live and nobody asked to stop.

    `run_id` is the run that commanded them, `first_run_id` the one it was reset from, or itself: where they differ, or
    another run carries them out, an earlier run may have made these calls already.
    """

    plan_id: str
    calls: tuple[CallRequest, ...]
    run_id: str = ""
    first_run_id: str = ""
    permit_root: str = ""
    """What the tokens of the calls are derived from."""
    permit_pass: str = ""
    """The live role's own proof that every gate has granted this stay."""


class ChainResult(WireModel, WorkerMessage):
    """How the calls ended, in order. Calls that were not begun are absent.

    `stopped` says that calls were left out on purpose; an answer without calls that does not say so is nobody's.
    """

    attempts: tuple[Attempt, ...] = ()
    stopped: bool = False


class MadeCall(WireModel, WorkerMessage):
    """A live call that was made: to be taken back with the token it left, or, in doubt, to be looked into by a probe."""

    plan_id: str
    step: Step
    contract: Contract
    undo: JsonValue = None
    outputs: dict[str, Any] = Field(default_factory=dict)
    undone: int = 0
    made: str = ""
    """The live role's own proof that it made this call; empty where nobody has one."""


class UndoLookRequest(WireModel, WorkerMessage):
    """Calls whose undo the tools are asked about."""

    plan_id: str
    calls: tuple[MadeCall, ...]


class UndoLooks(WireModel, WorkerMessage):
    """What the tools said, one for each call that was asked about."""

    looks: tuple[UndoLook, ...] = ()
