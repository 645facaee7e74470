"""Trials of a tool: its functions are run as a worker runs them, and each promise is noted as kept or broken."""

import copy
import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from airlock.activities.functions.error_texts import describe
from airlock.activities.functions.secrets import Secrets
from airlock.activities.functions.tool_functions import WrongShape, as_model, bind_real, checked_output
from airlock.activities.functions.tool_runs import run
from airlock.activities.toolbox import Toolbox
from airlock.base import names
from airlock.plans.contract import Contract, Mode
from airlock.plans.own_steps import LeftUnknown
from airlock.plans.plan import Step
from airlock.plans.tool import Tool, ToolFunction
from airlock.plans.tool_call import ToolCall

Snapshot = Callable[[], Any] | Callable[[], Awaitable[Any]]
"""Returns the state of the target that the tool changes, as a value that `==` compares."""
_PLAN, _STEP, _AGENT = "check-tool", "checked", "tester"


class CannotGoOnError(Exception):
    """A promise is broken that the next trials build on."""


class Trial:
    """One tool on its target, and the promises of it that were tried so far.

    Args:
        tool: The tool.
        args: The arguments as a plan has them.
        toolbox: The catalogue of this tool, with what it shares.
        snapshot: Returns the state of the target.
        secrets: The source of secrets.
    """

    def __init__(self, tool: Tool, args: Mapping[str, Any], toolbox: Toolbox, snapshot: Snapshot, secrets: Secrets) -> None:
        self.broken: list[str] = []
        self.kept: list[str] = []
        self.skipped: list[str] = []
        self.tool = tool
        self.contract: Contract = tool.contract(args)
        self.secrets = secrets
        self._toolbox = toolbox
        self._args = self.model(args)
        self._settings = toolbox.catalogue.settings_of(tool)
        self._snapshot = snapshot
        self.unknown: list[LeftUnknown] = []

    def model(self, args: Mapping[str, Any]) -> Any:
        """Return arguments as the tool gets them."""
        step = Step(id="step", agent="author", tool=self.tool.name, args=dict(args), confidence=1.0)
        real = bind_real(self._toolbox, step, {}, self.secrets, must_know=True).args
        return as_model(self.tool, real, complete=True)

    def function(self, kind: str) -> ToolFunction | None:
        """Return a function of the tool; note it as skipped if there is none."""
        function = self.tool.functions.get(kind)
        if function is None:
            self.skipped.append(kind)
        return function

    def call(self, mode: Mode, *, step: str = _STEP, **more: Any) -> ToolCall:
        """Return what a function is told about a call; one step has one idempotency key."""
        key = names.idempotency_key(_PLAN, step)
        finder = self._toolbox.finder(self.tool, self.secrets)
        return ToolCall(
            _PLAN, step, _AGENT, mode, key, settings=self._settings, secret=self.secrets.resolve, find_shared=finder, **more
        )

    async def run(self, what: str, function: ToolFunction, call: ToolCall, args: Any = None) -> Any:
        """Run a function of the tool; None if it is a dry run that relies on what an earlier call leaves unknown.

        Raises:
            CannotGoOnError: If it raised, which is noted as broken.
        """
        try:
            # a deep copy: a function that changes its arguments may not change those of the next trial
            given = (self._args if args is None else args).model_copy(deep=True)
            return await run(function, given, call, self.contract.timeout)
        except LeftUnknown as unknown:  # the end of a dry run, as in a plan
            self.unknown.append(unknown)
            return None
        except Exception as error:  # whatever a tool raises here is a finding about the tool
            self.broken.append(f"the {what} raised {type(error).__name__}: {describe(error, self.secrets)}")
            raise CannotGoOnError from error

    async def look(self) -> Any:
        """Return the state of the target."""
        found = self._snapshot()
        return copy.deepcopy(await found if inspect.isawaitable(found) else found)

    def shape(self, what: str, output: Any) -> Any:
        """Expect an output of the declared shape, and return it as JSON; None if it has another."""
        promise = f"the {what} returns the declared shape"
        try:
            checked = checked_output(self.tool, output)
        except WrongShape as error:
            self.expect(False, promise, str(error))
            return None
        self.expect(True, promise)
        return checked

    def is_a(self, model: type, said: Any, what: str) -> bool:
        """Expect that a function returned this model. Return True if it did."""
        why = f"it returned {type(said).__name__}"
        return self.expect(isinstance(said, model), f"the {what} returns a {model.__name__}", why)

    def expect(self, holds: bool, promise: str, why: str = "") -> bool:
        """Note a promise as kept or broken. Return True if it holds."""
        if holds:
            self.kept.append(promise)
        else:
            self.broken.append(f"this does not hold: {promise}" + (f" ({why})" if why else ""))
        return holds

    def must(self, holds: bool, promise: str, why: str = "") -> None:
        """Note a promise that the next trials build on.

        Raises:
            CannotGoOnError: If it does not hold.
        """
        if not self.expect(holds, promise, why):
            raise CannotGoOnError
