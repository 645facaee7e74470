"""The state of one plan's run: everything that is carried through continue-as-new and shown by the queries.

A plain object without Temporal. The workflow feeds it what happened; it answers what that means.
"""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, Field

from airlock.admission.admitted import Admitted
from airlock.admission.ceiling import Cap, Ceiling, ceilings
from airlock.base.canonical import canonical_json
from airlock.base.model import WireModel, WorkerMessage
from airlock.base.names import undo_workflow_id
from airlock.base.text import shorten
from airlock.gates.protocol import GateWait, HeldSlot
from airlock.plans.contract import Mode
from airlock.plans.outcome import StepPreview
from airlock.plans.plan import Plan, Step
from airlock.plans.refs import referenced_steps
from airlock.plans.state import Event, State, advance
from airlock.run.audit import LATELY_REFUSED, MAX_REFUSALS, AuditEntry, AuditKind
from airlock.run.call_record import CallRecord, CallStatus
from airlock.run.messages import Approve, Unlock
from airlock.run.sealed import Sealed
from airlock.run.undo import Undoing

MAX_CARRIED_BYTES = 600_000
"""What all outputs together may hold, in bytes of JSON, so that the run fits a continue-as-new."""


class Outcome(StrEnum):
    """How a finished run ended."""

    COMPLETED = "completed"
    PARTIAL = "partial"
    REHEARSED = "rehearsed"
    DENIED = "denied"
    EXPIRED = "expired"
    ABORTED = "aborted"


class Vote(WireModel):
    """One approver's accepted approval."""

    approval: Approve
    at: datetime


class ReplacedSeal(WireModel):
    """A seal that is not the current one any more, and what was different in the one that followed."""

    digest: str
    why: str
    changed: tuple[str, ...] = ()


class LockHeld(WireModel):
    """A lock: settling a parked step does not lift it, only `unlock`, `rollback` or `abort` does.

    `gate` says that it came with a lock of the live gate, and goes with it.
    """

    by: str
    reason: str
    gate: bool = False


class RollbackRequest(WireModel):
    """What to undo and on whose word."""

    by: str
    reason: str
    to_step: str | None = None


