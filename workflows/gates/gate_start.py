"""The start of a gate's run: what of its input may be believed, and whether an earlier run may know more."""

from dataclasses import dataclass
from typing import Any

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from pydantic import ValidationError

    from airlock.admission.admitted import TASK_EPOCH
    from airlock.gates.messages import GateStart
    from airlock.temporal.proof import BY_WORKER
    from airlock.temporal.proof_converter import SentObject
    from airlock.temporal.seeds import seeds
    from airlock.workflows import origin


@dataclass(frozen=True)
class GateBeginning:
    """The state that a gate's run begins with, or the reason why it must not begin."""

    start: GateStart
    problem: str = ""
    """The reason why the run must fail; empty if it may begin."""
    refusal: str = ""
    """The reason why the input, or the gate in it, was left out; empty if nothing was."""


def read_start(start: tuple[Any, ...]) -> GateBeginning:
    """Return what a run begins with, by the input that it was given."""
    info = workflow.info()
    if problem := origin.repeated(info):
        return GateBeginning(GateStart(), problem)
    continued, given = info.continued_run_id, start[0] if start else None
    try:
        read = GateStart.model_validate(given) if start else GateStart()
    except ValidationError as error:
        problem = f"gate: {origin.FORGETFUL}" if origin.forgetful(info) else ""
        # the carried state cannot be read here: the previous run is asked for it
        return GateBeginning(GateStart(after=continued or ""), problem, f"the input is not a GateStart: {error}")
    # a client that starts a workflow could otherwise hand in a gate that is not locked
    if read.gate is not None and origin.proofs_are_due(given, info):
        why = origin.foreign(given, GateStart.__name__, info)
        return GateBeginning(read, why and f"gate: {why}")
    if read.gate is None and origin.forgetful(info):
        return GateBeginning(read, f"gate: {origin.FORGETFUL}")
    if read.gate is not None and continued is None:
        left = GateStart(capacity=read.capacity, after=read.after)
        return GateBeginning(left, refusal="only a continue-as-new may carry a gate on")
    return GateBeginning(read)


def rules_of(start: tuple[Any, ...], read: GateStart) -> int:
    """Return the number of the rules under which a run of a gate judges decisions.

    Where a client started it, at least those since which no marker in the history tells the rule: the client could say that
    it begins under older ones, and complete the task of an unlock as older code would have, without the marker.
    """
    return max(read.epoch, TASK_EPOCH) if started_by_a_client(start) else read.epoch


def started_by_a_client(start: tuple[Any, ...]) -> bool:
    """Return True if no worker is known to have started the gate: a client could have ended the run before it."""
    info = workflow.info()
    if info.continued_run_id is not None or not seeds().proofs_due:
        return False
    why = [
        each.objection(GateStart.__name__, BY_WORKER, info.workflow_start_time)
        for each in start
        if isinstance(each, SentObject)
    ]
    return not why or any(why)
