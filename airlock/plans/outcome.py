"""The outcomes of calls: tagged values that cross the activity boundary instead of exceptions."""

from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import Field, JsonValue

from airlock.base.model import WireModel, WorkerMessage, is_empty
from airlock.plans.own_steps import Left
from airlock.plans.refs import UNKNOWN

FORMER_TOO_LARGE = " Its former values are too large to be shown."


class MockFailed(WireModel):
    """A mock that failed; the step's ceiling falls to MOCK."""

    step: str
    error: str
    unlooked: bool = Field(default=False, exclude_if=lambda unlooked: not unlooked)
    """True if every try found no answer, so that nothing is known about the step."""


class StepPreview(WireModel):
    """The preview of one step, as the approver sees it."""

    kind: Literal["previewed"] = "previewed"
    step: str
    looked: bool
    """True if the tool's dry run was called."""
    effect: str
    args: dict[str, JsonValue]
    """The arguments of the live call. A value that only the live run will know is `UNKNOWN`; a secret is its name."""
    output: JsonValue = UNKNOWN
    """The predicted output."""
    observed: JsonValue = None
    """The state that the preview relied on."""
    undo: str | None = None
    """The way to undo the effect, in one sentence."""
    derived: dict[str, str] = Field(default_factory=dict, exclude_if=is_empty)
    """The `$ref` from which each argument, or part of one, comes, by its path."""
    follows: dict[str, str] = Field(default_factory=dict, exclude_if=is_empty)
    """The things that were observed as earlier steps of the plan leave them: the step of each, by name."""
    seen_before: tuple[str, ...] = Field(default=(), exclude_if=is_empty)
    """The earlier steps of the plan whose changes a read did not see, because its tool does not ask for them."""
    beside: dict[str, tuple[str, ...]] = Field(default_factory=dict, exclude_if=is_empty)
    """The things that other steps, in no order with this one, would change too: those steps, by name."""
    former: dict[str, JsonValue] = Field(default_factory=dict, exclude_if=is_empty)
    """The values that the live call would replace, by the argument that replaces them."""
    cleared_rules: tuple[str, ...] = Field(default=(), exclude_if=is_empty)
    """The rules of the policy that certainly do not apply, now that the values are foreseen that they read."""

    def without_former(self) -> Self:
        """Return the preview without former values, for which there is no room; it says so."""
        return self.model_copy(update={"former": {}, "effect": f"{self.effect}{FORMER_TOO_LARGE}"}) if self.former else self


class Previewed(StepPreview):
    """The answer of a dry run: the preview, with what only other dry runs of the same rehearsal need."""

    leaves: dict[str, Left] = Field(default_factory=dict, exclude_if=is_empty)
    """The states in which the call would leave things, by name."""

    @property
    def kept(self) -> StepPreview:
        """The preview as a run keeps and seals it."""
        return StepPreview.model_construct(**{name: getattr(self, name) for name in StepPreview.model_fields})


class PreviewFailed(WireModel):
    """A dry run that failed; the step's ceiling falls to MOCK."""

    kind: Literal["preview_failed"] = "preview_failed"
    step: str
    error: str
    unlooked: bool = Field(default=False, exclude_if=lambda unlooked: not unlooked)
    """As in `MockFailed`."""


PreviewOutcome = Annotated[Previewed | PreviewFailed, Field(discriminator="kind")]


class CallSucceeded(WireModel):
    """A call that took effect."""

    kind: Literal["live"] = "live"
    step: str
    output: JsonValue
    undo: JsonValue = None
    """The undo token."""
    drift: tuple[str, ...] = ()
    """The arguments that differ from the preview."""
    matched: bool | None = None
    """True if the output equals its prediction; None if nothing was predicted."""
    attempt: int = 1
    seconds: float = 0.0
    """The duration of the last attempt."""
    broken: str = ""
    """The reason why the output cannot be used. The call took effect and is not repeated, but the plan fails."""
    undone: int = 0
    """The number of earlier undos, if a run that this one was reset from knows of more than this run."""
    receipt: str = Field(default="", exclude_if=is_empty)
    """Proof of the live role that a live call returned this output."""
    leaves: dict[str, JsonValue] = Field(default_factory=dict, exclude_if=is_empty)
    """The states in which it left those things whose state later steps could not foresee, by name."""
    left_receipt: str = Field(default="", exclude_if=is_empty)
    """Proof of the live role that a live call left these states."""


