"""The desk at which agents propose plans. It is all that a connection can reach of Airlock.

Of the messages that a plan takes, this room sends two: the withdrawal, and an amendment in the name of the requester, whose
approval counts for nothing. It never approves, denies, unlocks, rolls back or
settles anything, and holds no key and no secret.
"""

import asyncio
import contextlib
import time
from typing import Any

from temporalio.service import RPCError

from airlock.admission.examination import Examination
from airlock.admission.offers import offered_tool, rights_of, rules_of
from airlock.base import names
from airlock.base.errors import AirlockError, PlanError, Problem
from airlock.base.text import listed
from airlock.client.errors import NoAnswer, PlanConflict, PlanEnded
from airlock.client.gate_status import read_gate
from airlock.client.monitors import Monitors, NoMonitor
from airlock.client.plans import Airlock
from airlock.client.pollers import QUEUES_OF, sentences, unserved
from airlock.mcp.amendments import NotAmended, amend
from airlock.mcp.answers import (
    CheckAnswer,
    Fault,
    HealthAnswer,
    Phase,
    PlanAnswer,
    PreviewAnswer,
    StepCheck,
    ToolsAnswer,
)  # fmt: skip
from airlock.mcp.masking import masked
from airlock.mcp.own_plans import Seen, see
from airlock.mcp.plan_answers import WITHDRAWN, plan_answer
from airlock.mcp.proposals import Configured, examined
from airlock.plans.contract import Mode
from airlock.plans.outcome import StepPreview
from airlock.run.presentation.preview import render_for_agent
from airlock.run.sealing.sealed import Sealed
from airlock.temporal.connection import ConnectionFailed
from airlock.tools.loader import load_catalogue

LONGEST_WAIT = 45.0
"""Seconds: hosts cut off calls that take a minute."""
MAX_PREVIEW = 60_000
"""Characters of a preview in one answer."""
MAX_PROBLEMS = 50
"""Problems in one answer: a model corrects no more at a time, and reads every one."""
_EVERY = 0.5
_SELDOM = 3.0
"""Seconds between two looks at a plan in one wait: short at first, then longer, since each look costs calls of Temporal."""
_FIRST_LOOK = 10.0
"""Seconds for the first look at a plan, however short the wait: longer than a worker has for its answer."""
_GATE_WITHIN = 5.0


