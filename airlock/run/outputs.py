"""The outputs of live calls that a run carries, within a bound for all of them together."""

from typing import Any

from airlock.base.canonical import canonical_json
from airlock.run.state import Run

MAX_CARRIED_BYTES = 600_000
"""The limit for all outputs of a run together, in bytes of JSON, so that the run fits a continue-as-new."""


def keep_output(run: Run, step: str, output: Any) -> bool:
    """Keep the output of a call, for the steps that read it and for the result.

    Once all outputs together grow too large, the outputs that no step reads are discarded; the history still has them.

    Returns:
        False if the output is not JSON, or does not fit even then. It is discarded, and a step that reads it cannot be
        called.
    """
    drop_output(run, step)
    try:
        run.carried += _size(output)
    except ValueError:
        return False
    run.outputs[step] = output
    if run.carried <= MAX_CARRIED_BYTES:
        return True
    # what live steps read stays too: a compensation gets the same arguments as its call
    needed = run.plan.read_steps
    for name in [name for name in run.outputs if name not in needed]:
        drop_output(run, name)
    if run.carried <= MAX_CARRIED_BYTES:
        return True
    drop_output(run, step)
    return False


def drop_output(run: Run, step: str) -> None:
    """Discard the output of a call, if the run carries it."""
    if step in run.outputs:
        run.carried -= _size(run.outputs.pop(step))


def _size(output: Any) -> int:
    return len(canonical_json(output))
