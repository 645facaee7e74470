"""The state of one plan's run, which continue-as-new carries and the queries show.

A plain object without Temporal: the workflow reports events to it, and acts on the state that follows.
"""

from datetime import datetime, timedelta
from typing import Any

from pydantic import BaseModel, Field, TypeAdapter, field_serializer

from airlock.admission.admitted import Admitted
from airlock.admission.ceiling import Cap, Ceiling, ceilings
from airlock.base.model import WorkerMessage, is_empty
from airlock.base.names import undo_workflow_id
from airlock.base.text import shorten
from airlock.gates.protocol import GateWait, HeldSlot
from airlock.plans.contract import Mode
from airlock.plans.outcome import StepPreview
from airlock.plans.plan import Plan, Step
from airlock.plans.state import Event, State, advance
from airlock.run.audit import LATELY_REFUSED, MAX_REFUSALS, AuditEntry, AuditKind
from airlock.run.call_record import CallEvent, CallRecord, CallStatus, changed, is_possible
from airlock.run.messages import Unlock
from airlock.run.outcome import Outcome
from airlock.run.permit import RunPermit
from airlock.run.sealing.amendment import Amendment
from airlock.run.sealing.earlier_seal import EarlierSeal
from airlock.run.sealing.seal_record import SealRecord
from airlock.run.sealing.sealed import ReplacedSeal, Sealed
from airlock.run.standing_decisions import LockHeld, RollbackRequest, Voice, Vote
from airlock.run.undo import Undoing
from airlock.signing.load import ProofLoad
from airlock.signing.nonces import Nonces

_CALLS = TypeAdapter(dict[str, CallRecord])
_AUDIT = TypeAdapter(list[AuditEntry])


