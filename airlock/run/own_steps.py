"""The parts of requests through which the steps of a plan see what its earlier steps would leave, or have left."""

from collections.abc import Iterable, Mapping
from typing import Any

from airlock.admission.admitted import OWN_STEPS_EPOCH
from airlock.plans.own_steps import Left, ancestors
from airlock.plans.refs import contains_unknown
from airlock.run.sealing.sealed import SealedStep
from airlock.run.state import Run


def own_steps(run: Run, asked: Iterable[str], leaves: Mapping[str, Mapping[str, Left]]) -> dict[str, Any]:
    """Return the fields of a request about own steps: the edges of admission, and what previewed steps would leave.

    Steps that are live already are in neither: their effects are in the world, where the dry runs look.

    Args:
        run: The plan's run; one of an earlier epoch asks as it always did, without these fields.
        asked: The steps to preview.
        leaves: What every step previewed in this stay would leave, by step and name.
    """
    admitted = run.contracts()
    if admitted.epoch < OWN_STEPS_EPOCH:
        return {}
    wanted = tuple(asked)
    among = {*run.previews, *wanted}
    parents = {
        step: tuple(parent for parent in row.parents if parent in among)
        for step, row in admitted.steps.items()
        if step in among
    }
    above = ancestors(parents, wanted)
    return {
        "parents": parents,
        "leaves": {step: dict(left) for step, left in leaves.items() if left and step in above},
        "others": {step: tuple(left) for step, left in leaves.items() if left and step not in above},
    }


def wanted_states(shown: Iterable[SealedStep]) -> dict[str, tuple[str, ...]]:
    """Return, by step, the names of the things whose state after its call the previews of later steps leave open."""
    found: dict[str, set[str]] = {}
    for step in shown:
        if step.preview is not None and step.preview.follows and contains_unknown(step.preview.observed):
            for name, earlier in step.preview.follows.items():
                found.setdefault(earlier, set()).add(name)
    return {step: tuple(sorted(names)) for step, names in found.items()}
