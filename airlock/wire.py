"""What the workflow and the activities say to each other: one object in, one out."""

from datetime import datetime
from typing import Any

from pydantic import Field, JsonValue

from airlock.contract import Contract
from airlock.model import WireModel
from airlock.outcome import Attempt, MockFailed, PreviewOutcome, StepPreview
from airlock.plan import Plan, Step
from airlock.reporting import Outbox
from airlock.run import Run
from airlock.undoing import Undoing, UndoLook


class PlanStart(WireModel):
    """What a PlanWorkflow is started with: a plan, or the run that a continue-as-new carries on.

    With `undo` it undoes that plan, which has ended, under the workflow id `undo-<plan_id>`. `outbox` goes with `run`.
    """

    plan: Plan | None = None
    run: Run | None = None
    undo: Undoing | None = None
    outbox: Outbox | None = None


class AdmitRequest(WireModel):
    """A plan to be judged by the operator's catalogue and policy."""

    plan: Plan


class RehearsalRequest(WireModel):
    """Steps to mock or to preview, each after all it depends on.

    `outputs` are actual where a step is live; for a preview they are predicted where it was previewed before.
    """

    plan_id: str
    steps: tuple[Step, ...]
    contracts: dict[str, Contract]
    contract_of: dict[str, str]
    outputs: dict[str, Any] = Field(default_factory=dict)


class RehearseResult(WireModel):
    """Which mocks failed; all others worked."""

    failures: tuple[MockFailed, ...] = ()


class PreviewResult(WireModel):
    """What the dry runs said. `remaining` steps did not fit into one payload and are asked for again."""

    previews: tuple[PreviewOutcome, ...] = ()
    remaining: tuple[str, ...] = ()


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

    @property
    def last_attempt(self) -> bool:
        """Whether the contract allows no further attempt after this one."""
        checked = self.preview is not None and self.preview.observed is not None
        return self.attempt >= self.contract.attempts(checked=checked)


class ChainRequest(WireModel):
    """Calls to make in order; the next is made only when the one before is live and nobody asked to stop.

    `run_id` is the run that commanded them, `first_run_id` the one it was reset from, or itself: where they differ, or
    another run carries them out, an earlier run may have made these calls already.
    """

    plan_id: str
    calls: tuple[CallRequest, ...]
    run_id: str = ""
    first_run_id: str = ""


class ChainResult(WireModel):
    """How the calls ended, in order. Calls that were not begun are absent.

    `stopped` says that calls were left out on purpose; an answer without calls that does not say so is nobody's.
    """

    attempts: tuple[Attempt, ...] = ()
    stopped: bool = False


class MadeCall(WireModel):
    """A live call that was made: to be taken back with the token it left, or, in doubt, to be looked into by a probe."""

    plan_id: str
    step: Step
    contract: Contract
    undo: JsonValue = None
    outputs: dict[str, Any] = Field(default_factory=dict)
    undone: int = 0


class RecoverRequest(WireModel):
    """Which ended plan is to be undone; `previous` as in `Undoing`."""

    plan_id: str
    previous: str = ""


class Recovered(WireModel):
    """The run of an ended plan as it really ended, or why it cannot be undone. `quiet_at` as in `Undoing`."""

    run: Run | None = None
    refused: str = ""
    quiet_at: datetime | None = None


class UndoLookRequest(WireModel):
    """Calls whose undo the tools are asked about."""

    plan_id: str
    calls: tuple[MadeCall, ...]


class UndoLooks(WireModel):
    """What the tools said, one for each call that was asked about."""

    looks: tuple[UndoLook, ...] = ()
