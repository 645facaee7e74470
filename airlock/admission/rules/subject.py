"""The subject of a condition: one step of a plan as CEL sees it, and the values in it that are not known."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from airlock.base.canonical import deeper_than
from airlock.plans.contract import Contract, resource_names
from airlock.plans.refs import SECRET, UNKNOWN, markers

MAX_VALUES: Final = 2_000
"""The most values in one argument that a condition may look at; CEL goes through all of them."""
MAX_CHARACTERS: Final = 65_536
"""The most characters in one argument that a condition may look at."""
MAX_LEVELS: Final = 20
"""The deepest argument that a condition may look at."""
_INTEGERS: Final = range(-(2**63), 2**63)
"""The whole numbers of CEL."""

Place = tuple[str, ...]


@dataclass(frozen=True)
class PlanSubject:
    """The variable `plan` of a condition. It holds nothing that changes while the plan runs."""

    plan_id: str
    goal: str
    requested_by: str
    steps: int
    """The number of steps."""
    tools: tuple[str, ...]
    """The tools of all steps, sorted."""
    agents: tuple[str, ...]
    """The agents that the plan names, spelled as the policy spells them, sorted."""


@dataclass(frozen=True)
class StepSubject:
    """The variable `step` of a condition."""

    id: str
    agent: str
    """The agent, spelled as the policy spells it."""
    args: Mapping[str, Any]
    """The canonical arguments; a `$ref` or `$secret` in them is not known."""
    confidence: float
    contract: Contract
    unknown: tuple[Place, ...] = ()
    """Places in the arguments whose value may be another one at the call."""

    def context(self, wanted: Iterable[tuple[str, str]], plan: PlanSubject | None) -> tuple[dict[str, Any], list[Place]]:
        """Return the variables with the wanted fields, and the places of the values that are not known.

        Args:
            wanted: The fields that the conditions read, such as `("step", "risk")`.
            plan: The plan; None if it is not known here.
        """
        unknown: list[Place] = [] if plan is not None else [("plan",)]
        step: dict[str, Any] = {}
        own: dict[str, Any] = {}
        args, unknown_args = known_arguments(self.args, self.unknown)
        for variable, name in wanted:
            if variable == "step":
                step[name] = self._value(name, args)
            elif plan is not None:
                value = getattr(plan, name)
                own[name] = list(value) if isinstance(value, tuple) else value
        unknown += [("step", "args", *place) for place in unknown_args]
        if unknown_args and len(resource_names(self.contract, args)) < len(self.contract.resources):
            unknown.append(("step", "resources"))
        return {"step": step, "plan": own}, unknown

    def _value(self, name: str, args: dict[str, Any]) -> Any:
        match name:
            case "args":
                return args
            case "tool":
                return self.contract.tool
            case "risk" | "reversibility":
                return getattr(self.contract, name).value
            case "read_only" | "cost":
                return getattr(self.contract, name)
            case "resources":
                return list(resource_names(self.contract, args))
            case _:
                return getattr(self, name)


def known_arguments(args: Mapping[str, Any], unknown: Iterable[Place] = ()) -> tuple[dict[str, Any], tuple[Place, ...]]:
    """Return the arguments that a condition may look at, and the places of those that it may not.

    What is not known yet is left out: references, secrets, values that only the live run will know. So is an argument that
    is too large, or that CEL has no number for.

    Args:
        args: The arguments.
        unknown: Further places that do not count as known.
    """
    places = {*unknown, *_unknown_places(args)}
    if not places:
        return dict(args), ()
    return _left_out(dict(args), places), tuple(sorted(places))


def secret_places(args: Mapping[str, Any]) -> tuple[Place, ...]:
    """Return the places of the secrets in the arguments of a plan; where they are shown, only their names stand there."""
    return tuple(_place(marker.keys) for marker in markers(args) if marker.kind == SECRET)


def _unknown_places(args: Mapping[str, Any]) -> Iterator[Place]:
    for name, value in args.items():
        if isinstance(value, str):
            if _says_unknown(value) or len(value) > MAX_CHARACTERS or not _is_text(value):
                yield (name,)
        elif isinstance(value, list | dict):
            if _too_large(value):
                yield (name,)
            else:
                yield from _within(value, (name,))
        elif not _is_number(value):
            yield (name,)


def _within(value: Any, place: Place) -> Iterator[Place]:
    """Yield the places in a list or an object; the place of a part of a list is that of the list."""
    if isinstance(value, dict):
        if any(marker.path == "" for marker in markers(value)):
            yield place
            return
        for key, child in value.items():
            yield from _within(child, (*place, key))
    elif isinstance(value, list):
        if any(True for child in value for _ in _within(child, place)):
            yield place
    elif not _is_number(value) or (isinstance(value, str) and (_says_unknown(value) or not _is_text(value))):
        yield place


def _says_unknown(value: str) -> bool:
    # a tool's own model may have changed the capitals
    return UNKNOWN in value or UNKNOWN in value.casefold()


def _is_number(value: Any) -> bool:
    # bool is a subclass of int
    return not isinstance(value, int) or value in _INTEGERS


def _is_text(value: str) -> bool:
    # half of a surrogate pair cannot be handed to CEL
    return value.isascii() or not any("\ud800" <= sign <= "\udfff" for sign in value)


def _too_large(value: Any) -> bool:
    if deeper_than(value, MAX_LEVELS):
        return True
    number = characters = 0
    pending = [value]
    while pending:
        item = pending.pop()
        number += 1
        if isinstance(item, dict):
            characters += sum(map(len, item))
            pending += item.values()
        elif isinstance(item, list):
            pending += item
        elif isinstance(item, str):
            characters += len(item)
        if number + len(pending) > MAX_VALUES or characters > MAX_CHARACTERS:
            return True
    return False


def _left_out(args: dict[str, Any], places: Iterable[Place]) -> dict[str, Any]:
    for place in places:
        _leave_out(args, place)
    return args


def _leave_out(args: dict[str, Any], place: Place) -> None:
    """Take a value out of arguments, whose objects on the way to it are copied."""
    here: Any = args
    for name in place[:-1]:
        if not isinstance(here, dict) or not isinstance(here.get(name), dict):
            return
        here[name] = dict(here[name])
        here = here[name]
    if isinstance(here, dict):
        here.pop(place[-1], None)


def _place(keys: tuple[str | int, ...]) -> Place:
    """Return the place of a marker: the names up to the first position in a list."""
    found: list[str] = []
    for key in keys:
        if isinstance(key, int):
            break
        found.append(key)
    return tuple(found)
