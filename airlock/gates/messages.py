"""The input of a gate workflow, its questions to the worker, and their answers."""

from datetime import datetime

from pydantic import Field

from airlock.base.model import WireModel, WorkerMessage
from airlock.gates.semaphore import Gate


class RefusedMessage(WireModel):
    """Something that was sent to a gate and refused. `at` is UTC."""

    at: datetime
    what: str
    why: str


class GateStart(WireModel, WorkerMessage):
    """The input of a GateWorkflow: nothing, or what a continue-as-new carries.

    `after` is the run id of an earlier run of the same gate that did not end by itself; its state is taken up. `capacity` is
    counts until a plan asks.
    """

    capacity: int = 1
    after: str = ""
    gate: Gate | None = None
    refused: int = 0
    refusals: tuple[RefusedMessage, ...] = ()


class CarriedGate(WireModel, WorkerMessage):
    """All that a gate knows. Not `ready`: it has not taken up yet what an earlier run, maybe `after`, knew."""

    ready: bool
    gate: Gate
    after: str = ""
    refused: int = 0
    refusals: tuple[RefusedMessage, ...] = ()


class Inquiry(WireModel, WorkerMessage):
    """The holders to look up; `runs` names the run of those that said theirs."""

    holders: tuple[str, ...]
    runs: dict[str, str] = Field(default_factory=dict)


class ClosedHolder(WireModel):
    """A workflow that does not run any more, since when (UTC; None if it does not exist), and whether it completed."""

    holder: str
    at: datetime | None = None
    completed: bool = False


class InquiryResult(WireModel, WorkerMessage):
    """The holders that do not run any more."""

    closed: tuple[ClosedHolder, ...] = ()


class RecallRequest(WireModel, WorkerMessage):
    """The gate that asks for the state of its earlier run. `after` is that run, if it is known; `run` the asking one."""

    gate: str
    run: str
    after: str = ""


class RecallResult(WireModel, WorkerMessage):
    """The state of an earlier run; None if there is none to take over. `problem` says why it cannot be read."""

    carried: CarriedGate | None = None
    problem: str = ""
