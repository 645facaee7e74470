"""The name of a passkey: given when it is made, printed for the operator, and shown wherever the key is."""

from pathlib import Path

import pytest
from temporalio.testing import WorkflowEnvironment

from airlock.client.live_gate import LiveGate
from airlock.plans.state import State
from tests.cli.browser import Browser
from tests.console.desk import Reader, desk_in, note, reaches
from tests.console.test_reading import TOO_WIDE
from tests.console.test_signed_keys import tab_to
from tests.console.web import Web

LABEL = "Olga's laptop"


async def test_a_key_is_named_from_its_making_to_the_audit(
    console_server: WorkflowEnvironment, chromium: Browser, tmp_path: Path
) -> None:
    async with desk_in(console_server.client, tmp_path) as made:
        olga = Reader(chromium, made.url)
        await olga.holds_passkeys()
        await olga.size(390)
        await olga.go("/register")
        await tab_to(olga, "#person")
        await olga.type("olga")
        await olga.press("Tab")
        await olga.type(LABEL)
        await olga.press("Enter")
        await olga.until("document.getElementById('lines')")
        lines = await olga.text("#lines")
        assert f'label = "{LABEL}"' in lines
        assert await olga.value(TOO_WIDE) == []
        made.policy += lines + '\n[policy.decisions.lock]\nevidence = "passkey"\n'
        made.write()
        async with made.working():
            await olga.signs_in()
            assert f"Signed in as olga with {LABEL}" in await olga.text(".who")
            handle = await made.submit(note("a"))
            await olga.go(f"/plans/{handle.plan_id}")
            assert f"sign it with my passkey ({LABEL})" in await olga.text("#approve")
            await olga.click("#approve button.go")
            await olga.sees("approve accepted")
            await reaches(handle, State.COMPLETED)
            await olga.go(f"/plans/{handle.plan_id}/audit")
            assert f'signed with the passkey "{LABEL}" (' in await olga.text("main")
            assert LABEL not in (await handle.audit()).model_dump_json()
            await olga.go("/lock")
            await olga.fill("#lock-reason", "a drill")
            await olga.click("form[action='/lock/lock'] button")
            await olga.sees("system lock accepted")
            await olga.go("/lock/decisions")
            assert f'signed with the passkey "{LABEL}" (' in await olga.text("main")
            assert (await LiveGate(made.client).unlock("ann", "over")).accepted
            made.policy = made.policy.replace(f'label = "{LABEL}"', 'label = "phone"')
            made.write()
            await olga.go(f"/plans/{handle.plan_id}/audit")
            assert "signed with the passkey 'phone' (" in await olga.text("main")
        assert not await olga.violations()


@pytest.mark.parametrize("label", ["x" * 61, "lap\u200btop", "l\u0430ptop"])
async def test_a_name_that_could_mislead_makes_no_passkey(
    console_server: WorkflowEnvironment, tmp_path: Path, label: str
) -> None:
    async with desk_in(console_server.client, tmp_path) as made:
        web = Web(made)
        answer = await web.post("/register/options", person="olga", label=label)
        await web.client.aclose()
    assert answer.status_code == 400
    assert "the name of the passkey" in answer.json()["error"]


async def test_the_list_of_a_browser_tells_keys_apart(console_server: WorkflowEnvironment, tmp_path: Path) -> None:
    async with desk_in(console_server.client, tmp_path) as made:
        web = Web(made)
        told = [await web.post("/register/options", person="olga", label=label) for label in ("phone", "")]
        await web.client.aclose()
    assert [answer.json()["user"]["name"] for answer in told] == ["olga (phone)", "olga"]
