"""Which gates and claims a run needs before it calls, what it makes of their answers, and what it gives back when.

A run holds places only while it is LIVE; in ROLLBACK and while it is parked those of its resources: whoever waits for a
human holds up nobody else's turn. It takes resources first, then tools, then the live gate, in one order for all plans, so
that no two of them wait for each other; what it learns to need later it takes only if it is free at once.
"""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any, assert_never

from airlock.admission.admit import resource_names
from airlock.admission.budget import budgets_of, scopes, spending_by_agent
from airlock.admission.call_digest import known_digest
from airlock.admission.conflicts.conflict import Answer, ConflictKind
from airlock.base.errors import RefError
from airlock.base.names import LIVE_GATE, RESOURCE_GATE_PREFIX
from airlock.base.text import shorten
from airlock.gates.answers import AcquireBusy, AcquireClosed, AcquireGranted, AcquireQueued, AcquireRefused, AcquireResult
from airlock.gates.protocol import (
    AcquireRequest,
    ClaimOutcome,
    ClaimWanted,
    LeaveRequest,
    LiveSlot,
    SettledClaim,
    ToolSlots,
)
from airlock.plans.contract import Contract
from airlock.plans.graph import descendants
from airlock.plans.plan import Step
from airlock.plans.refs import as_marker, bind, contains_unknown
from airlock.plans.state import State
from airlock.run.audit import AuditKind
from airlock.run.call_record import CallRecord, CallStatus
from airlock.run.decisions import decide, steps_to_undo
from airlock.run.messages import Lock
from airlock.run.state import Run


def entry_request(run: Run, holder: str) -> AcquireRequest:
    """What a run asks for before it goes LIVE: everything that is known now.

    A run that comes back with resources it kept waits for no other one while it holds these: what it has learned to need
    since, it takes at the call.

    Args:
        run: The plan's run, in LIVE.
        holder: Its workflow id.
    """
    admitted, live = run.contracts(), set(run.live)
    open_steps = [step for step in run.approved if step not in live]
    touched = sorted({*open_steps, *steps_to_undo(run)})
    by_id = {step.id: step for step in run.steps}
    comes_back = bool(run.gates) and run.gate_wait is None
    return AcquireRequest(
        plan_id=run.plan.plan_id,
        holder=holder,
        request=str(run.stays),
        resources=() if comes_back else _resources(run, touched),
        tools=_tool_slots(run, open_steps),
        live=LiveSlot(
            capacity=admitted.policy.max_live_escalations,
            scopes=scopes(run.steps, admitted, open_steps),
            spending=spending_by_agent(run.steps, admitted, open_steps),
            budgets=budgets_of(admitted.policy, sorted({by_id[step].agent for step in open_steps})),
        ),
        claims=tuple(wanted for step in open_steps if (wanted := _claim(run, by_id[step])) is not None),
        held=run.gates,
        grace=_grace(run, touched),
        reset=bool(run.reset_from),
    )


def rollback_request(run: Run, holder: str) -> AcquireRequest | None:
    """What a run asks for before it compensates; None when it holds everything already, as after LIVE."""
    covered = steps_to_undo(run)
    resources = _resources(run, covered)
    if set(resources) <= {held.name for held in run.gates}:
        return None
    return AcquireRequest(
        plan_id=run.plan.plan_id,
        holder=holder,
        request=str(run.stays),
        resources=resources,
        held=run.gates,
        urgent=True,
        grace=_grace(run, covered),
    )


def late_request(run: Run, holder: str, step: Step) -> AcquireRequest | None:
    """What a call needs that was not known at the entry; None in the common case. Nothing is waited for."""
    resources = resources_of(run, step, run.outputs)
    missing = tuple(name for name in resources if name not in {held.name for held in run.gates})
    claim = _claim(run, step)
    if not missing and claim is None:
        return None
    return AcquireRequest(
        plan_id=run.plan.plan_id,
        holder=holder,
        request=str(run.stays),
        resources=missing,
        claims=(claim,) if claim else (),
        held=run.gates,
        wait=False,
        grace=_grace(run, [step.id]),
        reset=bool(run.reset_from),
    )


