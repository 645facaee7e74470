"""The judgement of a corpus plan: the state of its APIs, compared with calling them directly."""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from airlock.run.outcome import Outcome
from airlock.run.presentation.views import PlanResult
from sandbox.corpus_api import FAULTS
from sandbox.corpus_data import CorpusPlan
from sandbox.corpus_world import World

_SHOWN = 160


@dataclass(frozen=True)
class Failure:
    """A failure forced at one call: after so many calls went through, in one of the ways the service knows."""

    after_calls: int
    kind: str

    @property
    def effects(self) -> int:
        """The number of calls that take effect, including the one that fails half-way."""
        return self.after_calls + (self.kind == "half")


@dataclass(frozen=True)
class Checked:
    """One plan, checked."""

    plan_id: str
    calls: int = 0
    """The number of calls that were live at some time."""
    undone: int = 0
    """The number of calls that were taken back."""
    why: tuple[str, ...] = ()
    """The reasons why the plan is unequal; empty when it is equal."""
    moved: bool = False
    """True if the calls changed the state, so that a rollback had something to do."""
    drawn: bool = False
    """True if an API's random generator has moved. That is not state."""


@dataclass(frozen=True)
class Direct:
    """The outcome of calling the APIs directly, in this process: results by step, state before and after."""

    results: dict[str, Any]
    initial: dict[str, Any]
    final: dict[str, Any]


def choose(plans: Sequence[CorpusPlan], count: int, seed: int) -> list[CorpusPlan]:
    """Choose so many plans, the same for the same seed, in the corpus's order; eight or more call every API."""
    shuffled = random.Random(seed).sample(list(plans), len(plans))
    covered: set[str] = set()
    first: list[CorpusPlan] = []
    for plan in shuffled:
        if new := {module for module, _, _ in plan.calls()} - covered:
            covered |= new
            first.append(plan)
    taken = [*first, *(plan for plan in shuffled if plan not in first)][:count]
    return [plan for plan in plans if plan in taken]


def failure_for(plan: CorpusPlan, seed: int) -> Failure:
    """Return the failure that is forced on a plan: after at least one call, the same for the same seed and plan."""
    chance = random.Random(f"{seed}/{plan.plan_id}")
    return Failure(after_calls=chance.randint(1, len(plan.plan["steps"]) - 1), kind=chance.choice(FAULTS))


def call_directly(plan: CorpusPlan, steps: int | None = None) -> Direct:
    """Call the original APIs in this process, without Airlock and without HTTP; all steps, or the first so many."""
    world = World(plan.classes, plan.initial_config)
    initial = snapshot(world)
    ids = [step["id"] for step in plan.plan["steps"]][:steps]
    calls = zip(ids, plan.calls(), strict=False)
    results = {step: world.call(module, method, args).result for step, (module, method, args) in calls}
    return Direct(results, initial, snapshot(world))


def snapshot(world: World) -> dict[str, Any]:
    """Return the same as the service's `GET /worlds/{id}/state`."""
    return {"state": world.state(), "digest": world.digest(), "generators": world.generators()}


def differences(expected: dict[str, Any], found: dict[str, Any]) -> list[str]:
    """Return the APIs whose state is not the expected one, with the difference."""
    if expected["digest"] == found["digest"]:
        return []
    return [
        f"the state of {module} differs at {_place(state, found['state'].get(module))}"
        for module, state in expected["state"].items()
        if state != found["state"].get(module)
    ] or ["the digests of equal states differ"]


def judge_forward(plan: CorpusPlan, result: PlanResult, found: dict[str, Any]) -> Checked:
    """Judge a plan that went LIVE: it has the state and the results of direct calls, with every step called once."""
    direct = call_directly(plan)
    why = differences(direct.final, found)
    if result.outcome is not Outcome.COMPLETED or len(result.live) != len(direct.results):
        why.append(f"it ended {result.outcome.value}, {len(result.live)} steps live: {result.why}")
    why += [
        f"the result of {step} is {_short(result.outputs.get(step))}, directly it is {_short(value)}"
        for step, value in direct.results.items()
        if result.outputs.get(step) != value
    ]
    drawn = direct.final["generators"] != found["generators"]
    if drawn:  # a call that was made twice or not at all, even if its trace is not in the state
        why.append("a random generator is not where the direct calls left theirs")
    return Checked(
        plan.plan_id,
        calls=len(result.live),
        why=tuple(why),
        drawn=drawn,
        moved=direct.initial["digest"] != direct.final["digest"],
    )


def judge_backward(plan: CorpusPlan, failure: Failure, result: PlanResult, found: dict[str, Any]) -> Checked:
    """Judge a plan that was made to fail: it reached the failure, rolled back, and its state is the initial one."""
    direct = call_directly(plan, failure.effects)
    why = differences(direct.initial, found)
    status = {step.id: step for step in result.steps}
    failed = plan.plan["steps"][failure.after_calls]["id"]
    if result.outcome is not Outcome.ABORTED or result.not_settled:
        why.append(f"it ended {result.outcome.value} instead of rolling back: {result.why}")
    if f"step {failed!r} failed" not in result.why:
        why.append(f"it did not fail at {failed}: {result.why}")
    why += [
        f"{step} was called before the failure and is {status[step].status}"
        for step in list(direct.results)[: failure.after_calls]
        if status[step].status != ("live" if status[step].reversibility == "read_only" else "undone")
    ]
    return Checked(
        plan.plan_id,
        calls=failure.after_calls,
        undone=len(result.undone),
        why=tuple(why),
        moved=direct.initial["digest"] != direct.final["digest"],
        drawn=direct.initial["generators"] != found["generators"],
    )


def _place(one: Any, other: Any, path: str = "") -> str:
    """Return the first place at which two JSON values differ, with both values."""
    if isinstance(one, dict) and isinstance(other, dict):
        return _first(((key, one.get(key), other.get(key)) for key in {**one, **other}), path)
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        return _first(((str(index), *pair) for index, pair in enumerate(zip(one, other, strict=True))), path)
    return f"{path.strip('.') or 'its root'}: {_short(other)} instead of {_short(one)}"


def _first(pairs: Iterable[tuple[str, Any, Any]], path: str) -> str:
    return next(_place(one, other, f"{path}.{key}") for key, one, other in pairs if one != other)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
