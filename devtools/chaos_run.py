"""The chaos run: plans are submitted while workers and the server are killed and the live gate is locked and unlocked."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterable
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from temporalio.client import Client
from temporalio.service import RPCError

from airlock.base.errors import AirlockError
from airlock.client import Airlock, PlanHandle
from airlock.client.errors import NoSuchPlan
from airlock.client.pollers import last_poll
from airlock.run.presentation.views import PlanResult, StatusView
from devtools.chaos_barrier import lock, unlock
from devtools.chaos_checks import Closure, Evidence
from devtools.chaos_plans import Batch, make_plans
from devtools.chaos_robot import Robot
from devtools.chaos_world import ChaosWorld, chaos_world
from devtools.replayer import replay_everything
from sandbox.chaos_store import ChaosStore

Told = Callable[[str], None]
_LOOK = 0.2
_AIM_FOR = 2.0
_AIM_EVERY = 0.02
_LOST_AFTER = timedelta(seconds=30)
"""The time after which a workflow task that polling workers were not given is lost: six times that of a sticky queue."""


@dataclass(frozen=True)
class Dose:
    """The amount of chaos. Times are seconds, drawn evenly from `[low, high]`; shares are of the plans that have ended."""

    workers: int = 3
    open_at_once: int = 40
    kills: int = 12
    """The most workers that are killed."""
    aimed: float = 0.6
    """The share of the kills that strike in the middle of a call; the others strike at any moment."""
    between_kills: tuple[float, float] = (3.0, 9.0)
    down_for: tuple[float, float] = (0.2, 2.0)
    locked_for: tuple[float, float] = (3.0, 6.0)
    lock_from: float = 0.25
    server_from: float = 0.6
    calm_from: float = 0.85
    """No worker is killed once this share of the plans has ended, so that the run has an end."""
    within: float = 270.0
    """The run stops after this time, in any state."""


class Chaos:
    """One run."""

    def __init__(self, world: ChaosWorld, client: Client, batch: Batch, seed: int, dose: Dose, told: Told) -> None:
        self._world, self._client, self._batch, self._dose = world, client, batch, dose
        self._airlock = Airlock(client)
        self._rng = random.Random(seed)
        self._robot = Robot(world, client)
        self._began = time.monotonic()
        self._told = told
        self.submitted: list[str] = []
        """The plans that the server has accepted."""
        self._killing = asyncio.Lock()
        self.closure: Closure | None = None

    async def go(self) -> None:
        """Run until every plan has ended, or time is up."""
        background = [asyncio.create_task(work) for work in (self._robot.work(), self._submit(), self._kill_workers())]
        played = asyncio.create_task(self._play())
        try:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._until_done(played, background), self._dose.within)
        finally:
            for task in (*background, played):
                task.cancel()
            await asyncio.gather(*background, played, return_exceptions=True)

    async def _until_done(self, played: "asyncio.Task[None]", background: Iterable["asyncio.Task[None]"]) -> None:
        while not (played.done() and self._share_ended() >= 1.0):
            for task in (*background, played):
                if task.done() and not task.cancelled():
                    task.result()  # what went wrong in it is what went wrong
            await asyncio.sleep(_LOOK)

    def _share_ended(self) -> float:
        return len(self._robot.ended) / len(self._batch.plans)

    async def _submit(self) -> None:
        for plan in self._batch.plans:
            while len(self.submitted) - len(self._robot.ended) >= self._dose.open_at_once:  # noqa: ASYNC110  known by looking only
                await asyncio.sleep(_LOOK)
            await _patiently(partial(self._airlock.submit, plan))
            self.submitted.append(plan["plan_id"])

    async def _kill_workers(self) -> None:
        for _ in range(self._dose.kills):
            await asyncio.sleep(self._rng.uniform(*self._dose.between_kills))
            if self._share_ended() >= self._dose.calm_from:
                return
            await self._kill_a_worker()

    async def _kill_a_worker(self) -> None:
        async with self._killing:
            place, aimed = self._rng.randrange(self._dose.workers), self._rng.random() < self._dose.aimed
            busy = await self._in_a_call() if aimed else None
            place = place if busy is None else busy
            self._world.kill_worker(place)
            self._say(f"worker {place + 1} killed" + (" in the middle of a call" if busy is not None else ""))
            await asyncio.sleep(self._rng.uniform(*self._dose.down_for))
            await self._world.start_worker(place)
            self._say(f"worker {place + 1} is back")

    async def _in_a_call(self) -> int | None:
        """Return the place of a worker that is in the middle of a call; None when there is none for a while."""
        give_up = time.monotonic() + _AIM_FOR
        with closing(ChaosStore(self._world.store_path)) as store:
            while time.monotonic() < give_up:
                for pid in store.callers():
                    if (place := self._world.place_of(pid)) is not None:
                        return place
                await asyncio.sleep(_AIM_EVERY)
        return None

    async def _play(self) -> None:
        """Lock and unlock everything, then kill the server."""
        await self._reached(self._dose.lock_from)
        self._say("live gate: lock")
        locked = time.monotonic()
        quiesced = await lock(self._client, "in the middle of the chaos")
        self._say(f"live gate: quiesced after {time.monotonic() - locked:.1f} s")
        await self._kill_a_worker()
        await asyncio.sleep(self._rng.uniform(*self._dose.locked_for))
        self.closure = Closure(quiesced, time.time())
        await _patiently(lambda: unlock(self._client, "enough"))
        self._say("live gate: unlock")
        await self._reached(self._dose.server_from)
        self._say("the Temporal server killed")
        await self._world.restart_server()
        self._say("the Temporal server is back")

    async def _reached(self, share: float) -> None:
        while self._share_ended() < share:  # noqa: ASYNC110  known by looking only
            await asyncio.sleep(_LOOK)

    def _say(self, what: str) -> None:
        ended, at = len(self._robot.ended), time.monotonic() - self._began
        self._told(f"{at:6.1f} s  {what}  ({ended} plans ended, {len(self.submitted) - ended} open)")


async def run(folder: Path, seed: int, plans: int, dose: Dose, told: Told) -> Evidence:
    """Run the chaos in a folder of its own, and return the evidence of the real systems afterwards.

    Raises:
        ChildFailed: If a process does not start.
        WorkerDied: If a worker ended by itself.
    """
    batch = make_plans(seed, plans)
    async with chaos_world(folder, dose.workers) as world:
        client = await world.client()
        chaos = Chaos(world, client, batch, seed, dose, told)
        await chaos.go()
        if unwell := world.unwell():
            raise WorkerDied("\n".join(unwell))
        return await _evidence(world, client, batch, chaos)


class WorkerDied(AirlockError):
    """A worker ended by itself."""


async def _evidence(world: ChaosWorld, client: Client, batch: Batch, chaos: Chaos) -> Evidence:
    airlock = Airlock(client)
    ended: dict[str, PlanResult] = {}
    still: dict[str, StatusView | str] = {}
    lost: list[str] = []
    for document in batch.plans:
        plan = airlock.plan(document["plan_id"])
        try:
            if await plan.ended():
                ended[plan.plan_id] = await plan.result()
            else:
                still[plan.plan_id] = await plan.status()
        except NoSuchPlan as error:
            in_time = plan.plan_id in chaos.submitted
            still[plan.plan_id] = f"accepted, and gone: {error}" if in_time else "not submitted before time was up"
        except AirlockError as error:
            if await _task_is_lost(plan):
                lost.append(plan.plan_id)
            else:
                still[plan.plan_id] = f"{error}; {await _known(plan)}"
    with closing(ChaosStore(world.store_path)) as store:
        visits, rows = store.visits(), store.rows()
    return Evidence(
        batch, ended, still, visits, rows, world.mails(), dict(world.deaths), chaos.closure, world.server_restarts,
        await replay_everything(client), tuple(lost),
    )  # fmt: skip


async def _task_is_lost(plan: PlanHandle) -> bool:
    """Return True if the server has a workflow task of the plan that it hands to no worker, although workers poll.

    A server that is killed may lose what it was about to hand out, on a disk that is busy more often than in memory.
    """
    last = [event async for event in plan.workflow.fetch_history_events()][-1]
    if not last.HasField("workflow_task_scheduled_event_attributes"):
        return False
    waits = datetime.now(UTC) - last.event_time.ToDatetime(tzinfo=UTC)
    return waits > _LOST_AFTER and await last_poll(plan.workflow_client) is not None


async def _known(plan: PlanHandle) -> str:
    """Return what Temporal knows of a plan that does not answer: a failure of chaos is rarely seen twice."""
    try:
        facts = await plan.facts(last=20)
    except (AirlockError, RPCError) as error:
        return str(error)
    events = ", ".join(f"{line.number} {line.event} {line.what} at {line.at:%H:%M:%S}" for line in facts.events)
    return f"{facts.summary.status}, pending {[str(call) for call in facts.pending]}, newest first: {events}"


async def _patiently(act: Callable[[], Awaitable[object]]) -> None:
    """Retry an action until the server is back."""
    while True:
        try:
            await act()
        except (RPCError, RuntimeError):
            await asyncio.sleep(_LOOK)
        else:
            return
