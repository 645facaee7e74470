"""Requests for live calls and compensations, and the worker's answers."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from pydantic import Field, JsonValue, SerializerFunctionWrapHandler, model_serializer, model_validator

from airlock.base.model import WireModel, WorkerMessage, is_empty
from airlock.base.names import RESOURCE_GATE_PREFIX
from airlock.gates.answers import AcquireGranted, AcquireResult
from airlock.gates.protocol import HeldSlot
from airlock.plans.contract import Contract
from airlock.plans.outcome import Attempt, StepPreview
from airlock.plans.plan import Step
from airlock.run.decisions.evidence import EntryRequest
from airlock.run.undo import UndoLook

ATTEMPTS_IN_ONE: Final = 1_000
"""Fencing tokens of attempts between two tokens of a gate, which are milliseconds."""
_OPENING: Final = "opening"


def raised(fences: Sequence[int], held: Sequence[HeldSlot]) -> list[int]:
    """Return the fencing tokens of calls, raised above those of every plan that held one of these resources before.

    Args:
        fences: The tokens as they were counted before the gates granted, ascending.
        held: The slots that the gates granted.
    """
    least = max((slot.fence * ATTEMPTS_IN_ONE + 1 for slot in held if slot.gate.startswith(RESOURCE_GATE_PREFIX)), default=0)
    found: list[int] = []
    for fence in fences:
        found.append(max(fence, least))
        least = found[-1] + 1
    return found


class OutputReceipt(WireModel):
    """The proof of the live role that a call returned an output."""

    undone: int = 0
    """The number of times that the call had been compensated."""
    proof: str


class LeftStates(WireModel):
    """The states that an earlier call of the plan left, with the proof of the live role."""

    states: dict[str, JsonValue]
    """By name."""
    undone: int = 0
    """The number of times that the call had been compensated."""
    proof: str = ""


class CallRequest(WireModel):
    """One live call to make."""

    step: Step
    contract: Contract
    preview: StepPreview | None = None
    outputs: dict[str, Any] = Field(default_factory=dict)
    """The outputs that the step's references read, without those of earlier calls in the same chain."""
    undone: int = 0
    """The number of times that the step's call was compensated; it is part of the idempotency key."""
    attempt: int = 1
    undo: JsonValue = None
    """The undo token that an earlier attempt left, if any."""
    fence: int | None = None
    """The fencing token of the attempt; None from a workflow of version 0.1 for a call that touches no resource."""
    token: str = ""
    """Proof of the live role that this very call was approved."""
    receipts: dict[str, OutputReceipt] = Field(default_factory=dict)
    """The receipts of `outputs`, where a live call returned them."""
    may_drift: tuple[str, ...] = ()
    """The arguments whose rule, not whose value, was approved."""
    epoch: int = 0
    """The rules of the run, see `airlock.admission.admitted.EPOCH`."""
    wanted: tuple[str, ...] = Field(default=(), exclude_if=is_empty)
    """The names of the things whose state, as this call leaves it, the dry runs of later steps could not foresee."""
    left: dict[str, LeftStates] = Field(default_factory=dict, exclude_if=is_empty)
    """The states that this call is to compare with, by the step that left them, without those of the same chain."""

    @property
    def last_attempt(self) -> bool:
        """True if the contract allows no further attempt after this one."""
        checked = self.preview is not None and self.preview.observed is not None
        return self.attempt >= self.contract.attempts(checked=checked)


class ChainRequest(WireModel, WorkerMessage):
    """Calls to make in order: each one only once the previous call is live, and only while the plan is not stopped.

    If `run_id` and `first_run_id` differ, or another run carries the calls out, an earlier run may have made them already.
    """

    plan_id: str
    calls: tuple[CallRequest, ...]
    run_id: str = ""
    """The id of the run that commanded the calls."""
    first_run_id: str = ""
    """The id of the run that this run was reset from; its own id without a reset."""
    receipt: str = ""
    """The receipt of the evidence, from the entry to LIVE."""
    entry: str = ""
    """The pass of this stay in LIVE."""
    enter: EntryRequest | None = Field(default=None, exclude_if=lambda enter: enter is None)
    """The request to enter LIVE first, in the same activity; without receipt and pass then. None if the plan has entered."""

    @property
    def mark(self) -> str:
        """The receipt, or the stay that the calls open: what tells one approval's calls from those of another one."""
        return self.receipt or (f"stay {self.enter.request}" if self.enter else "")

    @model_validator(mode="before")
    @classmethod
    def _read_opening(cls, data: Any) -> Any:
        if not isinstance(data, Mapping) or _OPENING not in data:
            return data
        return {**data, "calls": data[_OPENING]}

    @model_serializer(mode="wrap")
    def _write_opening(self, handler: SerializerFunctionWrapHandler) -> Any:
        # a live worker of a version that cannot enter would make the calls without the gates: it finds none to make
        written = handler(self)
        return written if self.enter is None else {**written, "calls": [], _OPENING: written["calls"]}

    def entered(self, granted: AcquireGranted) -> "ChainRequest":
        """Return the calls as they may be made once every gate has granted."""
        fences = raised([call.fence or 0 for call in self.calls], granted.held)
        calls = tuple(
            call.model_copy(update={"fence": fence, "token": granted.tokens.get(call.step.id, call.token)})
            for call, fence in zip(self.calls, fences, strict=True)
        )
        found = {"calls": calls, "receipt": granted.receipt, "entry": granted.permit_pass, "enter": None}
        return self.model_copy(update=found)


class ChainResult(WireModel, WorkerMessage):
    """The outcomes of a chain of calls, in order; calls that did not begin are absent."""

    attempts: tuple[Attempt, ...] = ()
    stopped: bool = False
    """True if calls were left out on purpose. Without it, an answer that has no calls does not come from Airlock."""
    entered: AcquireResult | None = Field(default=None, exclude_if=lambda entered: entered is None)
    """The answer of the gates, where the request was to enter LIVE first; None if they did not answer in time."""


class MadeCall(WireModel, WorkerMessage):
    """A live call that was made: to compensate with its undo token or, in doubt, to ask a probe about."""

    plan_id: str
    step: Step
    contract: Contract
    undo: JsonValue = None
    outputs: dict[str, Any] = Field(default_factory=dict)
    undone: int = 0
    fence: int = 0
    """The fencing token of the compensation or the probe, greater than that of every attempt at the call."""


class UndoLookRequest(WireModel, WorkerMessage):
    """Calls whose undo the tools are to check."""

    plan_id: str
    calls: tuple[MadeCall, ...]
    hand_back: bool = Field(default=False, exclude_if=is_empty)
    """True if the run asks again when a worker lacks a tool; otherwise such a worker answers that it could not look."""


class UndoLooks(WireModel, WorkerMessage):
    """The tools' answers, one for each call."""

    looks: tuple[UndoLook, ...] = ()