class EarlyRead(WireModel):
    """The making of a read before the preview, see docs/adr/0012."""

    at: datetime
    """The time by the clock of the live worker, UTC."""
    contract: str
    """The digest of the contract under which it was made."""
    digest: str
    """The digest of the output."""
    proof: str = ""
    """Proof of the live role that this read returned this output at that time; empty without a key."""


class CallFailed(WireModel):
    """A call that failed."""

    kind: Literal["failed"] = "failed"
    step: str
    error: str
    undo: JsonValue = None
    """The undo token of a call that may have begun to write."""
    attempt: int = 1
    undone: int = 0
    """As in `CallSucceeded`."""


class CallStale(WireModel):
    """A call that was not made: the state that its preview relied on has changed, or an argument drifted."""

    kind: Literal["stale"] = "stale"
    step: str
    error: str


class CallInDoubt(WireModel):
    """A call that may or may not have taken effect."""

    kind: Literal["in_doubt"] = "in_doubt"
    step: str
    error: str
    undo: JsonValue = None
    """The undo token that the call left, if any."""
    running: bool = False
    """True if its code may still be running, so that no probe can settle the call yet."""
    token_lost: bool = False
    """True if the call may have left a token that was lost with its worker."""
    undone: int = 0
    """As in `CallSucceeded`."""
    lost: bool = False
    """True if the call may still take effect: its worker was lost and may only be frozen, or its target is still at it."""
    attempt: int = Field(default=1, exclude_if=lambda attempt: attempt == 1)
    """The number of the attempt; the workflow counts, a worker leaves it out."""


class RetryableFailure(WireModel):
    """A failed attempt that the contract may allow to repeat."""

    kind: Literal["again"] = "again"
    step: str
    error: str
    doubtful: bool
    """True if the answer was lost, so that the attempt may have taken effect."""
    certain: bool = False
    """True if the attempt certainly had no effect."""
    undo: JsonValue = None
    after: float = 0.0
    """Seconds to wait before the next attempt."""
    token_lost: bool = False
    """True if the attempt may have left a token that was lost with its worker."""
    turned_away: bool = False
    """True if the target was never called, so that this does not count as an attempt."""
    lost: bool = False
    """True if the attempt may still be running: its worker was lost, its thread goes on, or its target is still at it."""
    elsewhere: bool = Field(default=False, exclude_if=lambda elsewhere: not elsewhere)
    """True if this worker lacks the contract that was approved, and another one may have it; then `turned_away` is too."""


class CallUnpermitted(WireModel):
    """A call that was not made, because its permit does not hold on this worker: the run must enter LIVE again."""

    kind: Literal["unpermitted"] = "unpermitted"
    step: str
    error: str


CallOutcome = Annotated[CallSucceeded | CallFailed | CallStale | CallInDoubt, Field(discriminator="kind")]
Attempt = Annotated[
    CallSucceeded | CallFailed | CallStale | CallInDoubt | RetryableFailure | CallUnpermitted, Field(discriminator="kind")
]


class Undone(WireModel, WorkerMessage):
    """A compensation that succeeded."""

    kind: Literal["undone"] = "undone"
    step: str


class UndoFailed(WireModel, WorkerMessage):
    """A compensation that failed; the plan parks until an operator settles it."""

    kind: Literal["undo_failed"] = "undo_failed"
    step: str
    error: str


UndoOutcome = Annotated[Undone | UndoFailed, Field(discriminator="kind")]


class ProbeAnswer(WireModel, WorkerMessage):
    """The answer of a tool's probe about a call in doubt."""

    step: str
    happened: bool | None
    """True if the call took effect, False if it did not, None if the probe cannot tell."""
    output: JsonValue = None
    undo: JsonValue = None
    why: str = ""
