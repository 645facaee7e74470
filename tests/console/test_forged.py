"""Forged, replayed, foreign, stale and unseen decisions, sent by a program that no browser would be."""

import re
from collections.abc import AsyncIterator, Callable

import pytest
from temporalio.testing import WorkflowEnvironment

from airlock.plans.state import State
from tests.console.desk import Desk, desk_in, note, step
from tests.console.provider import CLIENT, Provider, provider
from tests.console.web import Web

Place = tuple[Desk, Provider]
Visitor = Callable[[Desk], Web]


@pytest.fixture(scope="module")
async def place(console_server: WorkflowEnvironment, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    async with provider() as idp:
        toml = f'[console.oidc]\nissuer = "{idp.url}"\nclient_id = "{CLIENT}"\n'
        async with desk_in(console_server.client, tmp_path_factory.mktemp("forged"), console=toml) as desk, desk.working():
            yield desk, idp


@pytest.fixture
async def olga(place: Place, visitor: Visitor) -> Web:
    web = visitor(place[0])
    await web.signs_in()
    return web


async def opened(web: Web, plan_id: str, query: str = "") -> str:
    """Open a plan, and return the digest of the page."""
    page = await web.get(f"/plans/{plan_id}{query}")
    found = re.search(r'name="digest" value="([0-9a-f]{64})"', page.text)
    assert found, page.text
    return found[1]


async def test_what_was_shown_is_approved_under_the_name_of_the_session(place: Place, olga: Web) -> None:
    handle = await place[0].submit(note("a"))
    digest = await opened(olga, handle.plan_id)
    page = await olga.post(f"/plans/{handle.plan_id}/approve", digest=digest, by="boss", reason="looks right")
    assert "approve accepted" in page.text
    audit = await handle.audit()
    (approval,) = [entry for entry in audit.entries if entry.what == "approve"]
    assert (approval.by, approval.reason) == ("olga@acme.test", "looks right")
    page = await olga.post(f"/plans/{handle.plan_id}/approve", digest=digest)
    assert "approve refused" in page.text, "the same form once more counts for nothing"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": ""}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"host": "evil.example"}, 421),
        ({"host": "127.0.0.1"}, 421),
    ],
    ids=str,
)
async def test_a_form_of_another_page_is_refused(place: Place, olga: Web, headers: dict[str, str], status: int) -> None:
    handle = await place[0].submit(note("a"))
    digest = await opened(olga, handle.plan_id)
    answer = await olga.post(f"/plans/{handle.plan_id}/approve", headers=headers, digest=digest)
    assert answer.status_code == status
    assert (await handle.status()).approvals == ()
    await handle.decide("abort", by="test", reason="over")


@pytest.mark.parametrize("csrf", ["", "x", "0" * 43])
async def test_a_form_without_the_token_of_its_session_is_refused(
    place: Place, olga: Web, visitor: Visitor, csrf: str
) -> None:
    handle = await place[0].submit(note("a"))
    digest = await opened(olga, handle.plan_id)
    other = visitor(place[0])
    await other.signs_in()
    for token in (csrf, other.csrf):
        answer = await olga.post(f"/plans/{handle.plan_id}/approve", csrf=token, digest=digest)
        assert answer.status_code == 403
    assert (await handle.status()).approvals == ()
    await handle.decide("abort", by="test", reason="over")


async def test_no_decision_is_made_by_an_address_alone_or_without_a_session(
    place: Place, olga: Web, visitor: Visitor
) -> None:
    handle = await place[0].submit(note("a"))
    digest = await opened(olga, handle.plan_id)
    path = f"/plans/{handle.plan_id}/approve"
    assert (await olga.get(f"{path}?digest={digest}&csrf={olga.csrf}")).status_code in (404, 405)
    assert (await olga.client.put(path)).status_code == 405
    stranger = visitor(place[0])
    answer = await stranger.post(path, csrf=olga.csrf, digest=digest)
    assert "Sign in" in answer.text
    assert (await handle.status()).approvals == ()
    await handle.decide("abort", by="test", reason="over")


async def test_nothing_is_approved_that_this_session_was_not_shown(place: Place, olga: Web, visitor: Visitor) -> None:
    handle = await place[0].submit(note("a"))
    digest = str((await handle.preview()).digest)
    path = f"/plans/{handle.plan_id}/approve"
    for given in (digest, digest[:16], "0" * 64, ""):  # the answer to the first one shows the plan
        assert "was not shown in your session" in (await olga.post(path, digest=given)).text
    other = visitor(place[0])
    await other.signs_in()
    assert digest == await opened(other, handle.plan_id)
    third = visitor(place[0])
    await third.signs_in()
    page = await third.post("/approve", plan=f"{handle.plan_id} {digest}")
    assert "was not shown in your session" in page.text
    assert "was not shown in your session" in (await third.post(path, digest=digest)).text
    assert (await handle.status()).approvals == ()
    await handle.decide("abort", by="test", reason="over")


async def test_a_large_plan_is_approved_once_all_its_parts_were_shown(place: Place, olga: Web) -> None:
    handle = await place[0].submit(*(note(f"s{number:03}") for number in range(90)))
    digest = await opened(olga, handle.plan_id)
    path = f"/plans/{handle.plan_id}/approve"
    assert "not all of it was shown" in (await olga.post(path, digest=digest)).text
    assert "not all of it was shown" in (await olga.post(path, digest=digest, only="s000, s085")).text
    await opened(olga, handle.plan_id, "?part=3")
    assert "not all of it was shown" in (await olga.post(path, digest=digest)).text
    await opened(olga, handle.plan_id, "?part=2")
    page = await olga.post(path, digest=digest, only="s000, s085")
    assert "approve accepted" in page.text
    status = await handle.wait_for(State.COMPLETED)
    assert [each.id for each in status.steps if each.status == "live"] == ["s000", "s085"]