class Desk:
    """The desk. It keeps nothing about plans: all of that is in Temporal.

    Args:
        configured: The operator's configuration and catalogue, if this process has them.
    """

    def __init__(self, configured: Configured | None) -> None:
        self._configured = configured
        self._airlock: Airlock | None = None
        self._connecting = asyncio.Lock()

    async def airlock(self) -> Airlock:
        """Return the connection; it is made on first use, and comes back by itself after a loss.

        Raises:
            ConnectionFailed: If nothing answers.
        """
        async with self._connecting:
            if self._airlock is None:
                self._airlock = await Airlock.connect()
            return self._airlock

    def list_tools(self, agent: str, names_wanted: list[str] | None = None) -> ToolsAnswer:
        """Return the catalogue with what the agent may do; of named tools alone if names are given."""
        config, catalogue = self._configured or (None, _careful())
        wanted = [name for name in catalogue.names if names_wanted is None or name in names_wanted]
        unknown = [name for name in names_wanted or () if catalogue.get(name) is None]
        rights = rights_of(agent, catalogue, config.policy) if config else None
        by_tool = {each.tool: each.model_dump(mode="json") for each in rights.tools} if rights else {}
        return ToolsAnswer(
            ok=not unknown,
            problems=_faults(
                tuple(
                    Problem(where="names", message=f"there is no tool {name[:80]!r}", fix="call list_tools without names")
                    for name in unknown
                )
            ),
            agent=agent,
            tools=tuple({**offered_tool(catalogue, name), "rights": by_tool.get(name)} for name in wanted),
            rules=rules_of(config.policy) if config else {},
            rights=rights.model_copy(update={"tools": ()}) if rights else None,
            next=_UNKNOWN if unknown else "Write a plan with these tools and check it with check_plan.",
        )

    def check(self, agent: str, document: Any) -> CheckAnswer:
        """Examine a plan and submit nothing."""
        try:
            return _checked(examined(document, agent, self._configured))
        except PlanError as error:
            return CheckAnswer(ok=False, problems=_faults(error.problems), next=_FIX)

    async def propose(self, agent: str, document: Any) -> PlanAnswer:
        """Submit a plan and answer at once; a person decides about it later."""
        try:
            findings = examined(document, agent, self._configured)
            if findings.problems:
                raise PlanError(findings.problems)
            handle = await (await self.airlock()).submit(findings)
        except PlanError as error:
            return PlanAnswer(ok=False, problems=_faults(error.problems), next=_FIX)
        except PlanConflict as error:
            return _refusal("plan.plan_id", str(error), "leave plan_id out, or choose another one")
        except (AirlockError, RPCError) as error:
            return _refusal("plan", _said(error), "propose the same plan again in a minute; that never starts it twice")
        seen = await self._seen_soon(agent, handle.plan_id)
        if seen is None:
            return PlanAnswer(
                plan_id=handle.plan_id, phase=Phase.REHEARSING, already_proposed=handle.already, next=_PROPOSED
            )
        return plan_answer(seen, already=handle.already)

    async def _seen_soon(self, agent: str, plan_id: str) -> Seen | None:
        """Return a plan that was just submitted, if a worker answers at once."""
        with contextlib.suppress(TimeoutError, AirlockError, RPCError):
            return await asyncio.wait_for(see(await self.airlock(), plan_id, agent), timeout=2.0)
        return None

    async def seen(self, agent: str, plan_id: str) -> Seen:
        """Return a plan of the agent.

        Raises:
            AirlockError: If it has none of that id, or Temporal does not answer.
        """
        return await see(await self.airlock(), plan_id, agent)

    async def status(self, agent: str, plan_id: str) -> PlanAnswer:
        """Return the status of a plan of the agent."""
        try:
            return plan_answer(await self.seen(agent, plan_id))
        except (AirlockError, RPCError) as error:
            return _refusal("plan_id", _said(error), _ID, plan_id)

    async def wait(self, agent: str, plan_id: str, within: float) -> PlanAnswer:
        """Wait until a plan of the agent has ended or a person stopped it, at most 45 seconds; return its status."""
        begun = time.monotonic()
        until, end = begun + min(max(within, 0.0), LONGEST_WAIT), begun + LONGEST_WAIT
        answer = _refusal("plan_id", "Temporal does not answer", _ID, plan_id)
        look, pause = _FIRST_LOOK, _EVERY
        while True:
            # neither a worker nor a Temporal that is away is waited for beyond the end of this call
            now = time.monotonic()
            with contextlib.suppress(TimeoutError):
                answer = await asyncio.wait_for(self.status(agent, plan_id), timeout=min(max(until - now, look), end - now))
            left, look = until - time.monotonic(), 1.0
            # without a phase no worker, or nothing at all, answers: it may come back while there is time
            settled = not answer.ok or (answer.phase is Phase.ENDED and answer.outcome is not None)
            if settled or answer.phase is Phase.LOCKED or left <= 0:
                return answer
            await asyncio.sleep(min(pause, left))
            pause = min(pause * 1.5, _SELDOM)

    async def preview(self, agent: str, plan_id: str) -> PreviewAnswer:
        """Return what the approver is shown about a plan of the agent, without the commands for people."""
        try:
            seen = await self.seen(agent, plan_id)
            view = await seen.handle.preview()
        except (AirlockError, RPCError) as error:
            fault = Fault(field="plan_id", reason=_said(error), fix=_ID)
            return PreviewAnswer(ok=False, problems=(fault,), plan_id=plan_id[:128], next=_ID)
        if view.sealed is None or view.digest is None:
            return PreviewAnswer(plan_id=seen.handle.plan_id, text=view.text, next="Look again with plan_status.")
        # before it is rendered: a text is cut and wrapped, and a name with it
        text = render_for_agent(_masked(view.sealed), view.before and _masked(view.before))
        if len(text) > MAX_PREVIEW:
            text = f"{text[:MAX_PREVIEW]}\n... {len(text) - MAX_PREVIEW:,} more characters"
        return PreviewAnswer(plan_id=seen.handle.plan_id, text=text, next="A person decides about it. See plan_status.")

    async def amend(self, agent: str, plan_id: str, steps: Any, remove: list[str], reason: str) -> PlanAnswer:
        """Change steps of a plan of the agent that waits for approval. The run itself judges whether it may."""
        try:
            seen = await self.seen(agent, plan_id)
            if not seen.open:
                return _ended_before(plan_answer(seen))
            said = await amend(seen.handle, agent, steps, remove, reason, self._configured)
        except PlanError as error:
            return PlanAnswer(ok=False, problems=_faults(error.problems), plan_id=plan_id[:128], next=_AMEND)
        except NotAmended as error:
            return _refusal("plan_id", f"not amended: {error}", _AMEND, plan_id)
        except PlanEnded:
            return _ended_before(await self.status(agent, plan_id))
        except (AirlockError, RPCError) as error:
            return _refusal("plan_id", _said(error), _ID, plan_id)
        answer = await self.status(agent, plan_id)
        return answer.model_copy(update={"next": f"{said} {answer.next}"})

    async def withdraw(self, agent: str, plan_id: str, reason: str) -> PlanAnswer:
        """Withdraw a plan of the agent before any of its calls is live. The run itself judges whether it may."""
        try:
            seen = await self.seen(agent, plan_id)
            if not seen.open:
                return plan_answer(seen)
            why = f"{WITHDRAWN}{reason.strip() or 'no reason given'}"[:2_000]
            verdict = await seen.handle.decide("abort", by=agent, reason=why, withdrawn=True)
        except PlanEnded:
            return await self.status(agent, plan_id)
        except (AirlockError, RPCError) as error:
            return _refusal("plan_id", _said(error), _ID, plan_id)
        if not verdict.accepted:
            fix = "tell the user: a person can stop it, roll it back or abort it"
            return _refusal("plan_id", f"not withdrawn: {verdict.reason}", fix, plan_id)
        return await self.wait(agent, plan_id, 5.0)

    async def health(self) -> HealthAnswer:
        """Return whether plans can be carried out at the moment."""
        try:
            client = (await self.airlock()).client
            await client.service_client.check_health()
            missing = sentences(await unserved(client, *QUEUES_OF))
        except (AirlockError, RPCError) as error:
            fault = Fault(field="temporal", reason=_said(error), fix="tell the user that Temporal does not answer")
            return HealthAnswer(ok=False, problems=(fault,), next=fault.fix)
        score, tier, anomalies, locked = None, None, tuple[str, ...](), None
        with contextlib.suppress(NoMonitor, NoAnswer, RPCError):
            report = await Monitors(client).health()
            if (found := report.health.score) is not None:
                score, tier = found.value, found.tier.value
            anomalies = tuple(each.evidence for each in report.anomalies)
        with contextlib.suppress(NoAnswer, RPCError):
            gate = await read_gate(client, names.LIVE_GATE, _GATE_WITHIN)
            locked = gate is not None and bool(gate.locks)
        said = "Plans wait until a worker is there; tell the user." if missing else "Plans can be proposed."
        return HealthAnswer(
            temporal=True, missing_workers=missing, score=score, tier=tier, anomalies=anomalies, live_gate_locked=locked,
            next="People have stopped live calls: approved plans wait." if locked else said,
        )  # fmt: skip


