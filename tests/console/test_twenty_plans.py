"""Twenty plans, most of which lie, read in a browser with keys alone: each lie is on the page, and beside the button."""

import pytest

from tests.console.desk import Desk, Reader
from tests.console.test_reading import STRANGE, TOO_WIDE
from tests.console.twenty import twenty

At = tuple[Desk, Reader]
SHOWN = "[...document.querySelectorAll('.read, header')].map((one) => one.innerText).join('\\n')"
"""The text that is drawn: that of a closed part of the page is not among it."""
BEFORE = (
    "Boolean(document.querySelector('.read').compareDocumentPosition(document.querySelector('#approve button'))"
    " & Node.DOCUMENT_POSITION_FOLLOWING)"
)


@pytest.mark.parametrize(("width", "dark"), [(390, False), (1024, True), (1920, False)], ids=str)
async def test_each_lie_is_seen_before_the_plan_is_approved(desk: At, width: int, dark: bool) -> None:
    made, olga = desk
    await olga.size(width, dark)
    for told in twenty():
        handle = await made.submit(*told.steps, goal=told.goal, **told.more)
        await olga.go(f"/plans/{handle.plan_id}")
        shown, beside = str(await olga.value(SHOWN)), await olga.text("section[aria-labelledby=approve-title]")
        for text in told.seen:
            assert text in shown, (told.name, text)
        for text in told.beside:
            assert text in beside.replace("\n", " "), (told.name, text, beside)
        assert await olga.value(BEFORE), told.name
        assert await olga.value(STRANGE) == 0, told.name
        assert await olga.value(TOO_WIDE) == [], told.name
        await olga.picture(f"lie-{told.name}-{width}")
        await handle.decide("abort", by="test", reason="over")
    assert not await olga.violations()
