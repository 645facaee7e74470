"""Open pages on a slow machine: what could not be read at once still comes, and what a person has begun stays."""

import asyncio
from typing import Any

import pytest

from airlock.console.plan_view import PlanReader, PlanView
from airlock.console.watch import FRESH, _Reading
from airlock.plans.state import State
from tests.console.desk import Desk, Reader, note

At = tuple[Desk, Reader]


async def test_a_reading_that_a_page_is_ahead_of_is_not_shown_again() -> None:
    goes_on = asyncio.Event()
    begun: list[int] = []

    async def read() -> int:
        begun.append(len(begun))
        number = begun[-1]
        if number == 0:
            await goes_on.wait()
        return number

    reading = _Reading(read)
    with pytest.raises(TimeoutError):
        await reading.get(within=0)
    reading.outdate()
    assert await reading.get() == 1, "the first one began before"
    assert await reading.get() == 1
    reading.outdate()
    assert await reading.get() == 2
    goes_on.set()


async def test_a_reading_that_takes_longer_than_its_page_waits_is_shown_to_the_next() -> None:
    begun: list[int] = []

    async def read() -> int:
        begun.append(len(begun))
        await asyncio.sleep(FRESH)
        return begun[-1]

    reading = _Reading(read)
    with pytest.raises(TimeoutError):
        await reading.get(within=0)
    assert reading._task is not None
    await asyncio.wait({reading._task})
    assert await reading.get(within=0) == 0, "though it began a while ago"
    assert begun == [0]


def slow_at_first(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Let the next readings of a plan take too long. Return those that are to come, a list that gets shorter."""
    read, slow = PlanReader.read, [1, 2]

    async def too_slow(self: PlanReader, of: Any) -> PlanView:
        if slow:
            slow.pop()
            raise TimeoutError
        return await read(self, of)

    monkeypatch.setattr(PlanReader, "read", too_slow)
    return slow


async def test_a_plan_that_no_worker_told_in_time_is_shown_once_one_does(desk: At, monkeypatch: pytest.MonkeyPatch) -> None:
    made, olga = desk
    handle = await made.submit(note("a"))
    slow = slow_at_first(monkeypatch)
    await olga.go(f"/plans/{handle.plan_id}")
    await olga.sees("Nothing can be decided here until a worker answers")
    await olga.until("document.querySelector('article.plan #approve')")
    assert not slow


async def test_a_status_that_no_worker_told_in_time_is_asked_for_again(desk: At, monkeypatch: pytest.MonkeyPatch) -> None:
    made, olga = desk
    await olga.size(1024)
    handle = await made.submit(note("a"))
    await olga.go(f"/plans/{handle.plan_id}")
    await olga.fill("#approve-reason", "being typed")  # so that the page is not loaded again
    slow = slow_at_first(monkeypatch)
    await handle.decide("deny", by="paul", reason="not today")
    await olga.until("document.getElementById('status').innerText.includes('not today')")
    assert not slow


async def test_a_choice_stays_while_the_list_changes_around_it(desk: At) -> None:
    made, olga = desk
    await olga.size(1024)
    first = await made.submit(note("a"), goal="chosen")
    await olga.go(f"/plans/{first.plan_id}")
    await olga.go("/")
    box = f"document.querySelector('#row-{first.plan_id} input[type=checkbox]')"
    await olga.until(f"{box}?.disabled === false")
    await olga.value(f"{box}.click()")
    second = await made.submit(note("a"), goal="comes later")
    await olga.until(f"document.getElementById('row-{second.plan_id}')")
    assert await olga.value(f"{box}.checked")
    await second.decide("abort", by="test", reason="over")
    await olga.until(f"!document.getElementById('row-{second.plan_id}')")
    assert await olga.value(f"{box}.checked")
    await first.decide("abort", by="test", reason="over")
    await first.wait_for(State.ABORTED)


async def test_a_page_that_is_not_in_view_uses_no_connection(desk: At) -> None:
    _, olga = desk
    await olga.go("/lock")
    await olga.value(
        "window.opened = []; const Real = EventSource; window.EventSource = class extends Real {"
        " constructor(url) { super(url); window.opened.push(this); } }; true"
    )
    look = "Object.defineProperty(document, 'hidden', {{ value: {}, configurable: true }});"
    look += "document.dispatchEvent(new Event('visibilitychange')); true"
    await olga.value(look.format("true"))
    await olga.value(look.format("false"))
    await olga.until("window.opened.length === 1 && window.opened[0].readyState === 1")
    await olga.value(look.format("true"))
    assert await olga.value("window.opened[0].readyState") == 2