_UNKNOWN = "Call list_tools without names, and use the tools that there are."
_FIX = "Fix every problem and check it again with check_plan."
_PROPOSED = "Proposed. A person must approve it; nothing is in effect yet. Tell the user, and look with wait_for_plan."
_AMEND = "Fix every problem and amend it again; the plan stays as it was. See plan_preview for its steps."
_ID = "Use the plan_id that propose_plan returned to you; if Temporal does not answer, look again in a minute."


def _ended_before(answer: PlanAnswer) -> PlanAnswer:
    """Return the answer about a plan that ended before it was amended: nothing of the amendment counts."""
    fault = Fault(
        field="plan_id", reason="not amended: the plan has ended", fix="propose a new plan, if the user asks for it"
    )
    return answer.model_copy(update={"ok": False, "problems": (*answer.problems, fault)})


def _masked(sealed: Sealed) -> Sealed:
    # former values are for people: who may propose to write something may not therefore read it
    steps = tuple(step.model_copy(update={"preview": _unread(step.preview)}) for step in sealed.steps)
    return Sealed.model_validate(masked(sealed.model_copy(update={"steps": steps}).model_dump(mode="json")))


def _unread(preview: StepPreview | None) -> StepPreview | None:
    return None if preview is None else preview.model_copy(update={"former": {}})


def _careful() -> Any:
    from airlock.admission.configuration.config import (
        Config,  # only a server without a configuration shows the built-in tools
    )

    return load_catalogue(Config())


def _checked(findings: Examination) -> CheckAnswer:
    admitted = findings.admitted
    return CheckAnswer(
        ok=not findings.problems,
        problems=_faults(findings.problems),
        plan_id=findings.plan.plan_id,
        warnings=_faults(findings.warnings),
        steps=tuple(
            StepCheck(id=step.id, tool=step.tool, ceiling=ceiling.mode.value, reasons=ceiling.reasons)
            for step in findings.plan.steps
            if (ceiling := findings.ceilings.get(step.id)) is not None
        ),
        conflicts=tuple(f"{found.kind.value}: {found.detail}" for found in admitted.conflicts) if admitted else (),
        next=_FIX if findings.problems else _proposable(findings),
    )


def _proposable(findings: Examination) -> str:
    """Return what to do with a plan without problems; a step that cannot go live is named, or a model would not look."""
    held = [step for step, ceiling in findings.ceilings.items() if ceiling.mode is not Mode.LIVE]
    if not held or findings.plan.max_mode is not Mode.LIVE:  # the agent has asked for no more than a rehearsal
        return "It can be proposed with propose_plan."
    return (
        f"It can be proposed with propose_plan, but never takes effect in: {listed(held)}. The reasons of these steps say "
        "why. Change the plan, or tell the user."
    )


def _faults(problems: tuple[Problem, ...]) -> tuple[Fault, ...]:
    faults = tuple(map(Fault.of, problems[:MAX_PROBLEMS]))
    if (left_out := len(problems) - len(faults)) <= 0:
        return faults
    return (*faults, Fault(field="", reason=f"{left_out:,} more problems are not shown", fix="fix these first"))


def _refusal(field: str, reason: str, fix: str, plan_id: str = "") -> PlanAnswer:
    return PlanAnswer(ok=False, problems=(Fault(field=field, reason=reason, fix=fix),), plan_id=plan_id[:128], next=fix)


def _said(error: Exception) -> str:
    if isinstance(error, ConnectionFailed | RPCError):  # the address of the server is no business of an agent
        return "Temporal does not answer"
    return str(error)
