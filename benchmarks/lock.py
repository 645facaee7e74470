"""Measure the time that the system lock takes to prove that everything has stopped, beyond the longest running call.

Run with `make bench`, or alone with `python -m benchmarks.lock`. Every plan is live, in one call of random length, when the
live gate is locked. No lock can be faster than the longest of those calls; what comes on top is Airlock's own: telling the
plans, and learning that they have stopped.
"""

import argparse
import asyncio
import random
import time

from airlock.client import Airlock
from benchmarks.occupying import DIARY, occupy, plan
from benchmarks.report import Sheet, save
from benchmarks.server import serving
from devtools.chaos_barrier import lock, unlock

PLANS = 50
REPEATS = 3
SECONDS = (2.0, 8.0)
SEED = 5


async def measure(airlock: Airlock, plans: int, number: int, rng: random.Random) -> tuple[float, float]:
    """Seconds from the lock to the end of the last running call, and to the gate's proof."""
    DIARY.held = True
    handles = [
        await airlock.submit(plan(f"l{number}-{each}", f"{number}-{each}", rng.uniform(*SECONDS))) for each in range(plans)
    ]
    while DIARY.running < plans:  # noqa: ASYNC110  known by looking only
        await asyncio.sleep(0.05)
    DIARY.held = False
    locked = time.time()
    quiesced = await lock(airlock.client, "measured")
    assert DIARY.running == 0, "the gate says quiesced, but a call is running"
    last = DIARY.last_end
    await unlock(airlock.client, "measured")
    for handle in handles:
        assert (await handle.result()).outcome == "completed"
    return last - locked, quiesced - locked


async def main(plans: int, repeats: int = REPEATS) -> None:
    """Measure, print and save."""
    rng = random.Random(SEED)
    rows: list[list[str]] = []
    async with serving([occupy], max_live_escalations=plans) as airlock:
        for number in range(repeats):
            longest, quiesced = await measure(airlock, plans, number, rng)
            on_top = quiesced - longest
            rows.append(
                [str(number + 1), f"{longest:.2f} s", f"{quiesced:.2f} s", f"{on_top:.2f} s", f"{on_top / quiesced:.0%}"]
            )
    columns = ("run", "lock to the last call's end", "lock to quiesced", "on top", "share on top")
    save("lock", [Sheet(f"The system lock with {plans} plans live, each in one call", columns, rows, left=0)])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--plans", type=int, default=PLANS)
    asyncio.run(main(parser.parse_args().plans))
