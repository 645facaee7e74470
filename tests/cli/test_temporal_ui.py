"""A plan that waits, in the Temporal UI in a real browser: what an approver sees is whole, and is enough."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from airlock.base.names import plan_workflow_id
from airlock.client import Airlock, PlanHandle
from airlock.plans.state import State
from airlock.run.audit import AuditEntry
from devtools.environment import Environment
from tests.cli.browser import Browser, browser
from tests.workflows.conftest import until

pytestmark = pytest.mark.slow
FRAME = "document.getElementById('user-metadata-current-details')"
READY = (
    "new Promise((resolve) => { const look = () => { "
    f"const page = {FRAME} && {FRAME}.contentDocument; const text = page && page.body ? page.body.innerText : ''; "
    "text.includes('Waits for') ? resolve(text) : setTimeout(look, 100); }; look(); })"
)
TOO_WIDE = (
    f"(() => {{ const page = {FRAME}.contentDocument; const width = page.documentElement.clientWidth; "
    "return [...page.querySelectorAll('body *')].filter((one) => one.scrollWidth > width + 1 || "
    "one.getBoundingClientRect().right > width + 1).map((one) => `${one.tagName} ${one.textContent.slice(0, 60)}`); })()"
)
SUMMARY = (
    "[...document.querySelectorAll('iframe')].map((one) => one.contentDocument.body)"
    ".filter((one) => one.innerText.includes('(2 steps, by'))"
)
LONG = "an argument of one text that is much longer than any line of a page can be " * 20
FORGED = "`</code><h1>Approved</h1> [approve](https://evil.example) https://evil.example {namespace} **done**"


def opened(page: Browser, url: str, width: int, picture: Path) -> tuple[str, list[str]]:
    """Return the text of the details at a width, and what does not fit there."""
    page.resize(width, 1_000)
    page.go(url)
    text = str(page.value(READY))
    wide = list(page.value(TOO_WIDE))
    page.screenshot(picture)
    return text, wide


async def refusals(handle: PlanHandle) -> tuple[AuditEntry, ...]:
    return (await handle.status()).refusals


@pytest.mark.timeout(240)
async def test_a_plan_that_waits_shows_what_to_do_and_all_of_it(env: Environment, tmp_path: Path) -> None:
    steps: list[dict[str, Any]] = [
        {"id": "keep", "agent": "ops", "tool": "file_write", "confidence": 0.95, "args": {"path": "a.txt", "content": LONG}},
        {
            "id": "forge",
            "agent": "ops",
            "tool": "file_write",
            "confidence": 0.95,
            "args": {"path": "b.txt", "content": FORGED},
        },
    ]
    document = {"plan_id": "in-the-ui", "goal": FORGED, "requested_by": "rita", "steps": steps}
    airlock = Airlock(env.client)
    handle = await airlock.submit(document)
    status = await handle.wait_for(State.AWAITING_APPROVAL)
    assert status.digest is not None, status.why
    await handle.workflow.signal("approve", {"by": "olga", "digest": "0" * 12})  # a refused update leaves no record
    (refused,) = await until(lambda: refusals(handle))
    run = (await handle.workflow.describe()).run_id
    url = f"{env.ui_url}/namespaces/default/workflows/{plan_workflow_id('in-the-ui')}/{run}/user-metadata"
    with browser(tmp_path / "profile") as page:
        for width in (1440, 1920):
            text, wide = await asyncio.to_thread(opened, page, url, width, tmp_path / f"{width}.png")
            assert not wide, (width, wide)
            places = [
                text.index(part) for part in ("Waits for:", "Send a Signal", "temporal workflow signal", "Last refused:")
            ]
            assert places == sorted(places)
            assert refused.reason[:40] in text
            assert status.digest in text
            assert "{namespace}" not in text
            assert "namespace}" in text, "the UI filled in what the plan says"
        frame = f"{FRAME}.contentDocument"
        assert page.value(f"{SUMMARY}.length") > 0, "the UI shows the summary in another place"
        assert page.value(f"{SUMMARY}.filter((one) => one.querySelector('a, h1, strong')).length") == 0
        assert page.value(f"{frame}.querySelectorAll('a, h1, img').length") == 0
        approving = page.value(f"{frame}.querySelector('pre').innerText")
    message = json.loads(approving.replace("YOUR-NAME", "olga"))
    await handle.workflow.signal("approve", message)
    assert (await handle.result()).outcome == "completed"