class Run(BaseModel, WorkerMessage):
    """One plan's run. Times are UTC. Mutable: the workflow owns exactly one."""

    plan: Plan
    submitted_at: datetime
    undoing: Undoing | None = None
    """Set if this is the run of the undo of a plan that has ended."""
    reset_from: str = ""
    """The id of the run that this run, or a run that it continues, was reset from; empty without a reset."""
    state: State = State.MOCK
    since: datetime
    why: str = "submitted"
    outcome: Outcome | None = None
    admitted: Admitted | None = None
    fallen: dict[str, Cap] = Field(default_factory=dict)
    """The cap of every step whose mock or preview failed, by step."""
    mock_failed: tuple[str, ...] = ()
    preparing: bool = Field(default=False, exclude=True)
    """True while one activity admits, mocks and previews the plan: its dry runs may be under way."""
    dropped: int = Field(default=0, exclude=True)
    """The number of activities without effects that the run asked for and dropped; a worker may still carry one out."""
    kept_apart: bool = Field(default=False, exclude=True)
    """True once the ids of later ones end with that number."""
    previews: dict[str, StepPreview] = Field(default_factory=dict)
    """The previews that are not part of a seal yet, by step."""
    ceilings: dict[str, Ceiling] = Field(default_factory=dict)
    digest: str | None = None
    sealed: Sealed | None = None
    seals: list[SealRecord] = Field(default_factory=list, exclude=True)
    """The seals that this run knows, oldest first. A replay makes them again, so that a continue-as-new carries only one."""
    life: str = Field(default="", exclude_if=is_empty)
    """The name of the run's life, unique in the namespace; a reset begins another one."""
    namespace: str = Field(default="", exclude=True)
    """The namespace of Temporal in which this runs; a statement of a person names it."""
    proof_load: ProofLoad = Field(default_factory=ProofLoad, exclude=True)
    voice_load: ProofLoad = Field(default_factory=ProofLoad, exclude=True)
    nonces: Nonces | None = Field(default=None, exclude_if=is_empty)
    """The nonces of this life that people have signed with; None before the first."""
    sealed_at: datetime | None = Field(default=None, exclude_if=is_empty)
    """The time of the sealing, UTC."""
    expires_at: datetime | None = None
    votes: tuple[Vote, ...] = ()
    pending_votes: tuple[Vote, ...] = ()
    """The approvals that arrived as signals and are not judged yet, with the time at which the run learned of them."""
    approved_until: datetime | None = None
    """The time at which the approval gets too old to begin a call; None without votes, or before approvals had an age."""
    replaced: tuple[ReplacedSeal, ...] = ()
    earlier: tuple[EarlierSeal, ...] = Field(default=(), exclude_if=is_empty)
    """The seals before the current one whose approvals still count for some steps, oldest first."""
    amendment: Amendment | None = Field(default=None, exclude_if=is_empty)
    """The amendment that is rehearsed now; None once it is sealed."""
    amendments: int = Field(default=0, exclude_if=is_empty)
    """The number of accepted amendments so far."""
    leaving: tuple[str, ...] = Field(default=(), exclude_if=is_empty)
    """The steps of the current seal whose dry runs told later ones what their calls leave."""
    previewed_since: datetime | None = Field(default=None, exclude_if=is_empty)
    """The time of the seal from which the oldest preview of the current seal is, UTC."""
    approved: tuple[str, ...] = ()
    unread: tuple[str, ...] = Field(default=(), exclude_if=is_empty)
    """The steps that could not be read before this preview; they go the way of every other step."""
    reads: int = Field(default=0, exclude_if=is_empty)
    """The number of requests so far for reads before the preview; it names the next one."""
    calls: dict[str, CallRecord] = Field(default_factory=dict)
    """The live call of every step that has one; its status changes by `change_call`."""
    outputs: dict[str, Any] = Field(default_factory=dict)
    """The outputs that the run carries, by step; see `outputs.keep_output`."""
    carried: int = 0
    """The size of `outputs`, in bytes of JSON."""
    heavy_previews: int = 0
    """The size of all large previews together, in bytes of JSON."""
    in_flight: tuple[str, ...] = ()
    cancel_heeded: bool = Field(default=False, exclude=True)
    """True once a cancellation of the workflow has had its effect; the run that continues this one is not cancelled."""
    gates: tuple[HeldSlot, ...] = ()
    """The slots that the run holds."""
    opening: tuple[str, ...] = Field(default=(), exclude=True)
    """The names of the slots that the activity of the first calls asks for, while it is under way."""
    gate_wait: GateWait | None = None
    """The gate in whose queue the run waits."""
    claims: dict[str, str] = Field(default_factory=dict)
    """The run's claim for each irreversible step, by step."""
    stays: int = 0
    """The number of times that the run went to the gates; it names the request there."""
    lost: tuple[str, ...] = ()
    """The steps of which an attempt was lost with its worker, which may only be frozen, although a later one answered."""
    sent_back: tuple[int, ...] = Field(default=(), exclude_if=is_empty)
    """The fencing tokens of calls that a worker began and that Temporal does not know of any more, ascending."""
    begun: dict[int, tuple[str, ...]] = Field(default_factory=dict, exclude=True)
    """The steps of these calls that this run was told of, by fencing token. No stay outlasts the run that it began in."""
    fence: int = 0
    """The fencing token of the latest attempt, compensation or probe."""
    told_doubts: tuple[str, ...] = ()
    """The steps in doubt, and those in `lost`, that the live gate knows of."""
    permit: RunPermit | None = Field(default=None, exclude=True)
    """The permit of this run. It is bound to the run, so that a continue-as-new does not carry it."""
    entry_refusals: int = Field(default=0, exclude_if=is_empty)
    """The number of refused entries to LIVE since the last vote or the last entry."""
    renewals: int = Field(default=0, exclude_if=is_empty)
    """The number of entries to LIVE, one after the other, because of calls that were turned away."""
    handed_back_since: datetime | None = Field(default=None, exclude_if=is_empty)
    """Since when only workers without the approved contract have answered, UTC; see `handed_back`."""
    displaced: bool = False
    """True after a reset to a point at which the run held slots that other plans may hold by now."""
    lock: LockHeld | None = None
    unlock_later: Unlock | None = None
    """The live gate's unlock, kept until no call is running."""
    rollback: RollbackRequest | None = None
    voices: tuple[Voice, ...] = Field(default=(), exclude_if=is_empty)
    """The decisions that wait for another person to decide the same."""
    audit: list[AuditEntry] = Field(default_factory=list)
    audited: int = 0
    """The number of audit entries so far."""
    moves: int = 0
    """The number of changes of the state so far."""
    refused: int = 0
    """The number of refusals so far, those included that `audit` does not hold."""
    lately_refused: tuple[AuditEntry, ...] = ()

    @field_serializer("calls")
    def _short_calls(self, calls: dict[str, CallRecord]) -> dict[str, Any]:
        # finished calls are all that makes a run grow from one continue-as-new to the next: without what says nothing, a
        # record takes a third of the bytes. A default of these models must therefore keep its meaning for ever
        short: dict[str, Any] = _CALLS.dump_python(calls, mode="json", exclude_defaults=True)
        return short

    @field_serializer("audit")
    def _short_audit(self, audit: list[AuditEntry]) -> list[Any]:
        short: list[Any] = _AUDIT.dump_python(audit, mode="json", exclude_defaults=True)
        return short

    def record(self, kind: AuditKind, what: str, now: datetime, **more: Any) -> None:
        """Add an audit entry; refusals beyond `MAX_REFUSALS` are only counted.

        The last few refusals are always kept, so that an approver who is refused after a flood still learns the reason.
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
        """Change the state by the table of states; an event that the table does not have is recorded as refused.

        Returns:
            True if the event was applied.
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

    def change_call(self, step: str, event: CallEvent, now: datetime, **fields: Any) -> bool:
        """Change the status of a step's call by the table of calls; an event that it does not have is recorded as refused.

        Args:
            step: The step.
            event: The event.
            now: UTC.
            fields: The other fields of the call's record that the event changes.

        Returns:
            True if the event was applied; otherwise the call's record is unchanged.
        """
        record = self.calls.get(step)
        status = record.status if record else None
        if not is_possible(status, event):
            why = f"not possible for a call that is {status.value}" if status else "not possible without a call"
            self.record(AuditKind.REFUSED, event.value, now, step=step, reason=why)
            return False
        after = changed(record, event, **fields)
        if after is None:
            del self.calls[step]
        else:
            self.calls[step] = after
        return True

    @property
    def steps(self) -> tuple[Step, ...]:
        """The plan's steps as admission froze them: with their agents after a conflict and their canonical arguments."""
        return tuple(map(self.admitted.step, self.plan.steps)) if self.admitted else self.plan.steps

    def step(self, step_id: str) -> Step:
        """Return one of the plan's steps as admission froze it.

        Raises:
            KeyError: If there is no such step; a mistake of the caller.
        """
        step = self.plan.step(step_id)
        if step is None:
            raise KeyError(step_id)
        return self.admitted.step(step) if self.admitted else step

    @property
    def steps_with(self) -> dict[CallStatus, tuple[str, ...]]:
        """The steps in each call status, in the plan's order."""
        by_status: dict[CallStatus, list[str]] = {status: [] for status in CallStatus}
        for step in self.plan.steps:
            if step.id in self.calls:
                by_status[self.calls[step.id].status].append(step.id)
        return {status: tuple(steps) for status, steps in by_status.items()}

    @property
    def live(self) -> tuple[str, ...]:
        """The steps whose effect stands, including those that can never be undone."""
        by_status = self.steps_with
        kept = tuple(step for step in by_status[CallStatus.KEPT] if not self.calls[step].failed)
        return by_status[CallStatus.LIVE] + kept

    @property
    def acted(self) -> bool:
        """True if the run has made a call other than reads before its preview, which nothing must be undone for."""
        return any(record.read is None for record in self.calls.values())

    @property
    def lasting(self) -> tuple[str, ...]:
        """The live steps without those that were read before the preview, which can be forgotten."""
        return tuple(step for step in self.live if self.calls[step].read is None)

    @property
    def only_read(self) -> bool:
        """True if every step of the plan was read before its preview."""
        return bool(self.calls) and not self.acted and len(self.live) == len(self.plan.steps)

    @property
    def parked(self) -> tuple[str, ...]:
        """The steps that wait for a human: calls in doubt and failed compensations."""
        by_status = self.steps_with
        return by_status[CallStatus.IN_DOUBT] + by_status[CallStatus.UNDO_FAILED]

    @property
    def name(self) -> str:
        """The name of this run for people: the plan id, or `undo-<plan_id>` for the undo after the plan's end."""
        return self.plan.plan_id if self.undoing is None else undo_workflow_id(self.plan.plan_id)

    @property
    def nonce(self) -> str:
        """The nonce of the next signed decision, the same for everyone."""
        return (self.nonces or Nonces()).latest(self.name, self.life)

    @property
    def requester(self) -> str:
        """The person who requested the plan, or its undo, and therefore must not approve it."""
        return self.plan.requested_by if self.undoing is None else self.undoing.by

    @property
    def folds_names(self) -> bool:
        """True if every spelling of a name is one person in this run: it was admitted under the rules of epoch 1."""
        return self.admitted is not None and self.admitted.epoch >= 1

    @property
    def deadline_at(self) -> datetime | None:
        """The plan's deadline, UTC; None without one, and for an undo after the end, which has none."""
        allowed = self.plan.deadline_seconds if self.undoing is None else None
        return None if allowed is None else self.submitted_at + timedelta(seconds=allowed)

    def contracts(self) -> Admitted:
        """Return the frozen contracts and policy.

        Raises:
            RuntimeError: If the plan is not admitted yet; a mistake of the caller.
        """
        if self.admitted is None:
            raise RuntimeError("the plan is not admitted yet")
        return self.admitted

    def fall(self, step: str, mode: Mode, error: str) -> None:
        """Lower a step's ceiling because a mock or a preview of it failed."""
        self.fallen[step] = Cap(mode=mode, reason=shorten(error))

    def update_ceilings(self) -> None:
        """Compute every ceiling from the caps, the failures so far and the graph."""
        admitted = self.contracts()
        live = set(self.live)
        caps = {
            step: () if step in live else (*own, *((self.fallen[step],) if step in self.fallen else ()))
            for step, own in admitted.caps.items()
        }
        self.ceilings = ceilings(admitted.order, admitted.parents, caps)

    def left(self, mode: Mode) -> tuple[str, ...]:
        """Return the steps that are not live and may reach at least `mode`, each after all that it depends on."""
        live = set(self.live)
        order = self.contracts().order
        return tuple(step for step in order if step not in live and self.ceilings[step].mode.rank >= mode.rank)
