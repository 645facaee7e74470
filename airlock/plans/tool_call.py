"""The context of one call, and what a tool's functions return: the preview of a dry run, the answer of a probe."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic import Field, JsonValue

from airlock.base.errors import ContractError, SecretError
from airlock.base.model import WireModel, is_empty
from airlock.plans.contract import Mode
from airlock.plans.own_steps import Earlier, Left
from airlock.plans.refs import REF, UNKNOWN, Marker
from airlock.plans.shared import Shared

T = TypeVar("T")


class Preview(WireModel):
    """The result of a dry run: a prediction of the live call."""

    effect: str
    """The effect of the live call, in one sentence."""
    output: JsonValue = UNKNOWN
    """The predicted output; `UNKNOWN`, whole or in parts, if only the live call can know it."""
    observed: JsonValue = None
    """The state that this preview relied on (an ETag, a row version, a file hash); the live call gets it."""
    undo: str | None = None
    """The way to undo the effect, in one sentence; None if there is nothing to undo."""
    former: dict[str, JsonValue] = Field(default_factory=dict, exclude_if=is_empty)
    """The values that the live call would replace, by the argument that replaces them, for the approver to compare.

    They are sealed and shown, and everyone who may read the preview reads them: leave out what is not for their eyes. The
    live call does not get them, and they do not count as `observed`.
    """
    leaves: dict[str, Left] = Field(default_factory=dict, exclude_if=is_empty)
    """The states in which the live call would leave things, by name; later dry runs of the plan get them by
    `ToolCall.earlier`."""


class Probe(WireModel):
    """The answer of a probe about a call whose outcome was unknown."""

    happened: bool | None
    """True if the call took effect, False if it did not, None if the probe cannot tell."""
    output: JsonValue = None
    why: str = ""


def _no_secret(name: str) -> str:
    raise SecretError(f"secret {name!r} is not available here")


async def _always() -> bool:
    return True


def _nothing_shared(wanted: Shared[Any]) -> Any:
    raise ContractError(f"{wanted.name} is not open here")


def _nothing_before(_name: str) -> Earlier | None:
    return None


@dataclass
class ToolCall:
    """The context of one call, as a tool's functions get it."""

    plan_id: str
    step_id: str
    agent: str
    mode: Mode
    idempotency_key: str
    """The key of this call, the same on every attempt."""
    attempt: int = 1
    """The number of this attempt, from 1."""
    observed: JsonValue = None
    """The state that the dry run observed."""
    undo: JsonValue = None
    """The undo token. A live function sets it before it writes.

    The token is kept even if the call fails afterwards. The compensate function, and every later attempt of the same call,
    finds it here.
    """
    unknown: tuple[str, ...] = ()
    """The argument paths whose value only the live run will know; only for dry runs declared with `partial=True`."""
    refs: dict[str, str] = field(default_factory=dict)
    """The `$ref` behind each argument path in `unknown` that has one."""
    follows_writes: bool = False
    """True in a dry run if earlier steps, which the step depends on, will have written something before its live call."""
    look_before: Callable[[str], Earlier | None] = field(default=_nothing_before)
    """The function behind `earlier`."""
    look_before_all: Callable[[str], tuple[Earlier, ...]] = field(default=lambda _kind: ())
    """The function behind `earlier_all`."""
    follows: dict[str, Earlier] = field(default_factory=dict)
    """The states that this dry run got by `earlier`, by name."""
    asks_before: bool = False
    """True once this dry run has asked what earlier steps leave."""
    leaves: dict[str, JsonValue] = field(default_factory=dict)
    """The states in which this live call left things, by name; set by a live function whose dry run can only say `UNKNOWN`
    of them. Later steps of the plan compare with these."""
    wanted: tuple[str, ...] = ()
    """The names that later steps of the plan need in `leaves`; every other one is ignored."""
    settings: Any = None
    """The tool's validated settings model."""
    fence: int = 0
    """The fencing token of this attempt: greater than that of every earlier attempt, of any call, at the same resource.

    A target that keeps the greatest token it has seen, and refuses a smaller one, lets no attempt of a frozen worker
    through. 0 for mocks and dry runs.
    """
    secret: Callable[[str], str] = _no_secret
    """A function that resolves the name of a secret."""
    find_shared: Callable[[Shared[Any]], Any] = field(default=_nothing_shared)
    """The function behind `shared`."""
    cancelled: Callable[[], bool] = field(default=lambda: False)
    """A function that returns True once the call was cancelled."""
    still_mine: Callable[[], Awaitable[bool]] = field(default=_always)
    """An async function that asks Temporal whether this attempt still belongs to this worker, at the cost of one request.

    Call it right before an effect that must not happen twice. False: another attempt may have begun, or Temporal cannot be
    asked; raise `ToolFailed` then.
    """
    still_mine_sync: Callable[[], bool] = field(default=lambda: True)
    """The same for functions that run in a thread."""

    def source(self, path: str) -> tuple[str, tuple[str | int, ...]] | None:
        """Return the step that an unknown argument is read from, and the path below its output; None if there is none."""
        marker = Marker(path, REF, self.refs.get(path))
        return None if marker.parts is None else (marker.step, marker.parts)

    def shared(self, wanted: Shared[T]) -> T:
        """Return what the worker has opened for all calls.

        Raises:
            ContractError: If the tool does not declare it, with `tool(..., shared=[...])`.
        """
        found: T = self.find_shared(wanted)
        return found

    def earlier(self, name: str) -> Earlier | None:
        """Return the state in which the earlier steps of the plan would leave one thing; only dry runs get any.

        Returns:
            None if no step that this one depends on leaves it: then look at the target. Otherwise predict from this state,
            and return its `seen` as `observed`, or under `name` in an `observed` that is an object.
        """
        self.asks_before = True
        found = self.look_before(name)
        if found is not None:
            self.follows[name] = found
        return found

    def earlier_all(self, kind: str) -> tuple[Earlier, ...]:
        """Return everything that the earlier steps of the plan would leave under names `<kind>:...`, in their order.

        It is for dry runs that repeat earlier changes where they can be taken back; a `seen` may be `UNKNOWN` here.
        """
        self.asks_before = True
        return self.look_before_all(kind)
