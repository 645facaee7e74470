"""Faults a test asks for: an error status, a delay, a broken connection, before or after the effect."""

from dataclasses import asdict, dataclass
from typing import Any

from sandbox.store import JsonObject

_FIELDS = {"method", "path_prefix", "status", "times", "delay_seconds", "drop", "after_effect"}


@dataclass(slots=True)
class Fault:
    """A fault for the next `times` requests that match; `times` None means until faults are cleared.

    With `after_effect` the operation is carried out first and only then delayed, answered with `status`
    or dropped. A fault with neither `status` nor `drop` only delays.
    """

    method: str | None
    path_prefix: str
    status: int | None
    times: int | None
    delay_seconds: float
    drop: bool
    after_effect: bool

    @property
    def replaces_answer(self) -> bool:
        """True when the client does not get the operation's own answer."""
        return self.drop or self.status is not None

    def describe(self) -> str:
        """Return the fault in two or three words, for the log of requests."""
        what = "drop" if self.drop else f"status {self.status}" if self.status is not None else "delay"
        return f"{what} after effect" if self.after_effect else what

    def matches(self, method: str, path: str) -> bool:
        """Return True if the fault is for such a request and is not used up."""
        return self.times != 0 and self.method in (None, method) and path.startswith(self.path_prefix)


def parse_fault(body: JsonObject) -> Fault:
    """Read a fault from JSON: `drop` implies `after_effect` unless that is given; `times` is 1 by default.

    Raises:
        ValueError: a field is unknown or out of range; the message names it.
    """
    if unknown := sorted(set(body) - _FIELDS):
        raise ValueError(f"unknown fields {unknown}; a fault has {sorted(_FIELDS)}")
    drop = _typed(body, "drop", bool, False)
    status = body.get("status")
    if status is not None and (type(status) is not int or not 200 <= status <= 599):
        raise ValueError("status must be an integer from 200 to 599, or null")
    times = body.get("times", 1)
    if times is not None and (type(times) is not int or times < 1):
        raise ValueError("times must be a positive integer, or null for 'until cleared'")
    delay = body.get("delay_seconds") or 0
    if type(delay) not in (int, float) or delay < 0:
        raise ValueError("delay_seconds must be a number of seconds, 0 or more")
    method = body.get("method")
    return Fault(
        method=None if method in (None, "*") else str(method).upper(),
        path_prefix=_typed(body, "path_prefix", str, "/"),
        status=status,
        times=times,
        delay_seconds=float(delay),
        drop=drop,
        after_effect=_typed(body, "after_effect", bool, drop),
    )


def _typed(body: JsonObject, name: str, kind: type, default: Any) -> Any:
    value = body.get(name, default)
    if type(value) is not kind:
        raise ValueError(f"{name} must be of type {kind.__name__}")
    return value


class Faults:
    """The faults that are waiting; the first that matches is used. They are not persisted."""

    def __init__(self) -> None:
        self._waiting: list[Fault] = []

    def add(self, fault: Fault) -> None:
        """Put a fault behind those that are waiting."""
        self._waiting.append(fault)

    def take(self, method: str, path: str) -> Fault | None:
        """Return the first fault for such a request, with one use of it spent; None when there is none."""
        fault = next((each for each in self._waiting if each.matches(method, path)), None)
        if fault is not None and fault.times is not None:
            fault.times -= 1
        return fault

    def clear(self) -> None:
        """No request is disturbed from here on."""
        self._waiting.clear()

    def waiting(self) -> list[JsonObject]:
        """Return the faults that are not used up."""
        return [asdict(fault) for fault in self._waiting if fault.times != 0]
