"""The contract check of one tool: every promise that can be tried, tried against the tool's own target."""

import contextlib
import copy
import inspect
import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from pydantic import JsonValue

from airlock.activities.left_states import left_by
from airlock.activities.opened import opened
from airlock.activities.secrets import Secrets
from airlock.activities.tool_functions import WrongShape, as_model, bind_real, checked_output, describe, run
from airlock.activities.toolbox import Toolbox
from airlock.admission.needed_secrets import variable
from airlock.admission.policy import ANY, AgentPolicy, Policy
from airlock.base import names
from airlock.plans.catalogue import Catalogue
from airlock.plans.contract import Contract, Mode
from airlock.plans.drift import drift
from airlock.plans.left_states import NotAsForeseen, completed, relies_on
from airlock.plans.own_steps import Earlier, LeftUnknown, OwnSteps
from airlock.plans.plan import Step
from airlock.plans.refs import UNKNOWN, contains_unknown
from airlock.plans.tool import Tool, ToolFunction
from airlock.plans.tool_call import Preview, Probe, ToolCall

Snapshot = Callable[[], Any] | Callable[[], Awaitable[Any]]
"""Returns the state of the target that the tool changes, as a value that `==` compares."""
_PLAN, _STEP, _AGENT = "check-tool", "checked", "tester"


class PromiseBroken(AssertionError):
    """A tool that does not keep its contract; `broken` has one sentence for each promise."""

    def __init__(self, tool: str, broken: tuple[str, ...]) -> None:
        self.broken = broken
        super().__init__("\n".join([f"tool {tool!r} breaks its contract:", *(f"- {each}" for each in broken)]))


@dataclass(frozen=True)
class ToolReport:
    """The promises of a tool that held."""

    kept: tuple[str, ...]
    """One sentence for each promise that was tried, in the order of the trials."""
    skipped: tuple[str, ...]
    """The functions that the tool does not have, or that these arguments do not use."""


async def check_tool(
    tool: Tool,
    args: Mapping[str, Any],
    *,
    snapshot: Snapshot,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    secrets: Mapping[str, str] | None = None,
    then: Mapping[str, Any] | None = None,
) -> ToolReport:
    """Try the promises of a tool on its target, through the functions that a worker calls tools with.

    In this order: the mock returns the declared shape; the dry run returns a `Preview`; both leave the target as it was;
    the live call returns the declared shape, and changes the target unless the tool only reads; the same idempotency key
    again, without the undo token that a worker loses when it dies, has no second effect; the probe sees the effect;
    compensate restores the target, and does no harm a second time. The effect of an irreversible tool stays.

    Args:
        tool: The tool.
        args: The arguments as a plan has them; they must make the live call change what `snapshot` sees.
        snapshot: Returns the state of the target that the tool changes, without bookkeeping such as a log of keys.
        settings: The sections that the tool reads, such as `{"flags": {"path": "flags.json"}}`.
        secrets: Values of secrets by name; None takes them from the environment, as a worker does.
        then: The arguments of a second call that changes the same thing, as a later step of the same plan. Both are
            previewed before either is made, then made, then undone in reverse order.

    Raises:
        PromiseBroken: With every promise that did not hold; trials that build on a failed one are left out.
        ConfigError: If the settings or the contract cannot be used.
        ToolFailed: If the arguments do not fit the tool.
        SecretError: If an argument needs a secret that is not given.
        OpeningFailed: If a start hook of what the tool shares fails.
    """
    # what it depends on is the plan's affair: a catalogue of one tool cannot offer it
    catalogue = Catalogue([tool], overrides={tool.name: {"depends_on_tools": ()}}, settings=settings)
    toolbox = Toolbox(catalogue, Policy(agents={ANY: AgentPolicy(permissions=(ANY,), secrets=(ANY,))}))
    async with opened(toolbox, ("rehearse", "live"), lambda: _secrets(secrets)) as (equipped, _):
        trial = _Trial(tool, args, equipped, snapshot, _secrets(secrets))
        with contextlib.suppress(_CannotGoOnError):
            await trial.all()
            if then is not None:
                await trial.of_two(then)
    if trial.broken:
        raise PromiseBroken(tool.name, tuple(trial.broken))
    return ToolReport(tuple(trial.kept), tuple(trial.skipped))


def _secrets(given: Mapping[str, str] | None) -> Secrets:
    if given is None:
        return Secrets()
    variables = {variable(name): value for name, value in given.items()}
    return Secrets({**os.environ, **variables})


class _CannotGoOnError(Exception):
    """A promise is broken that the next trials build on."""


