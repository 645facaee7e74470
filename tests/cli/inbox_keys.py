"""The keys of an inbox on a small terminal, and what a person then sees there."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from textual.pilot import Pilot
from textual.widgets import Input, RichLog

from airlock.client import Airlock, PlanHandle
from airlock.client.inbox import InboxItem
from airlock.inbox.app import InboxApp
from airlock.inbox.dialogs import Question
from airlock.inbox.list_screen import ListScreen, PlanTable
from airlock.inbox.person import Person, Sign
from airlock.inbox.plan_screen import PlanScreen
from airlock.plans.state import State
from tests.workflows.conftest import until

Keys = Pilot[None]


@asynccontextmanager
async def inbox(airlock: Airlock, by: str = "alice", sign: Sign | None = None) -> AsyncIterator[Keys]:
    """Yield the keys of an inbox on a small terminal, once it has read what waits."""
    async with InboxApp(airlock, Person(by, sign)).run_test(size=(80, 24)) as keys:
        await told(keys, lambda: listing(keys).inbox is not None)
        yield keys


async def told(keys: Keys, holds: Callable[[], bool]) -> None:
    """Wait until the screen shows something; fail with what it shows instead."""

    async def look() -> bool:
        await keys.pause()
        return holds()

    try:
        assert await until(look)
    except TimeoutError:
        pages = [each for each in keys.app.screen_stack if isinstance(each, PlanScreen)]
        seen = [(each.message.said, each.status and (each.status.state, each.status.why)) for each in pages]
        raise AssertionError(f"{keys.app.screen}: {seen}, {keys.app.return_code}") from None


def listing(keys: Keys) -> ListScreen:
    (found,) = [screen for screen in keys.app.screen_stack if isinstance(screen, ListScreen)]
    return found


def rows(keys: Keys) -> list[str]:
    table = listing(keys).query_one(PlanTable)
    return [str(row.value) for row in table.rows]


def page(keys: Keys) -> PlanScreen:
    (found,) = [screen for screen in keys.app.screen_stack if isinstance(screen, PlanScreen)]
    return found


def text(keys: Keys) -> str:
    """Return the text of the preview on the page."""
    return "\n".join(strip.text.rstrip() for strip in page(keys).query_one(RichLog).lines)


async def type_text(keys: Keys, typed: str) -> None:
    await keys.press(*("space" if each == " " else each for each in typed))


def _items(keys: Keys) -> tuple[InboxItem, ...]:
    inbox = listing(keys).inbox
    return () if inbox is None else inbox.items


async def opened(keys: Keys, plan_id: str) -> PlanScreen:
    """Open the page of a plan by the filter, and wait for its preview."""
    await told(keys, lambda: any(item.plan_id == plan_id for item in _items(keys)))
    await keys.press("slash")
    await type_text(keys, plan_id)
    await told(keys, lambda: rows(keys) == [plan_id])
    await keys.press("enter", "enter")
    await told(keys, lambda: isinstance(keys.app.screen, PlanScreen))
    await told(keys, lambda: page(keys).preview is not None and page(keys).status is not None)
    return page(keys)


async def waiting(airlock: Airlock, plan: dict[str, Any]) -> PlanHandle:
    handle = await airlock.submit(plan)
    status = await handle.wait_for(State.AWAITING_APPROVAL)
    assert status.digest is not None, status.why
    return handle


async def confirmed(keys: Keys, key: str, reason: str = "") -> None:
    """Press the key of a decision, give a reason, and go on to the button that decides."""
    await keys.press(key)
    await told(keys, lambda: isinstance(keys.app.screen, Question))
    await type_text(keys, reason)
    keys.app.screen.query_one("#reason", Input).focus()
    await keys.press("enter", "tab", "enter")
    await told(keys, lambda: isinstance(keys.app.screen, PlanScreen))
