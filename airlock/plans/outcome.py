"""How one call ended: tagged values that cross the activity boundary instead of exceptions."""

from typing import Annotated, Literal

from pydantic import Field, JsonValue

from airlock.base.model import WireModel, WorkerMessage
from airlock.plans.refs import UNKNOWN


class MockFailed(WireModel):
    """A step whose mock did not work; its ceiling falls to MOCK."""

    step: str
    error: str


class StepPreview(WireModel):
    """What the approver is shown of one step.

    `args` are the arguments as the live call would get them; what only the live run will know is `UNKNOWN`, a secret is
    shown by its name. `looked` says whether the tool's dry run was called.
    """

    kind: Literal["previewed"] = "previewed"
    step: str
    looked: bool
    effect: str
    args: dict[str, JsonValue]
    output: JsonValue = UNKNOWN
    observed: JsonValue = None
    undo: str | None = None


class PreviewFailed(WireModel):
    """A step whose dry run did not work; its ceiling falls to MOCK."""

    kind: Literal["preview_failed"] = "preview_failed"
    step: str
    error: str


PreviewOutcome = Annotated[StepPreview | PreviewFailed, Field(discriminator="kind")]


class CallSucceeded(WireModel):
    """The call took effect.

    `drift` lists the arguments that differ from what was previewed; `matched` says whether the output is what the preview
    predicted, None where it predicted nothing. `seconds` is the duration of the last attempt. `broken` says why its output
    cannot be used: the call took effect and is not made again, but the plan fails. `undone` is how often it was taken back
    before, where an earlier run, which this one was reset from, knows of more.
    """

    kind: Literal["live"] = "live"
    step: str
    output: JsonValue
    undo: JsonValue = None
    drift: tuple[str, ...] = ()
    matched: bool | None = None
    attempt: int = 1
    seconds: float = 0.0
    broken: str = ""
    undone: int = 0
    receipt: str = ""
    """The live role's own proof of what the call returned."""
    made: str = ""
    """The live role's own proof that it made the call, for its compensation."""


class CallFailed(WireModel):
    """The call failed. `undo` is the token it left when it may have begun to write; `undone` as in `CallSucceeded`."""

    kind: Literal["failed"] = "failed"
    step: str
    error: str
    undo: JsonValue = None
    attempt: int = 1
    undone: int = 0
    made: str = ""
    """As in `CallSucceeded`."""


class CallStale(WireModel):
    """The call was not made: what its preview relied on has moved, or an argument of a guarded step drifted."""

    kind: Literal["stale"] = "stale"
    step: str
    error: str


class CallInDoubt(WireModel):
    """Nobody knows whether the call took effect.

    `undo` is the token it left, if any. `running` says that its code may still be running: no probe can settle it yet.
    `token_lost` says that it may have left a token which went down with its worker; `undone` as in `CallSucceeded`.
    """

    kind: Literal["in_doubt"] = "in_doubt"
    step: str
    error: str
    undo: JsonValue = None
    running: bool = False
    token_lost: bool = False
    undone: int = 0
    made: str = ""
    """As in `CallSucceeded`."""


class RetryableFailure(WireModel):
    """This attempt did not work, but the contract may allow another.

    `doubtful` says that its answer was lost, so that it may have taken effect; `certain` that it certainly did not;
    `token_lost` that it may have left a token which went down with its worker; `turned_away` that the target was never
    asked, so that it does not count as an attempt. `after` is how long to wait before the next one, in seconds.
    """

    kind: Literal["again"] = "again"
    step: str
    error: str
    doubtful: bool
    certain: bool = False
    undo: JsonValue = None
    after: float = 0.0
    token_lost: bool = False
    turned_away: bool = False


CallOutcome = Annotated[CallSucceeded | CallFailed | CallStale | CallInDoubt, Field(discriminator="kind")]
Attempt = Annotated[CallSucceeded | CallFailed | CallStale | CallInDoubt | RetryableFailure, Field(discriminator="kind")]


class Undone(WireModel, WorkerMessage):
    """A compensation that worked."""

    kind: Literal["undone"] = "undone"
    step: str


class UndoFailed(WireModel, WorkerMessage):
    """A compensation that did not work; the plan parks until a human settles it."""

    kind: Literal["undo_failed"] = "undo_failed"
    step: str
    error: str


UndoOutcome = Annotated[Undone | UndoFailed, Field(discriminator="kind")]


class ProbeAnswer(WireModel, WorkerMessage):
    """What the tool's probe says of a call in doubt; `happened` None means that it cannot tell."""

    step: str
    happened: bool | None
    output: JsonValue = None
    undo: JsonValue = None
    why: str = ""
    receipt: str = ""
    """As in `CallSucceeded`."""
    made: str = ""
    """As in `CallSucceeded`."""
