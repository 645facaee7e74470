"""Two workers, ten plans, and kills at random moments: `AIRLOCK_TEST_SEED` plays a failed one again."""

import asyncio
import os
import random
import sqlite3
import time
from contextlib import closing
from typing import Any

from airlock.client import PlanHandle
from airlock.client.errors import NoAnswer, PlanEnded
from airlock.plans.state import State
from airlock.run.outcome import Outcome
from tests.processes.harness import READY, Process, Scene, until
from tests.processes.registry import Stage, scenario

PLANS = 10
KILLS = 5
FAILING = 3
"""Every so many plans, one whose last reversible call fails."""


class Entrant:
    """One plan of the race: a row, a file, a line that only Airlock keeps from being written twice; then a mail."""

    def __init__(self, scene: Scene, number: int) -> None:
        self.scene, self.id = scene, f"race-{number}"
        self.email = f"{self.id}@acme.test"
        self.lines = scene.folder / "lines" / self.id
        self.fails = number % FAILING == 0
        self.handle: PlanHandle

    def document(self) -> dict[str, Any]:
        row = {"table": "accounts", "row": {"name": self.id, "email": self.email}}
        steps = (
            ("row", "database_write", row, ()),
            ("file", "file_write", {"path": f"{self.id}/one.txt", "content": "one"}, ()),
            ("line", "append_line", {"path": str(self.lines), "text": "line"}, ()),
            ("last", "file_write", {"path": f"{self.id}/two.txt", "content": "two"}, ("row", "file", "line")),
            ("mail", "send_email", {"to": self.email, "subject": "Hello", "body": "Hello"}, ("last",)),
        )
        return {
            "plan_id": self.id, "goal": "race", "requested_by": "rita",
            "steps": [
                {"id": step, "agent": "ops", "tool": tool, "args": args, "confidence": 0.95, "after": list(after)}
                for step, tool, args, after in steps
            ],
        }  # fmt: skip

    async def submitted(self) -> None:
        if self.fails:
            self.scene.fail(self.id, "last")
        self.handle = await self.scene.submit(self.document())

    async def run(self) -> Outcome:
        """Approved, settled where it parks, until it has ended."""
        status = await self.scene.status(self.handle, State.AWAITING_APPROVAL)
        await self.handle.workflow.signal("approve", {"by": "alice", "digest": status.digest})
        try:
            async with asyncio.timeout(540):
                while not await self.handle.ended():
                    await self.settle()
                    await asyncio.sleep(0.2)
        except TimeoutError as error:
            error.add_note(f"{self.id} has not ended: {await self.handle.status()}")
            raise
        return (await self.handle.result()).outcome

    async def settle(self) -> None:
        """Settle what is parked by the truth."""
        try:
            status = await self.handle.status()
        except (NoAnswer, PlanEnded):
            return
        parked = status.parked if status.state is State.LOCKED else ()
        undoing = {view.id: view.error for view in status.steps if view.status == "undo_failed"}
        for step in parked:
            if step not in undoing:
                outcome = "happened" if self.world()[step] else "did_not_happen"
            elif step in ("row", "file", "last"):  # perhaps its token was lost with its worker: no retry can undo it
                self.undo_by_hand(step)
                outcome = "compensated"
            else:  # this tool finds its line by the key of the call, so that it needs no token
                outcome = "retry"
            message = {"by": "alice", "step": step, "outcome": outcome, "reason": "looked"}
            await self.handle.workflow.signal("resolve", message)

    def world(self) -> dict[str, int]:
        """Return how often each step's effect is in the world."""
        files = self.scene.written(self.id)
        return {
            "row": len(self.scene.rows(self.email)),
            "file": int("one.txt" in files),
            "line": len(self.lines.read_text().splitlines()) if self.lines.exists() else 0,
            "last": int("two.txt" in files),
            "mail": len(self.scene.outside.mails(self.email)),
        }

    def undo_by_hand(self, step: str) -> None:
        """Do what a person would do for a call that Airlock cannot undo."""
        if step == "row":
            with closing(sqlite3.connect(self.scene.database)) as database, database:
                database.execute("DELETE FROM accounts WHERE email = ?", (self.email,))
        else:
            (self.scene.files / self.id / {"file": "one.txt", "last": "two.txt"}[step]).unlink(missing_ok=True)

    def check(self, outcome: Outcome) -> None:
        """Everything once, or nothing at all."""
        assert outcome in ("completed", "aborted"), (self.id, outcome)
        assert not (self.fails and outcome == "completed"), self.id
        expected = int(outcome == "completed")
        assert self.world() == dict.fromkeys(self.world(), expected), (self.id, outcome)
        for step in ("line", "mail"):  # not repeatable: never made again, whatever became of the first time
            assert self.scene.times(self.id, step, "live_before") <= 1, (self.id, step)


@scenario
async def two_workers_racing(stage: Stage) -> None:
    """Workers are killed at random moments and replaced: nothing happens twice, and nothing is left of what was undone."""
    seed = int(os.environ.get("AIRLOCK_TEST_SEED", time.time_ns() % 1_000_000))
    server = stage.own_server()  # it is kept busy
    await server.start()
    scene = stage.scene(server)
    (scene.folder / "lines").mkdir()
    (scene.control / "pace").write_text("0.3")
    try:
        outcomes = await _race(scene, random.Random(seed))
    except BaseException as error:
        error.add_note(f"AIRLOCK_TEST_SEED={seed}")
        raise
    assert outcomes.count(Outcome.ABORTED) >= PLANS // FAILING


async def _race(scene: Scene, chance: random.Random) -> list[Outcome]:
    workers = list(await asyncio.gather(scene.worker(), scene.worker()))
    entrants = [Entrant(scene, number) for number in range(PLANS)]
    for entrant in entrants:
        await entrant.submitted()
    killer = asyncio.create_task(_kill(scene, workers, chance))
    try:
        outcomes = await asyncio.gather(*(entrant.run() for entrant in entrants))
    finally:
        killer.cancel()
        await asyncio.gather(killer, return_exceptions=True)
    for entrant, outcome in zip(entrants, outcomes, strict=True):
        entrant.check(outcome)
    return outcomes


async def _kill(scene: Scene, workers: list[Process], chance: random.Random) -> None:
    """Kill one of the two whenever the tools have done some more, and put another one in its place."""
    # some of them while plans are rehearsed (ten lines of the log a plan), most while calls are made (as many again)
    moments = sorted(chance.sample(range(7 * PLANS, 19 * PLANS), KILLS))
    for moment in moments:
        await until(lambda moment=moment: len(scene.log()) >= moment, "nothing happens any more", within=300)
        chosen = chance.randrange(len(workers))
        workers[chosen].kill()
        workers[chosen] = scene.launch()
        await workers[chosen].says(READY)
