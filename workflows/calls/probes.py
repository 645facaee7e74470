"""Probes of calls in doubt: the tool tells whether the call took effect, once it can have no further effect."""

from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from airlock.run.call_record import CallStatus
    from airlock.run.live.call_results import take_probe
    from airlock.run.state import Run
    from airlock.workflows import commands
    from airlock.workflows.answers import NoAnswer, answered
    from airlock.workflows.calls.call_requests import undo_request
    from airlock.workflows.timers import wait_until


async def probe_calls_in_doubt(run: Run) -> None:
    """Probe every call in doubt whose tool has a probe. A call that the probe cannot settle parks the plan."""
    for step_id in run.steps_with[CallStatus.IN_DOUBT]:
        contract, record = run.contracts().contract(step_id), run.calls[step_id]
        if not contract.has_probe or record.running:
            continue
        if record.token_lost and not record.probed:
            # the worker may only be cut off and still calling: before the call's own timeout "no" could mean "not yet"
            may_end = workflow.now() + timedelta(seconds=contract.timeout)
            await wait_until(may_end, f"before {step_id} is looked into")
        try:
            answer = await answered(commands.probe(undo_request(run, step_id)))
        except (ActivityError, NoAnswer):
            continue
        take_probe(run, answer, workflow.now())
