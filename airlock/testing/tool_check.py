"""The contract check of one tool: every promise that can be tried, tried against the tool's own target."""

import contextlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from airlock.activities.functions.secrets import Secrets
from airlock.activities.opened import opened
from airlock.activities.toolbox import Toolbox
from airlock.admission.needed_secrets import variable
from airlock.admission.policy import ANY, AgentPolicy, Policy
from airlock.plans.catalogue import Catalogue
from airlock.plans.tool import Tool
from airlock.testing.one_call import OneCall
from airlock.testing.trial import CannotGoOnError, Snapshot, Trial
from airlock.testing.two_calls import try_two_calls


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
        trial = Trial(tool, args, equipped, snapshot, _secrets(secrets))
        with contextlib.suppress(CannotGoOnError):
            await OneCall(trial).run()
            if then is not None:
                await try_two_calls(trial, then)
    if trial.broken:
        raise PromiseBroken(tool.name, tuple(trial.broken))
    return ToolReport(tuple(trial.kept), tuple(trial.skipped))


def _secrets(given: Mapping[str, str] | None) -> Secrets:
    if given is None:
        return Secrets()
    variables = {variable(name): value for name, value in given.items()}
    return Secrets({**os.environ, **variables})
