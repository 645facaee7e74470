"""Search over the goals of plans that run, wait and have ended, page by page, and what it says that it does not search."""

from collections.abc import Callable
from pathlib import Path

import pytest
from temporalio.testing import WorkflowEnvironment

from airlock.client.search import PlanQuestion, PlanSearch, SearchPage, Whether
from airlock.plans.state import State
from tests.console.desk import Desk, Reader, desk_in, note, reaches
from tests.console.provider import CLIENT, provider
from tests.console.web import Web
from tests.workflows.conftest import until

At = tuple[Desk, Reader]


async def test_ended_and_waiting_plans_are_found_by_their_goals(desk: At) -> None:
    made, olga = desk
    await olga.size(1024)
    ended = await made.submit(note("a"), goal="Thank Jo for the cake")
    await ended.decide("deny", by="paul", reason="there was none")
    await ended.wait_for(State.MOCK)
    done = await made.submit(note("a"), goal="Bake another CAKE")
    await done.decide("approve", by="paul", digest=(await done.status()).digest)
    await reaches(done, State.COMPLETED)
    waits = await made.submit(note("a"), goal="Eat the cake", requested_by="zoe")
    other = await made.submit(note("a", "cake"), goal="Buy bread")
    found = PlanSearch(made.client)

    async def listed() -> bool:
        page = await found.page(PlanQuestion(words="cake"))
        states = {each.summary.plan_id: each.summary.outcome for each in page.found}
        return states == {ended.plan_id: "denied", done.plan_id: "completed", waits.plan_id: None}

    await until(listed)
    assert other.plan_id not in {each.summary.plan_id for each in (await found.page(PlanQuestion(words="cake"))).found}
    open_only = await found.page(PlanQuestion(words="cake", whether=Whether.OPEN))
    assert [each.summary.plan_id for each in open_only.found] == [waits.plan_id]
    of_zoe = await found.page(PlanQuestion(words="ZOE cake"))
    assert [each.summary.plan_id for each in of_zoe.found] == [waits.plan_id]

    await olga.go("/search")
    await olga.press("/")
    await olga.type("CAKE rita")
    await olga.press("Enter")
    await olga.sees("2 found among")
    await olga.sees("Thank Jo for the cake")
    await olga.sees("There are no older ones")
    await olga.sees("Not searched: tools, arguments")
    await olga.picture("search-found")
    assert "cake" not in await olga.value("location.href")
    for width in (390, 1920):
        await olga.size(width, dark=width == 390)
        await olga.go("/search")
        await olga.picture(f"search-found-{width}")
    for handle in (waits, other):
        await handle.decide("abort", by="test", reason="over")
    assert not await olga.violations()


async def test_a_search_goes_back_page_by_page_and_says_how_far(
    console_server: WorkflowEnvironment, tmp_path: Path, visitor: Callable[[Desk], Web], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airlock.console.pages.PlanSearch", lambda client: PlanSearch(client, size=2))
    async with provider() as idp:
        toml = f'[console.oidc]\nissuer = "{idp.url}"\nclient_id = "{CLIENT}"\n'
        async with desk_in(console_server.client, tmp_path, console=toml) as office, office.working():
            plans = [await office.submit(note("a"), goal=f"a goal: {name}") for name in ("oldest", "middle", "newest")]
            search = PlanSearch(office.client, size=5)

            async def listed() -> bool:
                return (await search.page(PlanQuestion(words="goal"))).looked == 3

            await until(listed)
            web = visitor(office)
            await web.signs_in()
            page = (await web.post("/search", text="goal oldest")).text
            assert "0 found among 2 plans" in page
            assert "Older ones were not looked at yet" in page
            page = (await web.get("/search?page=2")).text
            assert "1 found among 1 plan of page 2" in page
            assert "There are no older ones" in page
            assert f'href="/plans/{plans[0].plan_id}"' in page
            assert "0 found among 2 plans" in (await web.get("/search")).text
            assert "of page 2" in (await web.get("/search?page=99999")).text, "no page is read that was not reached"
            page = (await web.post("/search", whether="ended", since="2020-01-01", until="not a day")).text
            assert "0 found among 0 plans" in page
            page = (await web.post("/search", text="goal", whether="x' OR 1=1", until="2020-01-01")).text
            assert "0 found among 0 plans" in page
            for handle in plans:
                await handle.decide("abort", by="test", reason="over")


async def test_a_run_that_continues_another_is_found_by_the_goal_of_the_first(desk: At) -> None:
    """Temporal keeps the line with the first run alone."""
    made, _ = desk
    handle = await made.submit(*(note(f"s{number}") for number in range(3)), goal="A goal that goes on")
    first = (await handle.workflow.describe()).run_id

    async def continued() -> bool:
        return (await handle.workflow.describe()).run_id != first

    for number in range(400):  # each refusal is an event or more: the run continues before its history is too long
        if await continued():
            break
        await handle.workflow.signal("deny", {"by": f"nobody{number}", "nonsense": "x" * 200})
    if not await continued():
        pytest.skip("the run did not continue as new")
    page = SearchPage()

    async def listed() -> bool:
        nonlocal page
        page = await PlanSearch(made.client).page(PlanQuestion(words="goes on"))
        return bool(page.found)

    await until(listed)
    assert (await handle.facts()).goal.startswith("`A goal that goes on`")
    await handle.decide("abort", by="test", reason="over")
