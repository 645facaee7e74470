"""Plans read in a real browser: nothing hides, nothing runs, and everything fits at every width."""

import pytest

from airlock.plans.state import State
from devtools.axe import script
from tests.console import desk_tools
from tests.console.desk import Desk, Reader, note, reaches, step
from tests.console.lies import lies

WIDTHS = (390, 1024, 1920)
TOO_WIDE = (
    "(() => { const width = document.documentElement.clientWidth; return document.documentElement.scrollWidth > width + 1 ?"
    " [...document.querySelectorAll('body *')].filter((one) => one.getBoundingClientRect().right > width + 1)"
    ".map((one) => one.tagName + '.' + one.className + ' ' + one.textContent.slice(0, 40)).slice(0, 5) : []; })()"
)
STRANGE = (
    "document.querySelectorAll('main script, main img:not(.plot), main iframe, main style, main [style], main [onload]')"
    ".length"
)
BARRIERS = """
axe.run(document, {resultTypes: ['violations']}).then((found) => found.violations
  .filter((one) => ['serious', 'critical', 'moderate'].includes(one.impact))
  .map((one) => one.id + ': ' + one.nodes.slice(0, 3)
    .map((node) => node.html.slice(0, 160) + ' ' + node.failureSummary).join(' | ')))
"""


async def barriers(reader: Reader) -> list[str]:
    """Return what axe-core finds that is moderate or worse."""
    found = script()
    assert found is not None
    await reader.value(f"{found.read_text(encoding='utf-8')};true")
    return list(await reader.value(BARRIERS))


async def test_what_a_plan_hides_is_seen_and_what_it_tries_does_not_happen(desk: tuple[Desk, Reader]) -> None:
    made, olga = desk
    await olga.size(1024)
    for number, (steps, more, seen) in enumerate(lies()):
        handle = await made.submit(steps, **more)
        await olga.go(f"/plans/{handle.plan_id}")
        text = await olga.value("document.querySelector('article.plan').textContent")
        assert seen in text, (number, seen)
        assert await olga.value(STRANGE) == 0, number
        assert await olga.value("window.pwned ?? 0") == 0, number
        assert await olga.value(TOO_WIDE) == [], number
        digest = (await handle.preview()).digest
        assert await olga.value("document.querySelector('#approve [name=digest]').value") == digest
        if "⟨" in seen and "U+27E" not in seen:
            assert await olga.value("document.querySelectorAll('main mark').length") > 0, number
            assert "Something hides in this plan" in text
    await olga.go("/")
    assert await olga.value(STRANGE) == 0
    assert await olga.value("window.pwned ?? 0") == 0
    assert not await olga.violations()


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
async def test_every_page_fits_at_every_width_and_has_no_barriers(desk: tuple[Desk, Reader], dark: bool) -> None:
    made, olga = desk
    desk_tools.NOTES["minutes"] = "Agenda\nOld line\nEnd"
    handle = await made.submit(
        step("look", "look_up", name="minutes"),
        note("write", "Agenda\nNew line with jo\u200b\nEnd", ("look",), name="minutes"),
        step("rows", "set_rows", ("look",), table="accounts", rows=[{"id": n, "name": f"Customer {n}"} for n in range(4)]),
        step("mail", "send_letter", ("write", "rows"), to="jo@acme.test", body="Dear Jo,\n\nall is well.\n",
             amount={"$ref": "rows.rows"}),
        goal="Write the minutes, set the accounts, and tell Jo",
    )  # fmt: skip
    pages = {"inbox": "/", "plan": f"/plans/{handle.plan_id}", "audit": f"/plans/{handle.plan_id}/audit", "lock": "/lock",
             "health": "/health", "search": "/search", "step": f"/plans/{handle.plan_id}/steps/look",
             "amend": f"/plans/{handle.plan_id}/amend?step=mail"}  # fmt: skip
    for width in WIDTHS:
        await olga.size(width, dark)
        for name, path in pages.items():
            await olga.go(path)
            assert await olga.value(TOO_WIDE) == [], (name, width)
            await olga.picture(f"{name}-{width}-{'dark' if dark else 'light'}")
            if script() is not None and width != 1024:
                assert await barriers(olga) == [], (name, width)
    assert "derived" in await olga.value("fetch('/plans/" + handle.plan_id + "').then((answer) => answer.text())")
    assert not await olga.violations()
    await handle.decide("abort", by="test", reason="over")
    assert (await reaches(handle, State.ABORTED)).outcome == "aborted"


async def test_pages_before_the_session_have_no_barriers(desk: tuple[Desk, Reader]) -> None:
    _, olga = desk
    await olga.size(390)
    for path in ("/register", "/plans/there-is-no-such-plan"):
        await olga.go(path)
        await olga.picture(path.strip("/").replace("/", "-"))
        assert await olga.value(TOO_WIDE) == []
        if script() is not None:
            assert await barriers(olga) == []


async def test_the_graph_shows_the_order_and_leads_to_the_steps(desk: tuple[Desk, Reader]) -> None:
    made, olga = desk
    await olga.size(1024)
    handle = await made.submit(note("a"), note("b", after=("a",)), step("c", "send_letter", ("b",), to="x@y.test", body="z"))
    await olga.go(f"/plans/{handle.plan_id}")
    assert await olga.value("[...document.querySelectorAll('.graph .node title')].map((one) => one.textContent)") == [
        "a",
        "b",
        "c",
    ]
    assert await olga.value("document.querySelectorAll('.graph path.edge').length") == 2
    assert await olga.value("document.querySelector('.graph .no-return title').textContent") == "c"
    await olga.value("document.querySelectorAll('.graph a')[2].dispatchEvent(new MouseEvent('click', {bubbles: true}))")
    await olga.until("location.hash === '#step-c'")
    await handle.decide("abort", by="test", reason="over")
