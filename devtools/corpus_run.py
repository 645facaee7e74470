"""Runs corpus plans through Airlock on a real Temporal server: real worker, real corpus service, real approval."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from airlock.base.errors import AirlockError
from airlock.client import Airlock, PlanHandle
from airlock.plans.state import State
from airlock.run.presentation.views import PlanResult
from devtools.corpus_checks import Checked, Failure, failure_for, judge_backward, judge_forward
from devtools.environment import ROOT, environment
from sandbox import processes as sandbox
from sandbox.corpus_data import CORPUS, CorpusPlan

FOLDER = ROOT / ".airlock" / "corpus"
AT_ONCE = 10
APPROVER = "corpus-approver"
_PLAN_WITHIN = 300.0
_LOOK_EVERY = 0.2

Told = Callable[[Checked], None]


class WentWrong(AirlockError):
    """A plan did not come as far as it must; the message is what the table says."""


@dataclass(frozen=True)
class Corpus:
    """The running services: Airlock, and the corpus service with one world for each run of a plan."""

    airlock: Airlock
    service: httpx.AsyncClient

    async def create(self, run_id: str, plan: CorpusPlan) -> None:
        """Create a world in the plan's initial state, for one run of it."""
        body = {"classes": plan.classes, "initial_config": plan.initial_config}
        (await self.service.post(f"/worlds/{run_id}", json=body)).raise_for_status()

    async def spoil(self, run_id: str, failure: Failure) -> None:
        """Let a world fail."""
        body = {"after_calls": failure.after_calls, "kind": failure.kind}
        (await self.service.post(f"/worlds/{run_id}/faults", json=body)).raise_for_status()

    async def state(self, run_id: str) -> dict[str, Any]:
        """Return the current state of a world, read from the service."""
        answer = (await self.service.get(f"/worlds/{run_id}/state")).raise_for_status()
        found: dict[str, Any] = answer.json()
        return found


@asynccontextmanager
async def running_corpus(folder: Path = FOLDER) -> AsyncIterator[Corpus]:
    """Start a Temporal server, a worker with the corpus catalogue, and the corpus service; stop them on leaving."""
    service = await asyncio.to_thread(sandbox.start, "corpus")
    try:
        more = {"AIRLOCK_SETTINGS__CORPUS__BASE_URL": service.url}
        async with (
            environment(folder, fresh=True, config=CORPUS / "airlock.toml", more=more) as env,
            httpx.AsyncClient(base_url=service.url, trust_env=False, timeout=30) as client,
        ):
            yield Corpus(Airlock(env.client), client)
    finally:
        await asyncio.to_thread(service.stop)


async def forward(corpus: Corpus, plans: Iterable[CorpusPlan], told: Told) -> list[Checked]:
    """Run plans through MOCK, DRY_RUN, approval and LIVE, and compare with calling the APIs directly."""

    async def one(plan: CorpusPlan) -> Checked:
        result = await _live(corpus, plan, plan.plan_id)
        return judge_forward(plan, result, await corpus.state(plan.plan_id))

    return await _all(plans, one, told)


async def backward(corpus: Corpus, plans: Iterable[CorpusPlan], seed: int, told: Told) -> list[Checked]:
    """Run plans again, each made to fail at one call; after the rollback the state must be the initial one."""

    async def one(plan: CorpusPlan) -> Checked:
        failure, run_id = failure_for(plan, seed), failing_id(plan)
        result = await _live(corpus, plan, run_id, failure)
        return judge_backward(plan, failure, result, await corpus.state(run_id))

    return await _all(plans, one, told)


def failing_id(plan: CorpusPlan) -> str:
    """Return the plan id of the run that is made to fail."""
    return f"{plan.plan_id}-failing"


async def _live(corpus: Corpus, plan: CorpusPlan, run_id: str, failure: Failure | None = None) -> PlanResult:
    """Return one plan in a world of its own, from submission to its end; rehearsals must leave the world alone."""
    await corpus.create(run_id, plan)
    initial = await corpus.state(run_id)
    handle = await corpus.airlock.submit({**plan.plan, "plan_id": run_id})
    digest = await _rehearsed(handle)
    if await corpus.state(run_id) != initial:
        raise WentWrong("a mock or a dry run changed the state")
    if failure is not None:
        await corpus.spoil(run_id, failure)
    verdict = await handle.decide("approve", by=APPROVER, digest=digest)
    if not verdict.accepted:
        raise WentWrong(f"the approval was refused: {verdict.reason}")
    return await handle.result()


async def _rehearsed(handle: PlanHandle) -> str:
    """Return the digest of the sealed preview, once every step may go live."""
    status = await handle.wait_for(State.AWAITING_APPROVAL, every=_LOOK_EVERY)
    if status.state is not State.AWAITING_APPROVAL or status.digest is None:
        raise WentWrong(f"it was not ready for approval but in {status.state.value}: {status.why}")
    for step in status.steps:
        if step.ceiling != "LIVE":
            raise WentWrong(f"{step.id} stays at {step.ceiling}: {'; '.join(step.reasons)}")
    return status.digest


async def _all(plans: Iterable[CorpusPlan], one: Callable[[CorpusPlan], Awaitable[Checked]], told: Told) -> list[Checked]:
    """Check plans, several at a time; whatever goes wrong with one is its own answer, and the others go on."""
    places = asyncio.Semaphore(AT_ONCE)

    async def guarded(plan: CorpusPlan) -> Checked:
        async with places:
            try:
                checked = await asyncio.wait_for(one(plan), _PLAN_WITHIN)
            except TimeoutError:
                checked = Checked(plan.plan_id, why=(f"it had not ended after {_PLAN_WITHIN:g} s",))
            except Exception as error:  # noqa: BLE001  # one plan must not hide what became of the others
                what = str(error) if isinstance(error, WentWrong) else f"{type(error).__name__}: {error}"
                checked = Checked(plan.plan_id, why=(what,))
        told(checked)
        return checked

    return list(await asyncio.gather(*(guarded(plan) for plan in plans)))
