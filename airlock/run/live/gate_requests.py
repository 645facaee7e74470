"""The requests of a run to gates and claims, and the slots that it returns.

A run holds slots only while it is LIVE. In ROLLBACK and while it is parked it holds the slots of its resources only: a plan
that waits for a human must not delay other plans. A run takes resources first, then tools, then the live gate. All plans
keep this order, so that no two of them wait for each other. A need that the run learns of later is met only if the slot is
free at once.
"""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from airlock.admission.budget import budgets_of, scopes, spending_by_agent
from airlock.admission.call_digest import known_digest
from airlock.base.errors import RefError
from airlock.base.names import LIVE_GATE, RESOURCE_GATE_PREFIX, occasion_of
from airlock.gates.protocol import (
    AcquireRequest,
    ClaimOutcome,
    ClaimWanted,
    LeaveRequest,
    LiveSlot,
    SettledClaim,
    ToolSlots,
)
from airlock.plans.contract import Contract, resource_names
from airlock.plans.plan import Step
from airlock.plans.refs import as_marker, bind, contains_unknown, referenced_steps
from airlock.plans.state import State
from airlock.run.call_record import CallStatus
from airlock.run.decisions.evidence import EntryRequest, evidence_of
from airlock.run.live.call_messages import ATTEMPTS_IN_ONE
from airlock.run.state import Run
from airlock.run.undo_scope import steps_to_undo


def entry_request(run: Run, holder: str) -> EntryRequest:
    """Return the request of a run before it goes LIVE, for every need that is known by then.

    A run that returns with resources it kept does not wait for further ones while it holds these: it takes needs that it
    has learned of since at the call.

    Args:
        run: The plan's run, in LIVE.
        holder: Its workflow id.
    """
    admitted, live = run.contracts(), set(run.live)
    open_steps = [step for step in run.approved if step not in live]
    touched = sorted({*open_steps, *steps_to_undo(run)})
    by_id = {step.id: step for step in run.steps}
    returning = bool(run.gates) and run.gate_wait is None
    # the evidence goes with the first request about a seal; a wait of weeks at a gate repeats the short receipt only
    examined = run.permit is not None and run.permit.digest == run.digest
    return EntryRequest(
        evidence=None if examined else evidence_of(run),
        receipt=run.permit.receipt if run.permit is not None and examined else "",
        plan_id=run.plan.plan_id,
        holder=holder,
        request=str(run.stays),
        resources=() if returning else _resources(run, touched),
        tools=_tool_slots(run, open_steps),
        live=LiveSlot(
            capacity=admitted.policy.max_live_escalations,
            scopes=scopes(run.steps, admitted, open_steps),
            spending=spending_by_agent(run.steps, admitted, open_steps),
            budgets=budgets_of(admitted, (by_id[step].agent for step in open_steps)),
        ),
        claims=tuple(wanted for step in open_steps if (wanted := _claim(run, by_id[step])) is not None),
        held=run.gates,
        grace=_grace(run, touched),
        reset=bool(run.reset_from),
    )


def rollback_request(run: Run, holder: str) -> AcquireRequest | None:
    """Return the request of a run before it compensates; None if it holds everything already, as after LIVE."""
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
    """Return the request for needs of a call that were unknown at the entry, usually None. It does not wait in a queue."""
    resources = resources_of(run, step, run.outputs)
    held = held_names(run) if resources else frozenset()
    missing = tuple(name for name in resources if name not in held)
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


