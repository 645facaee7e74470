"""Amendments of plans in the console: by a form as any program may post it, and in a real browser."""

import html
import json
import re
from collections.abc import AsyncIterator, Callable

import pytest
from temporalio.testing import WorkflowEnvironment

from airlock.client import PlanHandle
from airlock.plans.state import State
from tests.console.desk import Desk, Reader, desk_in, note, step
from tests.console.provider import CLIENT, provider
from tests.console.web import Web

HIDDEN = "jo\u200b@acme.test"


@pytest.fixture(scope="module")
async def office(console_server: WorkflowEnvironment, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Desk]:
    async with provider() as idp:
        toml = f'[console.oidc]\nissuer = "{idp.url}"\nclient_id = "{CLIENT}"\n'
        async with desk_in(console_server.client, tmp_path_factory.mktemp("amend"), console=toml) as desk, desk.working():
            yield desk


@pytest.fixture
async def olga(office: Desk, visitor: Callable[[Desk], Web]) -> Web:
    web = visitor(office)
    await web.signs_in()
    return web


async def form_of(web: Web, handle: PlanHandle, query: str = "") -> tuple[str, str]:
    """Open the form, and return the digest that it carries and the page."""
    page = (await web.get(f"/plans/{handle.plan_id}/amend{query}")).text
    found = re.search(r'name="digest" value="([0-9a-f]{64})"', page)
    assert found, page
    return found[1], page


async def test_a_step_is_amended_rehearsed_again_and_not_approved_by_who_proposed_it(office: Desk, olga: Web) -> None:
    handle = await office.submit(note("a"), step("b", "send_letter", to=HIDDEN, body="hi"), note("c"))
    digest, page = await form_of(olga, handle, "?step=b")
    assert "jo\\u200b@acme.test" in page, "what hides is written as an escape"
    changed = step("b", "send_letter", to="jo@acme.test", body="hi")
    path = f"/plans/{handle.plan_id}/amend"
    given = {"digest": digest, "by": "boss", "reason": "the right address", "remove": "c"}
    answer = await olga.post(path, steps=json.dumps(changed), **given)
    assert str(answer.url) == f"{olga.url}/plans/{handle.plan_id}"
    assert "amend accepted" in answer.text
    await handle.wait_for(State.AWAITING_APPROVAL)
    page = (await olga.get(f"/plans/{handle.plan_id}")).text
    assert "the right address" in page
    assert "Changed since the preview before" in page
    assert "You have proposed b: your approval does not count for it" in page
    assert "their approval does not count for this step" in page
    (entry,) = [entry for entry in (await handle.audit()).entries if entry.what == "amend"]
    assert entry.by == "olga@acme.test"
    sealed = (await handle.preview()).sealed
    assert sealed is not None
    assert [each.id for each in sealed.steps] == ["a", "b"]
    await handle.decide("abort", by="test", reason="over")


async def test_what_the_plan_refuses_is_told_and_what_was_typed_is_kept(
    office: Desk, olga: Web, caplog: pytest.LogCaptureFixture
) -> None:
    handle = await office.submit(note("a"))
    digest, _ = await form_of(olga, handle)
    path = f"/plans/{handle.plan_id}/amend"
    wrong = [
        ('{"id": "the-secret-typo",', "steps: "),
        ("7", "neither a step nor a list"),
        ('["the-secret-typo"]', "neither a step nor a list"),
        (json.dumps(note("z", "the-secret-typo") | {"confidence": 7}), "confidence"),
        (json.dumps(step("z", "no_such_tool", text="the-secret-typo")), "no_such_tool"),
        ("", "steps: is empty (fix: give whole steps"),
    ]
    with caplog.at_level("DEBUG", logger="airlock"):
        for typed, told in wrong:
            answer = await olga.post(path, digest=digest, reason="<b>the-secret-why", steps=typed)
            assert "amend refused" in answer.text
            assert told in answer.text
            assert str(answer.url) == f"{olga.url}{path}"
            assert "&lt;b&gt;the-secret-why" in answer.text
            assert typed.count("the-secret-typo") == answer.text.partition("<textarea")[2].count("the-secret-typo")
    assert "the-secret" not in caplog.text
    assert "reason: is empty" in (await olga.post(path, digest=digest, steps="[]")).text
    assert "digest: is missing" in (await olga.post(path, reason="x", remove="a")).text
    assert (await olga.post(path, csrf="x", digest=digest, reason="x", remove="a")).status_code == 403
    assert (await handle.preview()).digest == digest
    await handle.decide("lock", by="test", reason="wait")
    assert (await olga.get(path)).status_code == 403
    await handle.decide("unlock", by="test", reason="go on")
    await handle.wait_for(State.AWAITING_APPROVAL)
    answer = await olga.post(path, digest=digest, reason="x", steps=json.dumps(note("z")))
    assert "amend refused" in answer.text
    assert "The preview was replaced since you opened this page" in answer.text
    assert not any(entry.what == "amend" and entry.kind == "decision" for entry in (await handle.audit()).entries)
    await handle.decide("abort", by="test", reason="over")


async def test_a_step_in_the_form_is_the_step_of_the_plan(office: Desk, olga: Web) -> None:
    letter = step("b", "send_letter", ("c",), to=HIDDEN, body="</textarea>\n\U000e0041é", amount={"$ref": "a.name"})
    handle = await office.submit(note("a"), note("c"), letter | {"dedupe_key": "one"})
    digest, page = await form_of(olga, handle, "?step=b")
    typed = html.unescape(page.partition("<textarea")[2].partition(">\n")[2].partition("</textarea>")[0])
    assert json.loads(typed) == letter | {"dedupe_key": "one"}
    answer = await olga.post(f"/plans/{handle.plan_id}/amend", digest=digest, reason="nothing", steps=typed)
    assert "are those of the plan already" in answer.text
    assert (await olga.get(f"/plans/{handle.plan_id}/amend?step=zz")).status_code == 403
    await handle.decide("abort", by="test", reason="over")


async def test_a_step_is_amended_in_a_browser(desk: tuple[Desk, Reader]) -> None:
    made, olga = desk
    await olga.size(1024)
    handle = await made.submit(note("a", "first\nsecond"))
    await olga.go(f"/plans/{handle.plan_id}")
    await olga.click("#step-a a[href*='/amend?step=a']")
    await olga.until("document.getElementById('steps')")
    await olga.picture("amend")
    typed = str(await olga.value("document.getElementById('steps').value"))
    await olga.fill("#steps", typed.replace("second", "third"))
    await olga.fill("#reason", "a better word")
    await olga.click("form.amend button")
    await olga.until("document.querySelector('article.plan')?.dataset.state === 'AWAITING_APPROVAL'")
    await olga.sees("You have proposed a")
    await olga.sees("third")
    (entry,) = [entry for entry in (await handle.audit()).entries if entry.what == "amend"]
    assert entry.by == "olga"
    assert entry.signed is not None, "with her passkey"
    assert not await olga.violations()
    await handle.decide("abort", by="test", reason="over")
