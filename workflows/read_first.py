"""The read lane of a run: reads that need no person, before the first dry run of a preview (docs/adr/0012)."""

from functools import partial

from temporalio import workflow
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from airlock.base.text import shorten
    from airlock.run.live.opening import BEGUN_WITHIN
    from airlock.run.live.read_lane import begin_reads, gate_question, may_be_read, take_reads
    from airlock.run.live.read_messages import ReadRequest, ReadResult
    from airlock.run.state import Run
    from airlock.run.stored import MAX_STORED, too_large
    from airlock.workflows import commands
    from airlock.workflows.answers import NoAnswer, answered_unless_moved
    from airlock.workflows.calls.call_requests import read_requests


async def read_first(run: Run) -> None:
    """Make the reads of a run that may be made before its preview; return at once if there are none.

    Nothing here holds a plan up: what could not be read goes the way of every other step, and the record says why. If the
    run moves on meanwhile, what was read is forgotten.
    """
    while steps := may_be_read(run):
        result = await _read(run, steps)
        if result is None:
            return
        take_reads(run, steps, result, workflow.now())


async def _read(run: Run, steps: tuple[str, ...]) -> ReadResult | None:
    """Return what became of some reads; None if the run has moved on."""
    info, admitted = workflow.info(), run.contracts()
    evidence = begin_reads(run, steps, workflow.now())
    request = ReadRequest(
        plan_id=run.plan.plan_id,
        holder=info.workflow_id,
        execution=info.first_execution_run_id,
        request=f"read:{run.reads}",
        evidence=evidence,
        live=gate_question(run, steps),
        calls=read_requests(run, steps),
        parents={step: tuple(parent for parent in admitted.steps[step].parents if parent in steps) for step in steps},
    )
    if why := too_large(request, MAX_STORED, "the reads are too large together"):
        return ReadResult(refused=why)
    run.in_flight = tuple(sorted(steps))
    try:
        ask = partial(commands.read, request, workflow.now() + BEGUN_WITHIN)
        return await answered_unless_moved(run, ask)
    except (ActivityError, NoAnswer) as error:
        cause = error.cause if isinstance(error, ActivityError) else error
        return ReadResult(refused=shorten(f"no live worker answered: {cause}"))
    finally:
        run.in_flight = ()