def leave_request(run: Run, holder: str) -> LeaveRequest | None:
    """Return the slots and claims that a run must return in its current state; None if there are none.

    In ROLLBACK and while it is parked the run keeps its resources only. It needs no live slot there: closing the live gate
    stops calls, not their compensation.
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
    if _doubts_are_news(run):
        gates.append(LIVE_GATE)
    if not gates and not settled:
        return None
    return _leave(run, holder, gates, settled)


def _doubts_are_news(run: Run) -> bool:
    """Return True if the live gate knows of calls in doubt that are none any more, or does not know of some."""
    if run.undoing is not None or run.admitted is None or run.admitted.epoch < 1:
        return False
    return run.told_doubts != _doubts(run)


def _doubts(run: Run) -> tuple[str, ...]:
    return tuple(sorted({*run.steps_with[CallStatus.IN_DOUBT], *run.lost}))


def must_start_over(run: Run, holder: str) -> bool:
    """Return True if a rollback needs more than the run kept, or still stands in a queue for its calls.

    It must then return everything first: to wait for one resource while holding others, out of order, could be a deadlock.
    """
    queued = run.gate_wait is not None and run.gate_wait.urgent
    return run.state is State.ROLLBACK and not queued and rollback_request(run, holder) is not None


def start_over(run: Run, holder: str) -> LeaveRequest | None:
    """Return everything that a run holds or waits for; None if there is nothing."""
    gates = [held.gate for held in run.gates] + ([run.gate_wait.gate] if run.gate_wait else [])
    return _leave(run, holder, gates, ()) if gates else None


def _leave(run: Run, holder: str, gates: Collection[str], settled: tuple[SettledClaim, ...]) -> LeaveRequest:
    in_doubt = run.steps_with[CallStatus.IN_DOUBT]
    return LeaveRequest(
        plan_id=run.plan.plan_id, holder=holder, request=str(run.stays), gates=tuple(sorted(set(gates))), settled=settled,
        doubts=in_doubt, lost=tuple(step for step in run.lost if step not in in_doubt),
        fences={held.gate: held.fence for held in run.gates if held.gate in gates},
    )  # fmt: skip


def take_left(run: Run, request: LeaveRequest) -> None:
    """Remove the slots and claims that were returned."""
    run.gates = tuple(held for held in run.gates if held.gate not in request.gates)
    if LIVE_GATE in request.gates:
        run.told_doubts = tuple(sorted({*request.doubts, *request.lost}))
    if run.gate_wait is not None and run.gate_wait.gate in request.gates:
        run.gate_wait = None
    settled = {claim.step for claim in request.settled}
    run.claims = {step: claim for step, claim in run.claims.items() if step not in settled}


def last_begin(run: Run) -> datetime | None:
    """Return the time by which a worker must begin with a call of a run, UTC; None for no limit."""
    return min((time for time in (run.deadline_at, run.approved_until) if time is not None), default=None)


def resources_of(run: Run, step: Step, outputs: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the resources that a step's call changes, as far as these outputs tell; a read-only call needs none."""
    contract = run.contracts().contract(step.id)
    if contract.read_only or not contract.resources:
        return ()
    try:
        known = bind(step.args, outputs, as_marker).args
    except RefError:  # the call itself will fail for the same reason
        return ()
    return resource_names(contract, {name: value for name, value in known.items() if not contains_unknown(value)})


def held_names(run: Run) -> frozenset[str]:
    """Return the names of everything that the run holds: thousands, in a plan that touches thousands of resources."""
    return frozenset(held.name for held in run.gates)


def all_held(run: Run, step: Step, names: frozenset[str]) -> bool:
    """Return True if the run holds every resource of a step already, so that the call needs no more.

    Args:
        run: The plan's run.
        step: The step.
        names: What the run holds, `held_names`: once for all steps.
    """
    contract = run.contracts().contract(step.id)
    if contract.read_only or not contract.resources:
        return True
    actual = resources_of(run, step, run.outputs)
    return len(actual) == len(set(contract.resources)) and names.issuperset(actual)


def tool_slots(run: Run) -> dict[str, int]:
    """Return the number of concurrent calls that the run may have of each tool with `max_concurrent`, by tool."""
    return {
        held.name: held.slots
        for held in run.gates
        if not held.gate.startswith(RESOURCE_GATE_PREFIX) and held.gate != LIVE_GATE
    }


def next_fence(run: Run, step: Step, now: datetime) -> int:
    """Return the fencing token of the next attempt at a step's call, and count it.

    It is greater than that of every attempt before it: of this run, of a run that this one was reset from, and of all
    plans that held one of its resources before. Tokens of gates begin at the clock, too.

    Args:
        run: The plan's run.
        step: The step.
        now: Time of the workflow, UTC.
    """
    resources = resources_of(run, step, run.outputs)
    fences = {held.name: held.fence for held in run.gates} if resources else {}
    place = max((fences.get(name, 0) for name in resources), default=0)
    run.fence = max(run.fence + 1, int(now.timestamp() * 1_000) * ATTEMPTS_IN_ONE, place * ATTEMPTS_IN_ONE + 1)
    return run.fence


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
    digest = known_digest(step, contract, run.outputs, occasion_of(run.plan.plan_id))
    if digest is None:
        return None
    wanted = ClaimWanted(step=step.id, tool=contract.tool, digest=digest)
    if run.contracts().epoch < 1:
        return wanted
    # only a worker has the tool's model, and with it the canonical form of what the references read
    read = {name: run.outputs[name] for name in referenced_steps(step.args) if name in run.outputs}
    return wanted.model_copy(update={"args": step.claimed_args, "outputs": read})


def _grace(run: Run, steps: Collection[str]) -> float:
    contracts = [run.contracts().contract(step) for step in steps]
    return max((contract.timeout for contract in contracts if not contract.read_only), default=0.0)


def _settled(run: Run, step: str) -> ClaimOutcome | None:
    """Return the outcome of a claimed call; None while it is in doubt."""
    record = run.calls.get(step)
    if record is None or record.status is CallStatus.DUPLICATE or record.failed:
        return ClaimOutcome.FREE
    if record.status is CallStatus.IN_DOUBT:
        return None
    return ClaimOutcome.DONE
