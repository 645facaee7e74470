"""The commands that a run's history holds: looks that activities share, and looks that none may share."""

import asyncio

import pytest
from temporalio.api.history.v1 import HistoryEvent
from temporalio.testing import ActivityEnvironment

from airlock.activities import known_commands
from airlock.activities.known_commands import KnownCommands


class History:
    """The history of one run, whose looks wait until the test lets them go on."""

    def __init__(self) -> None:
        self.length = 0
        self.looks: list[asyncio.Event] = []
        self.fails = False

    async def backwards(self, first):
        seen, look = self.length, asyncio.Event()
        self.looks.append(look)
        await look.wait()
        if self.fails:
            raise ValueError("damaged")
        for number in range(seen, 0, -1):
            event = HistoryEvent(event_id=number)
            scheduled = event.activity_task_scheduled_event_attributes
            scheduled.activity_id, scheduled.activity_type.name = f"a{number}", "call" if number % 5 else "leave"
            yield event

    async def looked(self, times):
        async with asyncio.timeout(20):
            while len(self.looks) < times:  # noqa: ASYNC110  the looks are the only sign
                await asyncio.sleep(0)


@pytest.fixture
def history(monkeypatch):
    made = History()
    monkeypatch.setattr(known_commands, "own_events_backwards", made.backwards)
    return made


@pytest.fixture
def known():
    async def read(scheduled):
        return scheduled.activity_id

    return KnownCommands(frozenset({"call"}), read)


def asking(known):
    return asyncio.ensure_future(ActivityEnvironment().run(known.of_own_run))


async def test_activities_that_begin_together_share_a_look(history, known):
    history.length = 3
    together = [asking(known) for _ in range(50)]
    await history.looked(1)
    history.looks[0].set()
    for found in await asyncio.gather(*together):
        assert sorted(found.values()) == ["a1", "a2", "a3"]
    assert len(history.looks) == 1


async def test_an_activity_does_not_count_on_a_look_that_had_begun_before_it(history, known):
    history.length = 1
    first = asking(known)
    await history.looked(1)
    history.length = 6  # commanded since that look began: it cannot show them
    later = [asking(known) for _ in range(9)]
    for _ in range(20):
        await asyncio.sleep(0)
    history.looks[0].set()
    await first
    await history.looked(2)
    assert not any(each.done() for each in later)
    history.looks[1].set()
    for found in await asyncio.gather(*later):
        assert sorted(found.values()) == ["a1", "a2", "a3", "a4", "a6"]
    assert len(history.looks) == 2


async def test_every_look_later_is_a_new_one(history, known):
    for number in range(1, 4):
        history.length = number
        one = asking(known)
        await history.looked(number)
        history.looks[number - 1].set()
        assert len(await one) == number


async def test_a_look_that_fails_fails_all_that_share_it_and_none_later(history, known):
    history.length, history.fails = 2, True
    together = [asking(known) for _ in range(3)]
    await history.looked(1)
    history.looks[0].set()
    assert all(isinstance(found, ValueError) for found in await asyncio.gather(*together, return_exceptions=True))
    history.fails = False
    again = asking(known)
    await history.looked(2)
    history.looks[1].set()
    assert len(await again) == 2


async def test_an_activity_that_is_cancelled_takes_no_look_from_the_others(history, known):
    history.length = 2
    first, second = asking(known), asking(known)
    await history.looked(1)
    first.cancel()
    history.looks[0].set()
    assert len(await second) == 2
