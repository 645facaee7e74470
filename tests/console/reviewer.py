"""`python -m tests.console.reviewer`: a scripted reviewer clears 100 mixed plans in a real browser; prints how long it took.

Every fifth plan lies. The reviewer opens each plan from the inbox, reads the page, denies what hides something or goes
where it should not, and approves the rest with a passkey: one click for each, and the next plan opens by itself.
"""

import asyncio
import sys
import tempfile
import time
from pathlib import Path

from airlock.plans.state import State
from tests import running
from tests.cli.browser import browser
from tests.console.desk import Desk, Reader, desk_in, note, step

PLANS = 100
_SUSPECT = "document.body.innerText.includes('Something hides in this plan') || document.body.innerText.includes('mallory')"


def _lie(number: int) -> dict[str, object]:
    quiet = ["quiet"] * 400
    lies = (
        note("a", "pay \u202e0001\u202c"),
        step("a", "send_letter", to="jo\u200b@acme.test", body="hello"),
        step("a", "send_letter", to="p\u0430ypal.com", body="hello"),
        step("a", "send_letter", to="jo@acme.test", body="\n".join([*quiet, "and 1,000 to mallory", *quiet])),
    )
    return lies[number % len(lies)]


async def _submit(desk: Desk) -> set[str]:
    """Submit all plans, and return the ids of those that lie."""
    lying: set[str] = set()
    for number in range(PLANS):
        if number % 5 == 4:
            handle = await desk.submit(_lie(number // 5), goal=f"Plan {number}")
            lying.add(handle.plan_id)
        elif number % 5 == 3:
            await desk.submit(*(note(f"s{each}") for each in range(12)), goal=f"Plan {number}")
        else:
            rows = step("b", "set_rows", ("a",), table="t", rows=[{"id": number}])
            await desk.submit(note("a", f"text {number}\nof two lines"), rows, goal=f"Plan {number}")
    return lying


async def _clear(olga: Reader) -> dict[str, str]:
    """Deal with plan after plan, and return what was decided about each."""
    decided: dict[str, str] = {}
    await olga.go("/")
    await olga.until("document.querySelector('.plan-row a.open')")
    await olga.click(".plan-row a.open")
    while len(decided) < PLANS:
        await olga.until("document.querySelector('article.plan')")
        plan_id = str(await olga.value("document.querySelector('article.plan').dataset.plan"))
        if await olga.value(_SUSPECT):
            await olga.fill("#deny-reason", "it hides something")
            button = "form[action$='/deny'] button[name=then]"
            decided[plan_id] = "deny"
        else:
            button = "#approve button[name=then]"
            decided[plan_id] = "approve"
        await olga.click(button)
        await olga.until(f"document.querySelector('article.plan')?.dataset.plan !== {plan_id!r}")
        if len(decided) < PLANS and not await olga.value("Boolean(document.querySelector('article.plan'))"):
            await olga.until("document.querySelector('.plan-row a.open')")
            await olga.click(".plan-row a.open")
    return decided


async def main() -> int:
    """Play it, print the figure, and return 1 if a plan that lies was approved or another one denied."""
    with tempfile.TemporaryDirectory() as folder, browser(Path(folder) / "profile") as page:
        async with running.dev_server(Path(folder) / "server") as env, desk_in(env.client, Path(folder)) as desk:
            olga = Reader(page, desk.url)
            await olga.holds_passkeys()
            desk.policy += await olga.makes_passkey("olga")
            desk.write()
            async with desk.working():
                lying = await _submit(desk)
                await olga.signs_in()
                began = time.monotonic()
                decided = await _clear(olga)
                took = time.monotonic() - began
                wrong = [plan for plan, said in decided.items() if (said == "deny") != (plan in lying)]
                ended = [await desk.airlock.plan(plan).wait_for(State.COMPLETED, State.ABORTED) for plan in decided]
                denied = sum(status.outcome == "denied" for status in ended)
                print(f"{len(decided)} plans in {took:.0f} s; {len(lying)} lied, {denied} were denied, {len(wrong)} wrong")
                print(f"violations: {await olga.violations()}")
    return 1 if wrong or denied != len(lying) else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