class _Trial:
    def __init__(self, tool: Tool, args: Mapping[str, Any], toolbox: Toolbox, snapshot: Snapshot, secrets: Secrets) -> None:
        self.broken: list[str] = []
        self.kept: list[str] = []
        self.skipped: list[str] = []
        self._tool = tool
        self._contract: Contract = tool.contract(args)
        self._secrets = secrets
        self._toolbox = toolbox
        self._args = self._model(args)
        self._settings = toolbox.catalogue.settings_of(tool)
        self._snapshot = snapshot
        self._output: Any = None
        self._token: JsonValue = None
        self._unknown: list[LeftUnknown] = []

    async def all(self) -> None:
        before = await self._look()
        await self._mock(before)
        observed = await self._dry_run(before)
        after = await self._live(before, observed)
        await self._same_key(after, observed)
        await self._probe(after)
        await self._undo_check(after)
        await self._compensate(before)

    def _model(self, args: Mapping[str, Any]) -> Any:
        step = Step(id="step", agent="author", tool=self._tool.name, args=dict(args), confidence=1.0)
        real = bind_real(self._toolbox, step, {}, self._secrets, must_know=True).args
        return as_model(self._tool, real, complete=True)

    async def of_two(self, then: Mapping[str, Any]) -> None:
        """Make two calls with previews from before both, then undo them in reverse order."""
        look = self._tool.functions.get("dry_run")
        if look is None or not self._contract.undoable:
            self.skipped.append("then")
            return
        later, before = self._model(then), await self._look()
        said = await self._run("first of two dry runs", look, self._call(Mode.DRY_RUN, step="first"))
        own = OwnSteps({"first": (), "then": ("first",)})
        own.add("first", said.leaves)
        ahead = self._call(Mode.DRY_RUN, step="then", look_before=partial(own.before, "then"))
        foreseen = await self._foreseen(look, ahead, later)
        fix = "its dry run calls `call.earlier` with the name under which the dry run of the first one has `leaves`"
        self._must(bool(ahead.follows), "the dry run of a later step asks for what an earlier one leaves", fix)
        relies = all(relies_on(foreseen, name, left.seen) for name, left in ahead.follows.items())
        self._must(relies, "the dry run of a later step returns what it got as `observed`")
        wanted = tuple(sorted(ahead.follows))
        first = self._call(Mode.LIVE, step="first", observed=said.observed, wanted=wanted)
        await self._run("first of two live calls", self._tool.live, first)
        between = await self._look()
        now = await self._run("dry run between two calls", look, self._call(Mode.DRY_RUN, step="then"), later)
        same = drift(foreseen, now.observed)
        self._must(
            not same, "the first call leaves what its dry run said", f"it differs at {', '.join(same) or 'the whole'}"
        )
        last = self._call(Mode.LIVE, step="then", observed=now.observed)
        if contains_unknown(foreseen):
            last.observed = await self._compared(foreseen, ahead, first, now.observed)
        await self._run("second of two live calls", self._tool.live, last, later)
        self._must(await self._look() != between, "the second call changes what the first one left")
        undo = self._tool.functions["compensate"]
        await self._run("undo of the second call", undo, self._call(Mode.LIVE, step="then", undo=last.undo), later)
        self._must(await self._look() == between, "the undo of the second call restores what the first one left")
        await self._run("undo of the first call", undo, self._call(Mode.LIVE, step="first", undo=first.undo))
        self._must(await self._look() == before, "the undo of both calls restores the target")

    async def _foreseen(self, look: ToolFunction, ahead: ToolCall, later: Any) -> JsonValue:
        """Return the state that the second call relies on, by its dry run before the first call is made."""
        self._unknown.clear()
        said = await self._run("second of two dry runs", look, ahead, later)
        for unknown in self._unknown:
            ahead.follows[unknown.name] = Earlier(unknown.step, UNKNOWN)
            return UNKNOWN
        observed: JsonValue = said.observed
        return observed

    async def _compared(self, foreseen: JsonValue, ahead: ToolCall, first: ToolCall, now: JsonValue) -> JsonValue:
        """Return what the second call compares with, where its dry run left that open."""
        left = left_by(first, self._secrets)
        compares, why = foreseen, ""
        try:
            compares = completed(foreseen, {name: each.step for name, each in ahead.follows.items()}, left)
        except NotAsForeseen as error:
            why = str(error)
        self._must(not why, "the first call sets `leaves` where the second one's dry run left a state open", why)
        holds = all(relies_on(now, name, state) for name, state in left.items())
        self._must(holds, "a dry run after the first call observes what that one set in `leaves`")
        again = self._call(Mode.LIVE, step="first", observed=None, attempt=2, wanted=first.wanted)
        await self._run("first of two calls with the same key again", self._tool.live, again)
        self._must(left_by(again, self._secrets) == left, "the same idempotency key again sets `leaves` again")
        return compares

    async def _mock(self, before: Any) -> None:
        if (function := self._function("mock")) is not None:
            returned = await self._run("mock", function, self._call(Mode.MOCK))
            self._shape("mock", returned)
            self._expect(await self._look() == before, "the mock leaves the target as it was")

    async def _dry_run(self, before: Any) -> JsonValue:
        function = self._function("dry_run") if self._contract.has_dry_run else None
        if function is None:
            return None
        said = await self._run("dry run", function, self._call(Mode.DRY_RUN))
        self._expect(await self._look() == before, "the dry run leaves the target as it was")
        if not self._is(Preview, said, "dry run"):
            return None
        if UNKNOWN not in str(said.output):
            self._shape("dry run", said.output)
        # as the live call of a plan gets it: the history holds the names of secrets, not their values
        observed: JsonValue = self._secrets.restore(self._secrets.redact(said.observed))
        return observed

    async def _live(self, before: Any, observed: JsonValue) -> Any:
        call = self._call(Mode.LIVE, observed=observed)
        self._output = self._shape("live call", await self._run("live call", self._tool.live, call))
        self._token = call.undo
        after = await self._look()
        if self._contract.read_only:
            self._must(after == before, "a tool that only reads leaves the target as it was")
        else:
            fix = "choose arguments that change something, and a snapshot that sees it, or declare the tool read_only"
            self._must(after != before, "the live call changes what the snapshot sees", fix)
        return after

    async def _same_key(self, after: Any, observed: JsonValue) -> None:
        """Make the call again as the next attempt after a worker died: same key, no undo token."""
        again = self._call(Mode.LIVE, observed=observed, attempt=2)
        output = self._shape("second call", await self._run("second call with the same key", self._tool.live, again))
        if not self._contract.read_only:
            self._must(await self._look() == after, "the same idempotency key again has no second effect")
            self._expect(output == self._output, "the same idempotency key again returns the same output")
        if self._token is not None:
            self._expect(again.undo is not None, "the same idempotency key again sets the undo token again")
            self._token = again.undo if again.undo is not None else self._token

    async def _probe(self, after: Any) -> None:
        if (function := self._function("probe")) is None:
            return
        call = self._call(Mode.LIVE)
        said = await self._run("probe", function, call)
        self._expect(await self._look() == after, "the probe leaves the target as it was")
        if not self._is(Probe, said, "probe"):
            return
        # None is an honest answer: the target cannot tell
        self._expect(said.happened is not False, "the probe does not deny a call that took effect")
        if said.happened:
            self._shape("probe", said.output)
            if self._token is not None:
                self._expect(call.undo is not None, "the probe sets the undo token of a call that took effect")
        other = await self._run("probe", function, self._call(Mode.LIVE, step="never-called"))
        happened = isinstance(other, Probe) and other.happened is True
        self._expect(not happened, "the probe does not confirm a call that was never made")

    async def _undo_check(self, after: Any) -> None:
        if (function := self._function("undo_check")) is not None:
            said = await self._run("undo check", function, self._call(Mode.LIVE, undo=self._token))
            self._is(Preview, said, "undo check")
            self._expect(await self._look() == after, "the undo check leaves the target as it was")

    async def _compensate(self, before: Any) -> None:
        function = self._function("compensate") if self._contract.undoable else None
        if function is None:
            return
        await self._run("compensate", function, self._call(Mode.LIVE, undo=self._token))
        self._must(await self._look() == before, "live, then compensate, restores the target")
        await self._run("second compensate", function, self._call(Mode.LIVE, undo=self._token))
        self._expect(await self._look() == before, "a second compensate does no harm")

    def _function(self, kind: str) -> ToolFunction | None:
        function = self._tool.functions.get(kind)
        if function is None:
            self.skipped.append(kind)
        return function

    def _call(self, mode: Mode, *, step: str = _STEP, **more: Any) -> ToolCall:
        key = names.idempotency_key(_PLAN, step)
        finder = self._toolbox.finder(self._tool, self._secrets)
        return ToolCall(
            _PLAN, step, _AGENT, mode, key, settings=self._settings, secret=self._secrets.resolve, find_shared=finder, **more
        )

    async def _run(self, what: str, function: ToolFunction, call: ToolCall, args: Any = None) -> Any:
        try:
            # a deep copy: a function that changes its arguments may not change those of the next trial
            given = (self._args if args is None else args).model_copy(deep=True)
            return await run(function, given, call, self._contract.timeout)
        except LeftUnknown as unknown:  # the end of a dry run, as in a plan
            self._unknown.append(unknown)
            return None
        except Exception as error:  # whatever a tool raises here is a finding about the tool
            self.broken.append(f"the {what} raised {type(error).__name__}: {describe(error, self._secrets)}")
            raise _CannotGoOnError from error

    async def _look(self) -> Any:
        found = self._snapshot()
        return copy.deepcopy(await found if inspect.isawaitable(found) else found)

    def _shape(self, what: str, output: Any) -> Any:
        promise = f"the {what} returns the declared shape"
        try:
            checked = checked_output(self._tool, output)
        except WrongShape as error:
            self._expect(False, promise, str(error))
            return None
        self._expect(True, promise)
        return checked

    def _is(self, model: type, said: Any, what: str) -> bool:
        why = f"it returned {type(said).__name__}"
        return self._expect(isinstance(said, model), f"the {what} returns a {model.__name__}", why)

    def _expect(self, holds: bool, promise: str, why: str = "") -> bool:
        if holds:
            self.kept.append(promise)
        else:
            self.broken.append(f"this does not hold: {promise}" + (f" ({why})" if why else ""))
        return holds

    def _must(self, holds: bool, promise: str, why: str = "") -> None:
        if not self._expect(holds, promise, why):
            raise _CannotGoOnError
