"""The request for reads before a preview, and the answer of the live worker."""

from airlock.base.model import WireModel, WorkerMessage
from airlock.gates.protocol import LiveSlot
from airlock.plans.outcome import CallSucceeded, EarlyRead
from airlock.run.decisions.evidence import Evidence
from airlock.run.live.call_messages import CallRequest


class ReadRequest(WireModel, WorkerMessage):
    """Reads to make before the preview of a plan, each after all that it depends on."""

    plan_id: str
    holder: str
    """Workflow id of the plan."""
    execution: str
    """First of the runs that this one continues."""
    request: str
    """Name of the request at the live gate."""
    evidence: Evidence
    """The seal of these reads alone, without votes."""
    live: LiveSlot
    """The question to the live gate: locks and budgets."""
    calls: tuple[CallRequest, ...]
    parents: dict[str, tuple[str, ...]]
    """The steps of this request that each step depends on."""


class StepRead(WireModel):
    """The outcome of one read: exactly one of `made`, `failed` and `skipped` is set."""

    step: str
    made: CallSucceeded | None = None
    read: EarlyRead | None = None
    """Set with `made`."""
    failed: str = ""
    """The error of the last attempt."""
    skipped: str = ""
    """The reason why it was not made; the step may still be called later."""


class ReadResult(WireModel, WorkerMessage):
    """The outcomes of the reads of a request; a step that is missing was not read."""

    reads: tuple[StepRead, ...] = ()
    refused: str = ""
    """The reason why none was made; empty if the live worker let them."""
