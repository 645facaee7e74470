"""A plan approved by a signal from the Temporal UI, clicked through in a real browser as docs/guides/approving.md shows it.

The pictures of that page are made here. DOCS_IMAGES=docs/images writes them there instead of into a temporary folder.
"""

import asyncio
import base64
import json
import os
from pathlib import Path

import pytest
from temporalio.api.enums.v1 import EventType

from airlock.base.names import plan_workflow_id
from airlock.client import Airlock
from airlock.plans.state import State
from devtools.environment import Environment
from tests.cli.browser import Browser, browser
from tests.cli.conftest import note_plan

pytestmark = pytest.mark.slow
SIZE = 1_280, 800
MOST_BYTES = 200_000
# the page holds its menu and its dialogs twice, for wide and for narrow windows: only one of each has a place
PLACE = """
new Promise((resolve) => {{
  let last = "";
  const look = () => {{
    const found = [...document.querySelectorAll({css})].find((one) =>
      one.getClientRects().length && one.innerText.trim().startsWith({text}));
    const box = found && found.getBoundingClientRect();
    const place = box && [box.x + box.width / 2, box.y + box.height / 2];
    const top = place && document.elementFromPoint(...place);
    // a menu and a dialog slide in: a click waits until its target stands still, and nothing else stands before it
    if (top && found.contains(top) && last === `${{place}}`) resolve(place);
    else {{ last = `${{place}}`; setTimeout(look, 150); }}
  }};
  look();
}})
"""
DETAILS = """
new Promise((resolve) => {{ const look = () => {{
  const frame = document.getElementById("user-metadata-current-details");
  const body = frame && frame.contentDocument && frame.contentDocument.body;
  if (body && body.innerText.includes({text})) resolve((body.querySelector("pre") || body).innerText);
  else setTimeout(look, 150);
}}; look(); }})
"""


def click(page: Browser, css: str, text: str = "") -> None:
    """Click with the mouse on what a person sees there."""
    x, y = page.value(PLACE.format(css=json.dumps(css), text=json.dumps(text)))
    for kind in ("mousePressed", "mouseReleased"):
        page.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)


def picture(page: Browser, to: Path, clip: tuple[int, int, int, int] | None = None) -> None:
    """Write a picture of the window, or of a part of it."""
    x, y, width, height = clip or (0, 0, *SIZE)
    part = {"x": x, "y": y, "width": width, "height": height, "scale": 1}
    to.write_bytes(base64.b64decode(page.send("Page.captureScreenshot", clip=part)["data"]))


def approve(page: Browser, url: str, images: Path) -> None:
    """Approve the plan of a page as its details say, with the JSON that stands there."""
    page.resize(*SIZE)
    page.go(url)
    said = str(page.value(DETAILS.format(text=json.dumps("Waits for"))))
    message = json.loads(said)
    assert message["by"] == "alice"
    click(page, "[role=tab], a", "User Metadata")  # it stands still: the page is there
    picture(page, images / "temporal-ui-1-details.png")
    click(page, "button", "More Actions")
    page.value(PLACE.format(css=json.dumps("[data-testid=signal-button]"), text='""'))
    picture(page, images / "temporal-ui-2-menu.png", (256, 48, 1_024, 400))
    click(page, "[data-testid=signal-button]")
    click(page, "dialog[open] [data-testid=signal-select-button]")
    click(page, "[role=option]", "approve")
    assert page.value("document.querySelector('dialog[open] [data-testid=signal-select]').value") == "approve"
    click(page, "dialog[open] .cm-content")
    page.send("Input.insertText", text=said)
    click(page, "dialog[open] label", "Signal name")  # the box lays the JSON out when it is left, and the button moves
    click(page, "dialog[open] label", "json/plain")
    assert json.loads(page.value("document.querySelector('dialog[open] .cm-content').innerText")) == message
    picture(page, images / "temporal-ui-3-signal.png", (360, 60, 560, 680))
    click(page, "dialog[open] [data-testid=confirm-modal-button]")


def ended(page: Browser, url: str, images: Path) -> None:
    """Look at the page once the plan has ended."""
    page.go(url)
    page.value(DETAILS.format(text=json.dumps("COMPLETED")))
    click(page, "[role=tab], a", "User Metadata")
    picture(page, images / "temporal-ui-4-completed.png")


@pytest.mark.timeout(240)
async def test_a_signal_sent_in_the_ui_lets_the_plan_go_live(env: Environment, tmp_path: Path) -> None:
    images = Path(os.environ.get("DOCS_IMAGES") or tmp_path)
    handle = await Airlock(env.client).submit(note_plan("two-notes"))
    status = await handle.wait_for(State.AWAITING_APPROVAL)
    assert status.digest is not None, status.why
    run = (await handle.workflow.describe()).run_id
    url = f"{env.ui_url}/namespaces/default/workflows/{plan_workflow_id('two-notes')}/{run}/user-metadata"
    with browser(tmp_path / "profile") as page:
        await asyncio.to_thread(approve, page, url, images)
        result = await asyncio.wait_for(handle.result(), 120)
        await asyncio.to_thread(ended, page, url, images)
    assert result.outcome == "completed"
    assert (env.work_folder / "two-notes" / "two.md").read_text() == "2"
    history = (await handle.workflow.fetch_history()).events
    signals = [
        event.workflow_execution_signaled_event_attributes.signal_name
        for event in history
        if event.event_type == EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED
    ]
    assert signals.count("approve") == 1
    votes = [entry for entry in (await handle.audit()).entries if entry.what == "approve" and entry.by == "alice"]
    assert [vote.digest for vote in votes] == [status.digest]
    taken = sorted(images.glob("temporal-ui-*.png"))
    assert len(taken) == 4
    assert all(1_000 < each.stat().st_size < MOST_BYTES for each in taken)
