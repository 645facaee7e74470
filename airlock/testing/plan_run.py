"""A whole plan on a real Temporal server, with the product's own workers, approved by a script."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment

from airlock.activities.opened import opened
from airlock.activities.toolbox import Toolbox
from airlock.admission.policy import AgentPolicy, Policy
from airlock.admission.roles import people
from airlock.base.errors import AirlockError
from airlock.client import Airlock, NoAnswer, PlanHandle
from airlock.plans.catalogue import Catalogue
from airlock.plans.contract import Risk
from airlock.plans.plan import Plan
from airlock.plans.state import State
from airlock.plans.tool import Tool
from airlock.run.decisions.quorum import needs_of
from airlock.run.presentation.approval_needs import approvals_needed, sealed_demands
from airlock.run.presentation.views import AuditView, PlanResult, PreviewView, StatusView
from airlock.run.sealing.sealed import Sealed
from airlock.testing.servers import ServerKind, own_namespace, temporal_server
from airlock.worker.roles import build_workers, parts_of

Approve = bool | Callable[[PreviewView], bool]
"""The script of the approvers: one answer to every preview, or a function that answers each preview once."""

PERMISSIVE = Policy(agents={"*": AgentPolicy(permissions=("*",))})
"""The default policy of `run_plan`: the careful defaults, with every permission for every agent."""
_SHORTEST_WAIT = 0.02
_LONGEST_WAIT = {True: 1.0, False: 0.25}
"""Seconds between two looks at a plan, by whether the server skips time; it skips no more than this at once."""


class PlanStuck(AirlockError):
    """A plan that waits for a person that the script does not play, or that has not ended in time."""


@dataclass(frozen=True)
class PlanRun:
    """A plan that has ended."""

    result: PlanResult
    previews: tuple[PreviewView, ...]
    """Every sealed preview, oldest first; a plan is sealed again after a stale call."""
    audit: AuditView

    def step(self, id: str) -> Any:
        """Return the view of one step: its status, its ceiling, its error.

        Raises:
            KeyError: If the plan has no such step.
        """
        return {step.id: step for step in self.result.steps}[id]


async def run_plan(
    plan: Plan | Mapping[str, Any] | str | Path,
    tools: Iterable[Tool],
    *,
    policy: Policy = PERMISSIVE,
    approve: Approve = True,
    resolve: Mapping[str, str] | None = None,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    server: ServerKind | WorkflowEnvironment = "time-skipping",
    within: float = 120.0,
) -> PlanRun:
    """Submit a plan, play its approvers, and return how it ended.

    Workflows, activities, gates and the workflow sandbox are those of a production worker. Every function of a tool is
    called for real: give tools under test a target that may change.

    Args:
        plan: A plan, a decoded JSON document, or the path of a file with one.
        tools: The tools that the worker offers.
        policy: The operator's rules.
        approve: True approves every preview, False denies it; a function is asked about each preview. Policies that
            require several approvals get them; policies that require signatures refuse.
        resolve: How calls that park the plan are settled, by step: `happened` or `did_not_happen` for a call in doubt,
            `retry`, `skip` or `compensated` for a compensation that failed. Each answer is given once.
        settings: The sections that the tools read, such as `{"flags": {"path": "flags.json"}}`.
        server: The kind of server to start, or one from `temporal_server("dev")` that several plans share, each in a
            namespace of its own.
        within: Seconds by the clock on the wall until the plan counts as stuck.

    Raises:
        AirlockError: If the server is not installed, or a decision was refused.
        ConfigError: If the settings or contracts of the tools cannot be used.
        OpeningFailed: If a start hook of what the tools share fails.
        PlanError: If the plan cannot be accepted.
        PlanStuck: If the plan waits for something that the script does not give, or does not end in time.
    """
    toolbox = Toolbox(Catalogue(tools, settings=settings), policy)
    async with AsyncExitStack() as stack:
        if isinstance(server, str):
            env = await stack.enter_async_context(temporal_server(server))
            client = env.client
        else:
            env, client = server, await own_namespace(server)
        await stack.enter_async_context(_working(client, toolbox))
        handle = await Airlock(client).submit(plan)
        script = _Script(handle, policy, approve, dict(resolve or {}))
        try:
            async with asyncio.timeout(within):
                await _until_closed(env, handle, script)
                return await _ended(handle, script)
        except TimeoutError:
            raise PlanStuck(f"plan {handle.plan_id!r} has not ended within {within:g} s: {script.last}") from None


@asynccontextmanager
async def _working(client: Client, toolbox: Toolbox) -> AsyncIterator[None]:
    async with opened(toolbox, parts_of("all")) as (equipped, _):
        workers = build_workers(client, equipped)
        started = [await worker.__aenter__() for worker in workers]
        try:
            yield
        finally:  # all at once: one after the other, the last ones would go on taking new work
            await asyncio.gather(*(worker.__aexit__(None, None, None) for worker in started))


async def _until_closed(env: WorkflowEnvironment, handle: PlanHandle, script: "_Script") -> None:
    last, wait = None, _SHORTEST_WAIT
    while True:
        try:
            status = await handle.status()
        except NoAnswer:
            if await _closed_without_answer(handle):
                return
            await asyncio.sleep(_SHORTEST_WAIT)
            continue
        if status.outcome is not None or status.state.closed:
            return
        await script.answer(status)
        wait = min(2 * wait, _LONGEST_WAIT[env.supports_time_skipping]) if status == last else _SHORTEST_WAIT
        last = status
        await env.sleep(wait)


async def _closed_without_answer(handle: PlanHandle) -> bool:
    """Return True if the run has ended so that no query answers: `result` then tells why."""
    described = await handle.workflow.describe()
    return described.close_time is not None


async def _ended(handle: PlanHandle, script: "_Script") -> PlanRun:
    result = await handle.result()
    final = await handle.preview()
    if final.digest is not None and final.digest not in [seen.digest for seen in script.previews]:
        script.previews.append(final)  # sealed, but never shown: nothing went live, or approval was waived
    return PlanRun(result, tuple(script.previews), await handle.audit())


class _Script:
    """The people around one plan: they answer when it waits for them."""

    def __init__(self, handle: PlanHandle, policy: Policy, approve: Approve, resolve: dict[str, str]) -> None:
        self.previews: list[PreviewView] = []
        self.last = "it has not begun"
        self._handle = handle
        self._approve = approve
        self._resolve = resolve
        self._policy = policy
        asked = (rule.consequence.approvals for rule in policy.rule)
        needed = max((policy.approvals_of(tuple(Risk)), *asked))
        self._approvers = policy.approvers or tuple(f"approver-{number + 1}" for number in range(needed))

    async def answer(self, status: StatusView) -> None:
        """Give the plan what it waits for, if it waits for a person.

        Raises:
            PlanStuck: If the script has no answer.
        """
        self.last = f"in {status.state.value}, it waits for {status.waits_for}"
        if status.state is State.AWAITING_APPROVAL:
            if status.digest not in [seen.digest for seen in self.previews]:
                await self._judge()
        elif status.state is State.LOCKED and not status.in_flight:
            await self._settle(status)

    async def _judge(self) -> None:
        preview = await self._handle.preview()
        if preview.state is not State.AWAITING_APPROVAL:
            return
        self.previews.append(preview)
        said = self._approve if isinstance(self._approve, bool) else self._approve(preview)
        if not said:
            await self._decide("deny", by=self._approvers[0], digest=preview.digest, reason="denied by the script")
            return
        requester, needed = "", 1
        if preview.sealed is not None:
            requester = preview.sealed.requested_by
            needed = approvals_needed(preview.sealed, sealed_demands(preview.sealed))
        voted = [name for name in self._approvers if name != requester][:needed]
        for approver in voted:
            await self._decide("approve", by=approver, digest=preview.digest)
        if preview.sealed is not None:
            await self._answer_rules(preview.sealed, preview.digest, voted)

    async def _answer_rules(self, sealed: Sealed, digest: str | None, voted: list[str]) -> None:
        """Send the approvals that rules of the policy ask for."""
        needs = {need for step in sealed.steps_to_approve for need in needs_of(step, 0) if need.rule}
        for need in sorted(needs, key=lambda need: need.rule):
            asked = people(self._policy.roles, need.role) if need.role else self._approvers
            able = [name for name in asked if name != sealed.requested_by]
            for approver in able[: need.approvals]:
                if approver in voted or (await self._handle.status()).state is not State.AWAITING_APPROVAL:
                    continue
                voted.append(approver)
                await self._decide("approve", by=approver, digest=digest)

    async def _settle(self, status: StatusView) -> None:
        for step in status.parked:
            if step in self._resolve:
                answer = {"step": step, "outcome": self._resolve.pop(step), "reason": "settled by the script"}
                await self._decide("resolve", by=self._approvers[0], **answer)
                return
        errors = [f"{view.id}: {view.error}" for view in status.steps if view.id in status.parked and view.error]
        more = f" ({'; '.join(errors)}); give run_plan an answer in `resolve`" if status.parked else ""
        raise PlanStuck(f"plan {self._handle.plan_id!r} is locked, {status.why}: it waits for {status.waits_for}{more}")

    async def _decide(self, decision: str, **fields: Any) -> None:
        verdict = await self._handle.decide(decision, **fields)
        if not verdict.accepted:
            raise AirlockError(f"plan {self._handle.plan_id!r} refused to {decision}: {verdict.reason}")