class Run(BaseModel, WorkerMessage):
    """One plan's run. Times are UTC. Mutable: the workflow owns exactly one.

    `gates` are the places it holds, `gate_wait` the one it queues for, `claims` its claim for each irreversible step.
    `displaced` says that a reset has just taken it back to a point at which it held places that may be others' by now.
    `undoing` is set when it is the undo of a plan that has ended; `reset_from` is the run that it, or a run it continues,
    was reset from. `stays` counts how often it went to the gates; it names the request there. `unlock_later` is the live
    gate's word, kept until no call is running.
    """

    plan: Plan
    submitted_at: datetime
    undoing: Undoing | None = None
    reset_from: str = ""
    state: State = State.MOCK
    since: datetime
    why: str = "submitted"
    outcome: Outcome | None = None
    admitted: Admitted | None = None
    fallen: dict[str, Cap] = Field(default_factory=dict)
    mock_failed: tuple[str, ...] = ()
    previews: dict[str, StepPreview] = Field(default_factory=dict)
    ceilings: dict[str, Ceiling] = Field(default_factory=dict)
    digest: str | None = None
    sealed: Sealed | None = None
    expires_at: datetime | None = None
    votes: tuple[Vote, ...] = ()
    replaced: tuple[ReplacedSeal, ...] = ()
    approved: tuple[str, ...] = ()
    calls: dict[str, CallRecord] = Field(default_factory=dict)
    outputs: dict[str, Any] = Field(default_factory=dict)
    carried: int = 0
    heavy_previews: int = 0
    in_flight: tuple[str, ...] = ()
    gates: tuple[HeldSlot, ...] = ()
    gate_wait: GateWait | None = None
    claims: dict[str, str] = Field(default_factory=dict)
    stays: int = 0
    displaced: bool = False
    lock: LockHeld | None = None
    unlock_later: Unlock | None = None
    rollback: RollbackRequest | None = None
    audit: list[AuditEntry] = Field(default_factory=list)
    audited: int = 0
    moves: int = 0
    refused: int = 0
    lately_refused: tuple[AuditEntry, ...] = ()

    def record(self, kind: AuditKind, what: str, now: datetime, **more: Any) -> None:
        """Add an audit entry; refused messages beyond `MAX_REFUSALS` are only counted.

        The last few refusals are always kept, so that an approver who was refused after a flood still learns why.
        """
        reason = shorten(str(more.pop("reason", "")))
        entry = AuditEntry(number=self.audited + 1, at=now, kind=kind, what=what, reason=reason, **more)
        if kind is AuditKind.REFUSED:
            self.refused += 1
            self.lately_refused = (*self.lately_refused, entry)[-LATELY_REFUSED:]
            if self.refused > MAX_REFUSALS:
                return
        self.audited += 1
        self.audit.append(entry)

    def apply(self, event: Event, now: datetime, by: str = "airlock", reason: str = "") -> bool:
        """Move along the table of states; an event the table does not have is recorded as refused.

        Returns:
            Whether the state changed.
        """
        target = advance(self.state, event)
        if target is None:
            self.record(
                AuditKind.REFUSED,
                event.value,
                now,
                by=by,
                reason=f"not possible in {self.state.value}: {reason}",
            )
            return False
        self.record(
            AuditKind.TRANSITION, event.value, now, by=by, reason=reason or event.meaning,
            from_state=self.state.value, to_state=target.value, digest=self.digest,
        )  # fmt: skip
        self.state, self.since, self.why = target, now, shorten(reason or event.meaning)
        self.moves += 1
        return True

    @property
    def steps(self) -> tuple[Step, ...]:
        """The plan's steps, with the agents that admission gave them where a conflict moved them."""
        moved = self.admitted.reassigned if self.admitted else {}
        if not moved:
            return self.plan.steps
        return tuple(
            step.model_copy(update={"agent": moved[step.id]}) if step.id in moved else step for step in self.plan.steps
        )

    @property
    def steps_with(self) -> dict[CallStatus, tuple[str, ...]]:
        """The steps in each call status, in the plan's order."""
        found: dict[CallStatus, list[str]] = {status: [] for status in CallStatus}
        for step in self.plan.steps:
            if step.id in self.calls:
                found[self.calls[step.id].status].append(step.id)
        return {status: tuple(steps) for status, steps in found.items()}

    @property
    def live(self) -> tuple[str, ...]:
        """The steps whose effect stands, those included that can never be undone."""
        by_status = self.steps_with
        kept = tuple(step for step in by_status[CallStatus.KEPT] if not self.calls[step].failed)
        return by_status[CallStatus.LIVE] + kept

    @property
    def parked(self) -> tuple[str, ...]:
        """The steps that wait for a human: calls in doubt and compensations that failed."""
        by_status = self.steps_with
        return by_status[CallStatus.IN_DOUBT] + by_status[CallStatus.UNDO_FAILED]

    @property
    def name(self) -> str:
        """What people and the starter call this run: the plan id, or `undo-<plan_id>` for the undo after its end."""
        return self.plan.plan_id if self.undoing is None else undo_workflow_id(self.plan.plan_id)

    @property
    def requester(self) -> str:
        """Who asked for this, and must not approve it: the plan's requester, or who asked for its undo."""
        return self.plan.requested_by if self.undoing is None else self.undoing.by

    @property
    def deadline_at(self) -> datetime | None:
        """When the plan's own deadline passes, UTC, or None; it does not bind an undo after the end."""
        allowed = self.plan.deadline_seconds if self.undoing is None else None
        return None if allowed is None else self.submitted_at + timedelta(seconds=allowed)

    def contracts(self) -> Admitted:
        """The frozen contracts and policy.

        Raises:
            RuntimeError: If the plan was not admitted yet; a mistake of the caller.
        """
        if self.admitted is None:
            raise RuntimeError("the plan is not admitted yet")
        return self.admitted

    def displace(self) -> None:
        """Take note of a reset: what the run holds by its own memory, somebody else may hold by now."""
        if self.state in (State.LIVE, State.ROLLBACK) or self.gates or self.gate_wait or self.claims:
            self.displaced = True
            self.claims = {}
            self.moves += 1

    def begin_rehearsal(self, admitted: Admitted) -> None:
        """Start from MOCK: what is left must earn its way up again, what is live stays."""
        self.admitted = admitted
        # what another plan did may be undone or settled by now: admission looks anew
        self.calls = {step: call for step, call in self.calls.items() if call.status is not CallStatus.DUPLICATE}
        self.fallen, self.previews, self.heavy_previews = {}, {}, 0
        self.update_ceilings()

    def begin_previews(self) -> None:
        """Start from DRY_RUN: what an earlier look found out says nothing about now."""
        self.previews, self.heavy_previews = {}, 0
        self.fallen = {step: cap for step, cap in self.fallen.items() if step in self.mock_failed}
        self.update_ceilings()

    def fall(self, step: str, mode: Mode, error: str) -> None:
        """Lower a step's ceiling because a mock or a preview of it failed."""
        self.fallen[step] = Cap(mode=mode, reason=shorten(error))

    def update_ceilings(self) -> None:
        """Recompute every ceiling from the caps, the failures so far and the graph."""
        admitted = self.contracts()
        live = set(self.live)
        caps = {
            step: () if step in live else (*own, *((self.fallen[step],) if step in self.fallen else ()))
            for step, own in admitted.caps.items()
        }
        self.ceilings = ceilings(admitted.order, admitted.parents, caps)

    def left(self, mode: Mode) -> tuple[str, ...]:
        """The steps that are not live and may reach at least `mode`, each after all it depends on."""
        live = set(self.live)
        order = self.contracts().order
        return tuple(step for step in order if step not in live and self.ceilings[step].mode.rank >= mode.rank)

    def keep_output(self, step: str, output: Any) -> bool:
        """Keep what a call returned, for the steps that read it and for the result.

        When all outputs together grow too large, those that no step reads are let go; the history still has them.

        Returns:
            False if even then it does not fit, or is not JSON: it is not kept, and a step that reads it cannot be called.
        """
        self.drop_output(step)
        try:
            self.carried += self._size(output)
        except ValueError:
            return False
        self.outputs[step] = output
        if self.carried <= MAX_CARRIED_BYTES:
            return True
        # those of steps that are live too: a compensation gets the arguments its call had
        needed = {name for other in self.plan.steps for name in referenced_steps(other.args)}
        self.outputs = {name: kept for name, kept in self.outputs.items() if name in needed}
        self.carried = sum(self._size(kept) for kept in self.outputs.values())
        if self.carried <= MAX_CARRIED_BYTES:
            return True
        self.drop_output(step)
        return False

    def drop_output(self, step: str) -> None:
        """Let go of what a call returned."""
        if step in self.outputs:
            self.carried -= self._size(self.outputs.pop(step))

    @staticmethod
    def _size(output: Any) -> int:
        return len(canonical_json(output))