async def test_a_preview_that_was_made_again_is_not_approved(place: Place, olga: Web) -> None:
    handle = await place[0].submit(note("a"))
    digest = await opened(olga, handle.plan_id)
    await handle.decide("lock", by="test", reason="wait")
    await handle.decide("unlock", by="test", reason="go on")
    await handle.wait_for(State.AWAITING_APPROVAL)
    page = await olga.post(f"/plans/{handle.plan_id}/approve", digest=digest)
    assert "approve refused" in page.text
    assert "Changed since the preview before" in page.text
    assert (await handle.status()).approvals == ()
    await handle.decide("abort", by="test", reason="over")


async def test_an_amended_plan_shows_what_changed_in_the_lines_that_every_surface_has(place: Place, olga: Web) -> None:
    handle = await place[0].submit(note("a", "old", name="one"))
    status = await handle.status()
    added = {"id": "b", "agent": "scribe", "tool": "write_note", "args": {"name": "two", "text": "new"}, "confidence": 0.95}
    assert (await handle.amend([added], by="rita", reason="one more", digest=status.digest)).accepted
    status = await handle.wait_for(State.AWAITING_APPROVAL)
    page = (await olga.get(f"/plans/{handle.plan_id}")).text
    assert "added: step b" in page
    assert '<span class="sr">added: </span>text = &#34;new&#34;' in page
    assert "unchanged: a" in page
    await handle.decide("abort", by="test", reason="over")


async def test_chosen_steps_are_approved_and_none_is_nothing(place: Place, olga: Web) -> None:
    handle = await place[0].submit(note("a"), note("b"))
    digest = await opened(olga, handle.plan_id)
    path = f"/plans/{handle.plan_id}/approve"
    assert "no step is chosen" in (await olga.post(path, digest=digest, offered="a,b")).text
    assert "approve accepted" in (await olga.post(path, digest=digest, offered="a,b", step="b")).text
    status = await handle.wait_for(State.COMPLETED)
    assert [each.id for each in status.steps if each.status == "live"] == ["b"]


async def test_decisions_need_a_reason_and_a_name_that_is_known(place: Place, olga: Web) -> None:
    handle = await place[0].submit(note("a"))
    for nothing in ("  ", "\u200b\u2060", "\u202e"):
        assert "say why" in (await olga.post(f"/plans/{handle.plan_id}/deny", reason=nothing)).text
    assert "there is no such decision" in (await olga.post(f"/plans/{handle.plan_id}/explode", reason="x")).text
    assert (await olga.post("/plans/no-such-plan/deny", reason="x")).status_code == 404
    assert "deny accepted" in (await olga.post(f"/plans/{handle.plan_id}/deny", reason="no")).text
    assert (await handle.result()).outcome == "denied"


async def test_the_requester_approves_nothing_of_their_own(place: Place, olga: Web) -> None:
    handle = await place[0].submit(note("a"), requested_by="Olga@acme.test")
    digest = await opened(olga, handle.plan_id)
    assert "approve refused" in (await olga.post(f"/plans/{handle.plan_id}/approve", digest=digest)).text
    await handle.decide("abort", by="test", reason="over")


async def test_no_page_is_kept_and_every_answer_says_what_may_run(place: Place, olga: Web) -> None:
    handle = await place[0].submit(step("l", "send_letter", to="a@b.test", body="</script><script>alert(1)</script>"))
    for path in ("/", f"/plans/{handle.plan_id}", "/login", "/nowhere", "/static/console.js"):
        answer = await olga.get(path)
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["cache-control"] == ("no-cache" if path.startswith("/static") else "no-store")
        assert not re.search(r"\sstyle=|\son[a-z]+=|<style|<script(?! src=\"/static/)", answer.text.partition("</head>")[2])
    await handle.decide("abort", by="test", reason="over")


async def test_a_form_that_is_too_long_is_refused(place: Place, olga: Web) -> None:
    answer = await olga.post("/search", text="x" * 3_000_000)
    assert answer.status_code == 413


async def test_addresses_and_logs_hold_no_words_of_people_or_plans(
    place: Place, olga: Web, caplog: pytest.LogCaptureFixture
) -> None:
    handle = await place[0].submit(note("a", "the-secret-argument"))
    with caplog.at_level("DEBUG", logger="airlock.console"):
        page = await olga.post("/choose", text="the-secret-search")
        assert str(page.url) == f"{olga.url}/"
        assert "the-secret-search" in page.text
        page = await olga.post("/search", text=handle.plan_id)
        assert str(page.url) == f"{olga.url}/search"
        assert handle.plan_id in page.text.partition("</form>")[2]
        await olga.get(f"/plans/{handle.plan_id}")
        await olga.post(
            f"/plans/{handle.plan_id}/deny", headers={"origin": "https://evil.example"}, reason="the-secret-reason"
        )
    assert "secret" not in "\n".join(
        record.getMessage() for record in caplog.records if record.name.startswith("airlock.console")
    )
    await olga.post("/choose", all="1")
    await handle.decide("abort", by="test", reason="over")
