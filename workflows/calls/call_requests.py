"""Requests about one call: to make it live, and to compensate or probe it afterwards."""

from collections.abc import Sequence

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from airlock.plans.plan import Step
    from airlock.plans.refs import contains_unknown, referenced_steps
    from airlock.run.decisions.evidence import EntryRequest
    from airlock.run.live.call_messages import CallRequest, ChainRequest, LeftStates, MadeCall, OutputReceipt
    from airlock.run.live.gate_requests import next_fence
    from airlock.run.sealing.sealed import SealedStep
    from airlock.run.state import Run


def new_fence(run: Run, step: Step) -> int:
    """Return the fencing token of an attempt that is about to be commanded, and count it."""
    return next_fence(run, step, workflow.now())


def call_request(
    run: Run, step: Step, shown: SealedStep | None, chain: Sequence[str], fence: int, wanted: tuple[str, ...] = ()
) -> CallRequest:
    """Return the request for the first attempt of a step's live call.

    Args:
        run: The plan's run.
        step: The step.
        shown: The step as it was approved.
        chain: The steps of the same activity; their outputs are unknown yet, so the worker passes them on.
        fence: The fencing token.
        wanted: The names of the things whose state later calls need.
    """
    record = run.calls.get(step.id)
    read = [name for name in referenced_steps(step.args) if name not in chain and name in run.outputs]
    return CallRequest(
        step=step,
        contract=run.contracts().contract(step.id),
        preview=shown.preview if shown else None,
        may_drift=shown.may_drift if shown else (),
        epoch=run.contracts().epoch,
        outputs={name: run.outputs[name] for name in read},
        receipts={name: proof for name in read if (proof := _receipt(run, name)) is not None},
        token=run.permit.tokens.get(step.id, "") if run.permit else "",
        undone=record.undone if record else 0,
        undo=record.undo if record else None,
        fence=fence,
        wanted=wanted,
        left=_left(run, shown, chain),
    )


def read_requests(run: Run, steps: Sequence[str]) -> tuple[CallRequest, ...]:
    """Return the requests for reads before the preview; outputs among them are handed on by the worker."""
    return tuple(call_request(run, run.step(step), None, steps, run.fence) for step in steps)


def chain_request(run: Run, calls: Sequence[CallRequest], enter: EntryRequest | None = None) -> ChainRequest:
    """Return the request for one activity: calls to make in order, after the entry to LIVE if there is a request for it."""
    info = workflow.info()
    permit = run.permit if enter is None else None
    return ChainRequest(
        plan_id=run.plan.plan_id,
        calls=tuple(calls),
        run_id=info.run_id,
        first_run_id=run.reset_from or info.run_id,
        receipt=permit.receipt if permit else "",
        entry=permit.entry if permit else "",
        enter=enter,
    )


def _left(run: Run, shown: SealedStep | None, chain: Sequence[str]) -> dict[str, LeftStates]:
    """Return the states that earlier calls left and that a step compares with."""
    preview = shown.preview if shown else None
    earlier = set(preview.follows.values()) if preview and contains_unknown(preview.observed) else set()
    records = {step: run.calls[step] for step in sorted(earlier) if step in run.calls and step not in chain}
    return {
        step: LeftStates(states=record.leaves, undone=record.undone, proof=record.left_receipt)
        for step, record in records.items()
        if record.leaves
    }


def _receipt(run: Run, step: str) -> OutputReceipt | None:
    record = run.calls.get(step)
    return OutputReceipt(undone=record.undone, proof=record.receipt) if record and record.receipt else None


def undo_request(run: Run, step_id: str) -> MadeCall:
    """Return the request to compensate or probe a live call: an attempt with a fencing token of its own."""
    fence = new_fence(run, run.step(step_id))
    return made_call(run, step_id).model_copy(update={"fence": fence})


def made_call(run: Run, step_id: str) -> MadeCall:
    """Return the description of a live call that its compensation, its probe and its undo check need."""
    step = run.step(step_id)
    record = run.calls[step_id]
    read = [name for name in referenced_steps(step.args) if name in run.outputs]
    return MadeCall(
        plan_id=run.plan.plan_id,
        step=step,
        contract=run.contracts().contract(step_id),
        undo=record.undo,
        outputs={name: run.outputs[name] for name in read},
        undone=record.undone,
        fence=run.fence,
    )
