"""A call that was made, as compensations and probes are told about it."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from airlock.plans.refs import referenced_steps
    from airlock.run.call_messages import MadeCall
    from airlock.run.state import Run


def made_call(run: Run, step_id: str) -> MadeCall:
    """Return the data that a compensation or a probe needs about a step's live call."""
    step = next(step for step in run.steps if step.id == step_id)
    record = run.calls[step_id]
    read = [name for name in referenced_steps(step.args) if name in run.outputs]
    return MadeCall(
        plan_id=run.plan.plan_id,
        step=step,
        contract=run.contracts().contract(step_id),
        undo=record.undo,
        outputs={name: run.outputs[name] for name in read},
        undone=record.undone,
    )
