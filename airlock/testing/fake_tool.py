"""A fake tool: any contract, an effect in memory, a record of its calls, and failures on request."""

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, JsonValue

from airlock.base.canonical import digest
from airlock.base.errors import ContractError, InDoubt, Stale, ToolFailed
from airlock.plans.contract import Contract, Fidelity, Mode
from airlock.plans.tool import Tool
from airlock.plans.tool_call import Preview, Probe, ToolCall

KINDS = ("live", "mock", "dry_run", "compensate", "probe")
"""The functions of a fake tool that record their calls and can be told to fail."""


class FakeArguments(BaseModel):
    """Arguments of a fake tool: any names, any JSON."""

    model_config = ConfigDict(extra="allow")


@dataclass(frozen=True)
class FakeCall:
    """One call that a fake tool received."""

    kind: str
    """The function that was called: live, mock, dry_run, compensate or probe."""
    args: Mapping[str, Any]
    plan_id: str
    step_id: str
    agent: str
    mode: Mode
    idempotency_key: str
    attempt: int


class FakeTool(Tool):
    """A tool whose target is the dictionary `effects`; made by `fake_tool`."""

    def __init__(self, contract: Contract, functions: Iterable[str], output: JsonValue) -> None:
        super().__init__(self._live, contract, None, Any, FakeArguments, fidelity_declared=True)
        self.calls: list[FakeCall] = []
        """Every call that reached the tool, oldest first."""
        self.effects: dict[str, dict[str, Any]] = {}
        """The arguments of every live call whose effect stands, by idempotency key; always empty if the tool only reads."""
        self._output = output
        self._failures: dict[str, deque[tuple[Exception, bool]]] = {kind: deque() for kind in KINDS}
        offered = {"mock": self._mock, "dry_run": self._dry_run, "compensate": self._compensate, "probe": self._probe}
        self.functions.update((kind, offered[kind]) for kind in functions)

    def fail(self, message: str = "told to fail", *, kind: str = "live", times: int = 1, retry: bool = False) -> "FakeTool":
        """Let the next calls fail without an effect, after the failures that are queued already.

        Args:
            message: The message of the `ToolFailed`.
            kind: The function that fails: live, mock, dry_run, compensate or probe.
            times: The number of calls that fail.
            retry: Whether the tool says that trying again could help.
        """
        return self._queue(kind, ToolFailed(message, retry=retry), times)

    def be_stale(self, message: str = "told that its state has moved", *, times: int = 1) -> "FakeTool":
        """Let the next live calls find that the state their preview relied on has moved; they have no effect."""
        return self._queue("live", Stale(message), times)

    def be_in_doubt(
        self, message: str = "told to lose the answer", *, took_effect: bool = True, times: int = 1
    ) -> "FakeTool":
        """Let the next live calls end without an answer.

        Args:
            message: The message of the `InDoubt`.
            took_effect: Whether they took effect all the same; a probe of the tool knows it.
            times: The number of calls that end so.
        """
        return self._queue("live", InDoubt(message), times, took_effect=took_effect)

    def count(self, kind: str = "live") -> int:
        """Return the number of calls that one function of the tool received."""
        return sum(call.kind == kind for call in self.calls)

    def _queue(self, kind: str, error: Exception, times: int, *, took_effect: bool = False) -> "FakeTool":
        if kind not in KINDS:
            raise ValueError(f"a fake tool has no function {kind!r}: name one of {', '.join(KINDS)}")
        self._failures[kind].extend([(error, took_effect)] * times)
        return self

    def _record(self, kind: str, args: FakeArguments, call: ToolCall) -> tuple[Exception | None, bool]:
        self.calls.append(
            FakeCall(
                kind,
                args.model_dump(),
                call.plan_id,
                call.step_id,
                call.agent,
                call.mode,
                call.idempotency_key,
                call.attempt,
            )
        )
        failures = self._failures[kind]
        return failures.popleft() if failures else (None, False)

    def _answered(self, kind: str, args: FakeArguments, call: ToolCall) -> None:
        error, _ = self._record(kind, args, call)
        if error is not None:
            raise error

    def _result(self, args: Mapping[str, Any]) -> JsonValue:
        return dict(args) if self._output is None else self._output

    # coroutines, all of them: the event loop takes one step at a time, so that the record needs no lock
    async def _live(self, args: FakeArguments, call: ToolCall) -> JsonValue:
        error, took_effect = self._record("live", args, call)
        if error is not None and not took_effect:
            raise error
        contract = self.contract()
        if contract.undoable:
            call.undo = {"key": call.idempotency_key}
        if not contract.read_only:
            self.effects.setdefault(call.idempotency_key, args.model_dump())
        if error is not None:
            raise error
        return self._result(self.effects.get(call.idempotency_key, args.model_dump()))

    async def _mock(self, args: FakeArguments, call: ToolCall) -> JsonValue:
        self._answered("mock", args, call)
        return self._result(args.model_dump())

    async def _dry_run(self, args: FakeArguments, call: ToolCall) -> Preview:
        self._answered("dry_run", args, call)
        contract = self.contract()
        return Preview(
            effect=f"Would call the fake {self.name}.",
            output=self._result(args.model_dump()),
            observed={"fake": self.name},  # only a call that relied on an observed state may be repeated
            undo=f"Forget the call of {self.name}." if contract.undoable else None,
        )

    async def _compensate(self, args: FakeArguments, call: ToolCall) -> None:
        self._answered("compensate", args, call)
        self.effects.pop(call.idempotency_key, None)

    async def _probe(self, args: FakeArguments, call: ToolCall) -> Probe:
        self._answered("probe", args, call)
        happened = call.idempotency_key in self.effects
        if happened and self.contract().undoable:
            call.undo = {"key": call.idempotency_key}
        output = self._result(self.effects[call.idempotency_key]) if happened else None
        return Probe(happened=happened, output=output, why="the fake tool remembers its effects")


def fake_tool(
    name: str = "fake",
    *,
    risk: str = "LOW",
    reversibility: str = "reversible",
    output: JsonValue = None,
    dry_run: bool = True,
    probe: bool = False,
    **promises: Any,
) -> FakeTool:
    """Return a tool with a contract of choice, which takes any arguments and has its effect in memory.

    Args:
        name: The name plans use.
        risk: LOW, MEDIUM or HIGH.
        reversibility: read_only, reversible, compensable or irreversible; the middle two get a compensate function.
        output: What a live call returns; None returns its arguments.
        dry_run: Whether the tool has a dry run.
        probe: Whether the tool has a probe.
        promises: Any other field of the contract, such as `permissions`, `timeout` or `resources`.

    Raises:
        ContractError: If the contract contradicts itself, or a field of it cannot be understood.
    """
    functions = [
        "mock",
        *(["dry_run"] if dry_run else []),
        *(["compensate"] if reversibility in ("reversible", "compensable") else []),
        *(["probe"] if probe else []),
    ]
    try:
        contract = Contract.model_validate(
            {
                "tool": name,
                "description": "Do what a test asks for.",
                "risk": risk,
                "reversibility": reversibility,
                "fidelity": (Fidelity.NATIVE if dry_run else Fidelity.NONE).value,
                "arguments_digest": digest(FakeArguments.model_json_schema()),
                **promises,
            }
        )
    except ValueError as error:
        raise ContractError(f"fake tool {name!r}: {error}") from error
    made = FakeTool(contract, functions, output)
    made.contract()  # raises where the contract contradicts itself
    return made
