"""Everything that a run carries of its live calls, within one bound: outputs, and states that later calls compare with."""

from collections.abc import Mapping
from typing import Any

from pydantic import JsonValue

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
    drop_all_left(run)  # without a state the call that compares with it is stale: that costs an approval and not the plan
    if run.carried <= MAX_CARRIED_BYTES:
        return True
    drop_output(run, step)
    return False


def drop_output(run: Run, step: str) -> None:
    """Discard the output of a call, if the run carries it."""
    if step in run.outputs:
        run.carried -= _size(run.outputs.pop(step))


def keep_left(run: Run, step: str, states: Mapping[str, JsonValue], receipt: str) -> None:
    """Keep the states that a call left, for the calls that compare with them; those are stale if it does not fit."""
    try:
        size = _size(states) if states else 0
    except ValueError:
        return
    if states and run.carried + size > MAX_CARRIED_BYTES:
        _drop_read_left(run)
    if states and run.carried + size <= MAX_CARRIED_BYTES:
        run.carried += size
        run.calls[step] = run.calls[step].model_copy(update={"leaves": dict(states), "left_receipt": receipt})


def _drop_read_left(run: Run) -> None:
    """Discard the states that no call will compare with any more: those that did have taken effect."""
    live = set(run.live)
    shown = [each.preview for each in run.sealed.steps if each.preview and each.id not in live] if run.sealed else []
    needed = {earlier for preview in shown for earlier in preview.follows.values()}
    for step in [each for each in run.calls if each not in needed]:
        drop_left(run, step)


def drop_all_left(run: Run) -> None:
    """Discard all states that calls left: whatever is previewed next looks at the world."""
    for step in list(run.calls):
        drop_left(run, step)


def drop_left(run: Run, step: str) -> None:
    """Discard the states that a call left, if the run carries them."""
    if states := run.calls[step].leaves:
        run.carried -= _size(states)
        run.calls[step] = run.calls[step].model_copy(update={"leaves": {}, "left_receipt": ""})


def _size(output: Any) -> int:
    return len(canonical_json(output))
