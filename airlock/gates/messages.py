"""Input of a gate workflow, its questions to the worker, and their answers."""

from datetime import datetime

from pydantic import Field

from airlock.base.model import WireModel, WorkerMessage
from airlock.gates.semaphore import Gate


class RefusedMessage(WireModel):
    """Message to a gate that was refused."""

    at: datetime
    """Time of the refusal, UTC."""
    what: str
    """Name of the signal."""
    why: str


INVALID = "InvalidGate"
"""Type of the error of a gate that was started or continued with an input that is not Airlock's; the next run is asked."""


class GateStart(WireModel, WorkerMessage):
    """Input of a GateWorkflow: empty, or the state that a continue-as-new carries."""

    capacity: int = 1
    """Capacity until the first request names one."""
    after: str = ""
    """Run id of an earlier run of the gate that was terminated or failed; its state is taken up."""
    gate: Gate | None = None
    """State of the gate; accepted from a continue-as-new only."""
    refused: int = 0
    """Number of refused messages."""
    refusals: tuple[RefusedMessage, ...] = ()
    """The latest of them."""
    epoch: int = 0
    """Number of the rules that apply (`airlock.admission.admitted.EPOCH`)."""


class GateEnd(WireModel, WorkerMessage):
    """Result of a gate that ended by itself, because no plan needed it: a client can complete a gate, and not say this."""

    idle: bool = True


class CarriedGate(WireModel, WorkerMessage):
    """Complete state of a gate."""

    ready: bool
    """False while the gate has not taken up the state of an earlier run yet."""
    gate: Gate
    after: str = ""
    """Run id of that earlier run; empty if it is unknown."""
    nonce: str = ""
    """The argument of the query, so that an old answer fits no new question."""
    refused: int = 0
    refusals: tuple[RefusedMessage, ...] = ()


class Inquiry(WireModel, WorkerMessage):
    """Question of a gate: which holders are closed?"""

    holders: tuple[str, ...]
    """Workflow ids."""
    runs: dict[str, str] = Field(default_factory=dict)
    """Run id that sent the request, by workflow id, where the request named it."""


class ClosedHolder(WireModel):
    """Workflow that does not run any more."""

    holder: str
    """Workflow id."""
    at: datetime | None = None
    """Time of the close, UTC; None if there is no such workflow."""
    completed: bool = False
    """True if it completed normally."""
    calls: tuple[str, ...] = ("",)
    """Steps whose calls may be running all the same; the empty name stands for any."""


class InquiryResult(WireModel, WorkerMessage):
    """Answer to an `Inquiry`: the holders that are closed."""

    closed: tuple[ClosedHolder, ...] = ()


class RecallRequest(WireModel, WorkerMessage):
    """Question of a gate: what was the state of its earlier run?"""

    gate: str
    """Workflow id of the gate."""
    run: str
    """Run id that asks."""
    after: str = ""
    """Run id of the earlier run; empty if it is unknown."""
    reset: bool = False
    """True if the run that asks was reset: the earlier run is the one it was reset from."""


class RecallResult(WireModel, WorkerMessage):
    """State of an earlier run."""

    carried: CarriedGate | None = None
    """The state; None if there is nothing to take up."""
    problem: str = ""
    """Reason why the state cannot be read."""
