"""The robot of the chaos run: does what approvers and operators do, by the same signals and with the same knowledge.

It approves what waits for approval, and settles calls in doubt by looking at the real systems, as a human would.
"""

import asyncio
from contextlib import closing, suppress
from datetime import UTC, datetime
from functools import partial
from typing import Any

from temporalio.client import Client
from temporalio.service import RPCError

from airlock.base.errors import AirlockError
from airlock.client import Airlock, PlanHandle
from airlock.plans.state import State
from airlock.run.call_record import CallStatus
from airlock.run.messages import Settlement
from airlock.run.presentation.views import StatusView
from devtools.chaos_world import ChaosWorld
from sandbox.chaos_store import ChaosStore, alive
from sandbox.chaos_tools import KEY_HEADER

ROBOT = "robot"
_EVERY = 0.5
_AT_ONCE = 10
_WANTING = (State.AWAITING_APPROVAL.value, State.LOCKED.value)
_SURE_AFTER = 5.0
"""Seconds after which a call that never began at a shelf will not begin there any more: longer than its timeout."""


class Robot:
    """Looks after all plans until it is cancelled. `ended` are the plans whose run is closed, as visibility told last."""

    def __init__(self, world: ChaosWorld, client: Client) -> None:
        self._world = world
        self._airlock = Airlock(client)
        self._few = asyncio.Semaphore(_AT_ONCE)
        self._busy: dict[str, asyncio.Task[None]] = {}
        self._failed: BaseException | None = None
        self.ended: frozenset[str] = frozenset()

    async def work(self) -> None:
        """Look, do what there is to do, and look again."""
        try:
            while True:
                with suppress(AirlockError, RPCError):  # the server is down: it looks again
                    await self._round()
                if self._failed is not None:
                    raise self._failed
                await asyncio.sleep(_EVERY)
        finally:
            busy = list(self._busy.values())
            for task in busy:
                task.cancel()
            await asyncio.gather(*busy, return_exceptions=True)

    async def _round(self) -> None:
        listed = await self._airlock.plans(limit=1_000)
        self.ended = frozenset(plan.plan_id for plan in listed if not plan.open)
        for plan in listed:
            # one that does not answer, because its worker was killed, must not hold up the others
            if plan.open and plan.state in _WANTING and plan.plan_id not in self._busy:
                task = asyncio.create_task(self._look_after(plan.plan_id))
                self._busy[plan.plan_id] = task
                task.add_done_callback(partial(self._done, plan.plan_id))

    def _done(self, plan_id: str, task: "asyncio.Task[None]") -> None:
        del self._busy[plan_id]
        if not task.cancelled():
            self._failed = task.exception() or self._failed

    async def _look_after(self, plan_id: str) -> None:
        plan = self._airlock.plan(plan_id)
        async with self._few:
            try:
                await self._act(plan, await plan.status())
            except (AirlockError, RPCError):
                return  # no worker, no server, or it has ended meanwhile

    async def _act(self, plan: PlanHandle, status: StatusView) -> None:
        if status.state is State.AWAITING_APPROVAL and status.outcome is None and status.digest:
            await plan.workflow.signal("approve", {"by": ROBOT, "digest": status.digest})
        elif status.state is State.LOCKED and not status.in_flight:
            statuses = {step.id: step.status for step in status.steps}
            for step in status.parked:
                said = self._settlement(plan.plan_id, step, statuses[step], status.since)
                if said is not None:
                    words = {"by": ROBOT, "step": step, "outcome": said.value, "reason": "looked at the shelf and the mail"}
                    await plan.workflow.signal("resolve", words)

    def _settlement(self, plan: str, step: str, status: str, since: datetime) -> Settlement | None:
        """Return the real outcome of a call, or None while it cannot be known."""
        if status == CallStatus.UNDO_FAILED.value:
            return Settlement.RETRY
        with closing(ChaosStore(self._world.store_path)) as store:
            visits = [visit for visit in store.visits() if (visit.plan, visit.step, visit.kind) == (plan, step, "live")]
            key = visits[-1].key if visits else f"{plan}/{step}"
            happened = store.has(key)
        if happened or any(self._key(mail) == key for mail in self._world.mails()):
            return Settlement.HAPPENED
        if any(visit.ended is None and alive(visit.pid) for visit in visits):
            return None
        sure = (datetime.now(UTC) - since).total_seconds() > _SURE_AFTER
        return Settlement.DID_NOT_HAPPEN if sure else None

    @staticmethod
    def _key(mail: dict[str, Any]) -> str:
        return str(mail["headers"].get(KEY_HEADER, ""))