def take_acquired(run: Run, result: AcquireResult, now: datetime) -> bool:
    """Keep what was acquired; True when the run may go on to its calls.

    A closed live gate locks the run, a budget that is used up too; both wait for a human then.
    """
    take_late(run, result)
    waited = run.gate_wait
    take_wait(run, result)
    match result:
        case AcquireQueued(waiting=wait) | AcquireBusy(busy=wait):
            if waited is None or waited.gate != wait.gate:
                by = f", held by {', '.join(wait.holders[:5])}" if wait.holders else ""
                reason = f"waits for {wait.name}{by}"
                run.record(AuditKind.CONFLICT, ConflictKind.RESOURCE.value, now, reason=reason, answer=Answer.DELAY.value)
        case AcquireClosed(closed=closed):
            decide(run, "lock", Lock(by=closed.by, reason=closed.reason, gate=True), now)
        case AcquireRefused(refused=why):
            decide(run, "lock", Lock(by="airlock", reason=shorten(f"over budget: {why}")), now)
        case AcquireGranted(duplicates=duplicates):
            drop_duplicates(run, duplicates, now)
            return True
        case _:
            assert_never(result)
    return False


def take_wait(run: Run, result: AcquireResult) -> None:
    """Remember where the run queues; `busy` means that even the queue is full."""
    match result:
        case AcquireQueued(waiting=wait) | AcquireBusy(busy=wait):
            run.gate_wait = wait.model_copy(update={"urgent": run.state is State.ROLLBACK})
        case _:
            run.gate_wait = None


def take_late(run: Run, result: AcquireResult) -> None:
    """Keep what was acquired for one call; other calls of the run may have got something of their own meanwhile."""
    held = {place.gate: place for place in (*run.gates, *result.held)}
    run.gates = tuple(held[gate] for gate in sorted(held))
    if isinstance(result, AcquireGranted):
        run.claims |= result.claimed


def late_refusal(result: AcquireResult) -> str:
    """Return the reason why a call must not be made after its late request, as a sentence; empty if all was granted."""
    match result:
        case AcquireGranted():
            return ""
        case AcquireBusy(busy=wait):
            by = ", ".join(wait.holders) or "another plan"
            return f"it needs {wait.name}, which {by} holds at the moment"
        case AcquireQueued(waiting=wait):
            return f"it needs {wait.name}, and is in the queue for it"
        case AcquireClosed(closed=closed):
            return shorten(f"it needs a gate that {closed.by} closed: {closed.reason}")
        case AcquireRefused(refused=why):
            return shorten(why)
        case _:
            assert_never(result)


def drop_duplicates(run: Run, duplicates: Mapping[str, str], now: datetime) -> None:
    """Leave out steps whose call another plan makes or made, and everything that depends on them."""
    for step, why in sorted(duplicates.items()):
        before = run.calls.get(step)
        run.calls[step] = CallRecord(status=CallStatus.DUPLICATE, error=shorten(why), undone=before.undone if before else 0)
        behind = {step, *descendants(run.contracts().parents, step)}
        run.approved = tuple(other for other in run.approved if other not in behind)
        run.record(
            AuditKind.CONFLICT, ConflictKind.DUPLICATE_ACTION.value, now, step=step, reason=why, answer=Answer.ABORT.value
        )  # fmt: skip


def leave_request(run: Run, holder: str) -> LeaveRequest | None:
    """What a run has to give back in the state it is in; None when there is nothing.

    In ROLLBACK and while it is parked it keeps its resources and nothing else: whoever closes the live gate stops calls,
    not their undoing.
    """
    if run.outcome is None and run.state is State.LIVE:
        return None
    parked = run.state is State.LOCKED and bool(run.parked)
    keeps = run.outcome is None and (parked or run.state is State.ROLLBACK)
    kept = [held.gate for held in run.gates if keeps and held.gate.startswith(RESOURCE_GATE_PREFIX)]
    gates = [held.gate for held in run.gates if held.gate not in kept]
    if run.gate_wait is not None and not (keeps and run.gate_wait.urgent):
        gates.append(run.gate_wait.gate)
    settled = tuple(
        SettledClaim(claim=claim, step=step, outcome=outcome)
        for step, claim in sorted(run.claims.items())
        if (outcome := _settled(run, step)) is not None
    )
    if not gates and not settled:
        return None
    return _leave(run, holder, gates, settled)


def must_start_over(run: Run, holder: str) -> bool:
    """Whether a rollback needs more than the run kept, or queues where it queued for its calls.

    Waiting for one resource while holding others, out of the one order, could be a circle.
    """
    queues = run.gate_wait is not None and run.gate_wait.urgent
    return run.state is State.ROLLBACK and not queues and rollback_request(run, holder) is not None


