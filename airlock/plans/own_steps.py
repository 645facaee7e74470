"""States that earlier steps of a plan would leave, handed from dry run to dry run."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from pydantic import JsonValue

from airlock.base.canonical import canonical_json
from airlock.base.errors import ToolFailed
from airlock.base.model import WireModel
from airlock.base.text import listed
from airlock.plans.parents import Parents
from airlock.plans.refs import UNKNOWN

MAX_LEFT_BYTES = 20_000
"""The limit for one state, in bytes of JSON; a larger one is `UNKNOWN` for later steps."""


class Left(WireModel):
    """The state in which a call would leave one thing."""

    seen: JsonValue
    """The state as a dry run would observe it after the call, in the form of `observed`; `UNKNOWN` if it cannot be told."""
    content: JsonValue = None
    """Whatever else a later dry run needs for its prediction; it is not kept after the dry runs."""

    @property
    def known(self) -> bool:
        """True if a later dry run can use this state."""
        return self.seen != UNKNOWN


MAX_BESIDE = 50
"""The steps that leave one thing, some of them in no order, of which each pair is told."""

Leaves = Mapping[str, Left]
"""The states that one call would leave, by the name of the thing, such as `file:notes/jo.txt`."""


@dataclass(frozen=True)
class Earlier:
    """The state in which an earlier step of the plan would leave one thing."""

    step: str
    seen: Any
    """As in `Left`."""
    content: Any = None
    """As in `Left`."""


class LeftUnknown(Exception):
    """The end of a dry run that asked for a state which only the live run will know."""

    def __init__(self, step: str, name: str) -> None:
        self.step = step
        self.name = name
        super().__init__(f"{name}, as step {step} leaves it, is {UNKNOWN}")


@dataclass
class OwnSteps:
    """The states that the steps of one plan would leave, as far as they were previewed."""

    parents: Parents
    """The edges of admission among the previewed steps and those to preview."""
    _by_name: dict[str, dict[str, Left]] = field(default_factory=dict)

    def add(self, step: str, leaves: Leaves) -> None:
        """Add what the call of a step would leave."""
        for name, left in leaves.items():
            self._by_name.setdefault(name, {})[step] = left

    def before(self, step: str, name: str) -> Earlier | None:
        """Return the state in which a step would find one thing; None if no step that it depends on leaves it.

        Raises:
            ToolFailed: If two such steps, in no order, both leave it.
            LeftUnknown: If only the live run will know it.
        """
        leaving = self._by_name.get(name)
        if not leaving:
            return None
        nearest = self._nearest(step, leaving)
        if len(nearest) > 1:  # one of them may still come before another, by a longer way
            passed = {above for each in nearest for above in ancestors(self.parents, (each,))}
            nearest = [each for each in nearest if each not in passed]
        if not nearest:
            return None
        if len(nearest) > 1:
            raise ToolFailed(
                f"{listed(sorted(nearest))} both leave {name!r}, in no order: name one of them in `after` of the other"
            )
        left = leaving[nearest[0]]
        if not left.known:
            raise LeftUnknown(nearest[0], name)
        return Earlier(nearest[0], left.seen, left.content)

    def all_before(self, step: str, kind: str) -> tuple[Earlier, ...]:
        """Return what all steps that a step depends on leave under names `<kind>:...`, each after those it depends on."""
        above, begin = ancestors(self.parents, (step,)), f"{kind}:"
        found = {
            name: [(each, left) for each, left in leaving.items() if each in above]
            for name, leaving in self._by_name.items()
            if name.startswith(begin)
        }
        place = {each: number for number, each in enumerate(_in_order(self.parents, step))}
        pairs = [pair for pairs in found.values() for pair in pairs]
        return tuple(Earlier(each, left.seen, left.content) for each, left in sorted(pairs, key=lambda pair: place[pair[0]]))

    def beside(self) -> dict[str, dict[str, tuple[str, ...]]]:
        """Return for each step the other steps, in no order with it, that leave the same thing: by step and name."""
        found: dict[str, dict[str, tuple[str, ...]]] = {}
        shared = {name: list(leaving) for name, leaving in self._by_name.items() if len(leaving) > 1}
        place = {step: number for number, step in enumerate(_in_order(self.parents, *self.parents))} if shared else {}
        for name, steps in shared.items():
            steps.sort(key=lambda step: place.get(step, -1))
            if all(one in ancestors(self.parents, (other,), until=one) for one, other in pairwise(steps)):
                continue  # one after the other
            compared = steps[:MAX_BESIDE]
            above = {step: ancestors(self.parents, (step,)) for step in compared}
            for step in compared:
                others = [each for each in compared if each != step and each not in above[step] and step not in above[each]]
                if others:
                    found.setdefault(step, {})[name] = tuple(sorted(others))
        return found

    def _nearest(self, step: str, leaving: Mapping[str, Left]) -> list[str]:
        """Return the leaving steps that a walk from a step upwards meets first on each way."""
        found: list[str] = []
        pending, seen = list(self.parents.get(step, ())), set(self.parents.get(step, ()))
        while pending:
            each = pending.pop()
            if each in leaving:
                found.append(each)
                continue
            above = [parent for parent in self.parents.get(each, ()) if parent not in seen]
            seen.update(above)
            pending += above
        return found


def _in_order(parents: Parents, *steps: str) -> list[str]:
    """Return steps and everything that they depend on, each after all that it depends on; among equals by id."""
    order: list[str] = []
    entered: set[str] = set()
    pending = [(step, False) for step in sorted(steps, reverse=True)]
    while pending:
        each, left = pending.pop()
        if left:
            order.append(each)
        elif each not in entered:
            entered.add(each)
            pending.append((each, True))
            pending += [(parent, False) for parent in sorted(parents.get(each, ()), reverse=True)]
    return order


def ancestors(parents: Parents, steps: Iterable[str], until: str | None = None) -> frozenset[str]:
    """Return everything that any of some steps depends on, directly or through other steps.

    Args:
        parents: The direct dependencies.
        steps: The steps.
        until: A step at which the search may end, once it is found.
    """
    found: set[str] = set()
    pending = [parent for step in steps for parent in parents.get(step, ())]
    while pending and until not in found:
        step = pending.pop()
        if step not in found:
            found.add(step)
            pending += parents.get(step, ())
    return frozenset(found)


def handed_on(leaves: Leaves, redact: Callable[[JsonValue], JsonValue]) -> dict[str, Left]:
    """Return states as they may leave an activity: one that holds a secret, or is too large, is `UNKNOWN`."""
    kept: dict[str, Left] = {}
    for name, left in leaves.items():
        shown = left.model_dump(mode="json")
        fits = len(canonical_json(shown)) <= MAX_LEFT_BYTES and redact(shown) == shown
        kept[str(redact(name))] = left if fits else Left(seen=UNKNOWN)
    return kept