def start_over(run: Run, holder: str) -> LeaveRequest | None:
    """Everything a run holds or queues for; None when there is nothing."""
    gates = [held.gate for held in run.gates] + ([run.gate_wait.gate] if run.gate_wait else [])
    return _leave(run, holder, gates, ()) if gates else None


def _leave(run: Run, holder: str, gates: Collection[str], settled: tuple[SettledClaim, ...]) -> LeaveRequest:
    return LeaveRequest(
        plan_id=run.plan.plan_id, holder=holder, request=str(run.stays), gates=tuple(sorted(set(gates))), settled=settled
    )


def take_left(run: Run, request: LeaveRequest) -> None:
    """Forget what was given back."""
    run.gates = tuple(held for held in run.gates if held.gate not in request.gates)
    if run.gate_wait is not None and run.gate_wait.gate in request.gates:
        run.gate_wait = None
    gone = {settled.step for settled in request.settled}
    run.claims = {step: claim for step, claim in run.claims.items() if step not in gone}


def resources_of(run: Run, step: Step, outputs: Mapping[str, Any]) -> tuple[str, ...]:
    """The resources a step's call changes, as far as these outputs tell; a call that only reads needs none."""
    contract = run.contracts().contract(step.id)
    if contract.read_only or not contract.resources:
        return ()
    try:
        known = bind(step.args, outputs, as_marker).args
    except RefError:  # its call will fail for this very reason
        return ()
    return resource_names(contract, {name: value for name, value in known.items() if not contains_unknown(value)})


def all_held(run: Run, step: Step) -> bool:
    """Whether every resource of a step is held already, so that its call needs nothing more."""
    contract = run.contracts().contract(step.id)
    if contract.read_only or not contract.resources:
        return True
    names = {held.name for held in run.gates}
    actual = resources_of(run, step, run.outputs)
    return len(actual) == len(set(contract.resources)) and names.issuperset(actual)


def tool_slots(run: Run) -> dict[str, int]:
    """How many calls of each tool with `max_concurrent` the run may have open, by tool."""
    return {
        held.name: held.slots
        for held in run.gates
        if not held.gate.startswith(RESOURCE_GATE_PREFIX) and held.gate != LIVE_GATE
    }


def fence_of(run: Run, step: Step) -> int | None:
    """The fencing token of the first resource that a call touches, or None."""
    fences = {held.name: held.fence for held in run.gates}
    names = resources_of(run, step, run.outputs)
    return next((fences[name] for name in names if name in fences), None)


def _resources(run: Run, steps: Collection[str]) -> tuple[str, ...]:
    predicted = {shown.id: shown.preview.output for shown in run.sealed.steps if shown.preview} if run.sealed else {}
    outputs = predicted | run.outputs
    wanted = set(steps)
    return tuple(sorted({name for step in run.steps if step.id in wanted for name in resources_of(run, step, outputs)}))


def _tool_slots(run: Run, steps: Collection[str]) -> dict[str, ToolSlots]:
    limited: dict[str, list[Contract]] = {}
    for step in steps:
        contract = run.contracts().contract(step)
        if contract.max_concurrent is not None:
            limited.setdefault(contract.tool, []).append(contract)
    return {
        tool: ToolSlots(capacity=capacity, wanted=min(capacity, len(contracts)))
        for tool, contracts in sorted(limited.items())
        for capacity in [min(contract.max_concurrent or 1 for contract in contracts)]
    }


def _claim(run: Run, step: Step) -> ClaimWanted | None:
    contract = run.contracts().contract(step.id)
    if not contract.irreversible or step.id in run.claims:
        return None
    digest = known_digest(step, contract, run.outputs)
    return None if digest is None else ClaimWanted(step=step.id, tool=contract.tool, digest=digest)


def _grace(run: Run, steps: Collection[str]) -> float:
    contracts = [run.contracts().contract(step) for step in steps]
    return max((contract.timeout for contract in contracts if not contract.read_only), default=0.0)


def _settled(run: Run, step: str) -> ClaimOutcome | None:
    """What became of a claimed call; None while it is in doubt."""
    record = run.calls.get(step)
    if record is None or record.status is CallStatus.DUPLICATE or record.failed:
        return ClaimOutcome.FREE
    if record.status is CallStatus.IN_DOUBT:
        return None
    return ClaimOutcome.DONE
