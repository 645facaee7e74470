"""Two approvers with a role, one at the browser and one with an SSH key: what is missing, and who signed."""

from collections.abc import AsyncIterator

import pytest
from temporalio.testing import WorkflowEnvironment

from airlock.client import PlanHandle
from airlock.client.live_gate import LiveGate
from airlock.client.search import PlanQuestion, PlanSearch
from airlock.plans.state import State
from airlock.signing.signature_words import fingerprint
from devtools.axe import script
from tests.cli.browser import Browser
from tests.console.desk import Desk, Reader, desk_in, note, reaches, step
from tests.console.lies import HIDDEN
from tests.console.test_reading import STRANGE, TOO_WIDE, WIDTHS, barriers
from tests.console.test_signed_keys import decide, tab_to
from tests.signers import SshPerson
from tests.workflows.conftest import until

At = tuple[Desk, Reader]
PAUL = SshPerson("paul")
RULES = """
[policy.roles]
approver = ["olga", "paul"]
operator = ["olga"]

[policy.decisions.approve]
roles = ["approver"]
people = 2
evidence = "signed"

[policy.decisions.unlock]
roles = ["operator"]
evidence = "passkey"
"""


@pytest.fixture(scope="module")
async def office(
    console_server: WorkflowEnvironment, chromium: Browser, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[At]:
    keys = f'[policy]\nauthorized_keys = ["{PAUL.line}"]\n'
    async with desk_in(console_server.client, tmp_path_factory.mktemp("office"), policy=keys) as made:
        olga = Reader(chromium, made.url)
        await olga.holds_passkeys()
        made.policy += await olga.makes_passkey("olga") + RULES
        made.write()
        async with made.working():
            await olga.signs_in()
            yield made, olga


async def looked_at(olga: Reader, name: str, path: str) -> None:
    """Look at a page at every width, light and dark: nothing is too wide, nothing runs, nothing is a barrier."""
    for width in WIDTHS:
        for dark in (False, True):
            await olga.size(width, dark)
            await olga.go(path)
            assert await olga.value(TOO_WIDE) == [], (name, width)
            assert await olga.value(STRANGE) == 0, name
            await olga.picture(f"{name}-{width}-{'dark' if dark else 'light'}")
            if script() is not None:
                assert await barriers(olga) == [], (name, width, dark)


async def by_paul(plan: PlanHandle) -> None:
    digest = (await plan.preview()).digest
    signed = await plan.to_sign("approve", by="paul", reason="by ssh", digest=digest)
    verdict = await plan.decide_signed(signed, PAUL.evidence(signed.statement))
    assert verdict.accepted, verdict


async def waits(plan: PlanHandle) -> str:
    return (await plan.status()).waits_for


async def test_list_and_search_say_what_is_missing_as_the_plan_does(office: At) -> None:
    made, olga = office
    await olga.size(1024)
    handle = await made.submit(
        note("a"), step("b", "send_letter", ("a",), to="jo@acme.test", body="x"), goal="Missing words"
    )
    words = await waits(handle)
    assert "2 approvals" in words
    assert "by the role approver" in words
    assert "signed with" in words

    async def listed() -> bool:
        return bool((await PlanSearch(made.client).page(PlanQuestion(words="missing words"))).found)

    await until(listed)
    await olga.go("/")
    await olga.sees(f"Waits for: {words}")
    await by_paul(handle)
    less = await waits(handle)
    assert less.startswith("1 approval (by the role approver")
    await olga.sees(f"Waits for: {less}")
    await olga.go("/search")
    await olga.press("/")
    await olga.type("missing words")
    await olga.press("Enter")
    await olga.sees("1 found among")
    await olga.sees("1 of 2 approvals")
    await olga.sees(f"Waits for: {less}")
    await olga.go(f"/plans/{handle.plan_id}")
    await olga.sees(f"Waits for: {less}")
    await looked_at(olga, "missing-inbox", "/")
    await looked_at(olga, "missing-search", "/search")
    await handle.decide("abort", by="test", reason="over")


async def test_a_search_is_shown_although_no_inbox_can_be_read(office: At, monkeypatch: pytest.MonkeyPatch) -> None:
    made, olga = office
    handle = await made.submit(note("a"), goal="Found without an inbox")

    async def listed() -> bool:
        return bool((await PlanSearch(made.client).page(PlanQuestion(words="without an inbox"))).found)

    await until(listed)

    async def silent(*_: object, **__: object) -> None:
        raise TimeoutError

    monkeypatch.setattr("airlock.console.watch.Watch.inbox", silent)
    await olga.go("/search")
    await olga.fill("#s-text", "without an inbox")
    await olga.click(".filter button")
    await olga.sees("1 found among")
    monkeypatch.undo()
    await handle.decide("abort", by="test", reason="over")


async def test_the_audit_says_who_signed_with_which_key(office: At) -> None:
    made, olga = office
    await olga.size(1024)
    handle = await made.submit(note("a"), goal="Signed by two")
    await by_paul(handle)
    await handle.decide("lock", by=f"ann{HIDDEN}", reason="look")
    await handle.decide("unlock", by="ann", reason="no role")
    await decide(olga, handle, "unlock", "seen")
    await reaches(handle, State.AWAITING_APPROVAL)
    await by_paul(handle)
    await olga.go(f"/plans/{handle.plan_id}")
    await tab_to(olga, "form[action$='/approve'] button.go")
    await olga.press("Enter")
    await olga.sees("approve accepted")
    assert (await reaches(handle, State.COMPLETED)).outcome == "completed"
    await olga.go(f"/plans/{handle.plan_id}/audit")
    rows = str(await olga.value("[...document.querySelectorAll('.audit tr')].map((row) => row.innerText).join('\\n')"))
    assert f"signed with the SSH key {fingerprint(PAUL.line)} of 'paul'" in rows
    assert "of 'olga' for localhost" in rows
    assert "has not the role operator" in rows
    assert "DOES NOT FIT" not in rows
    shown = (await handle.audit()).entries
    (lock,) = [entry for entry in shown if entry.what == "lock" and entry.kind == "decision"]
    assert lock.signature == "not signed"
    await looked_at(olga, "signed-audit", f"/plans/{handle.plan_id}/audit")
    assert not await olga.violations()


async def test_the_page_of_the_gate_lists_decisions_that_stopped_no_plan(office: At) -> None:
    made, olga = office
    gate = LiveGate(made.client)
    await olga.size(1024)
    assert (await gate.lock("ann\u202e", "drill <b>of</b> ann", "tool:send_letter")).accepted
    assert not (await gate.unlock("ann", "unsigned", "tool:send_letter")).accepted
    signed = await gate.to_sign("unlock", "paul", "by ssh", "tool:send_letter")
    assert not (await gate.decide_signed(signed, PAUL.evidence(signed.statement))).accepted
    await olga.go("/lock")
    await looked_at(olga, "lock-locked", "/lock")
    await olga.size(1024)
    await olga.go("/lock")
    await tab_to(olga, "form[action='/lock/unlock'] input[name=scope]")
    await olga.type("tool:send_letter")
    await tab_to(olga, "form[action='/lock/unlock'] input[name=reason]")
    await olga.type("the drill is over")
    await olga.press("Enter")
    await olga.sees("system unlock accepted")
    await tab_to(olga, "a[href='/lock/decisions']")
    await olga.press("Enter")
    await olga.sees("Decisions at the live gate")
    text = await olga.text("main")
    assert "ann⟨U+202E⟩" in text
    assert "drill <b>of</b> ann" in text
    assert "of 'olga' for localhost" in text
    assert f"signed with the SSH key {fingerprint(PAUL.line)} of 'paul'" in text, "signed, and refused all the same"
    assert "has not the role operator" in text
    assert text.count("not signed") == 2
    await looked_at(olga, "gate-decisions", "/lock/decisions")
    assert not await olga.violations()


async def test_the_progress_of_several_plans_has_no_barriers(office: At) -> None:
    made, olga = office
    await olga.size(1024)
    plans = [await made.submit(note("a"), goal=f"plan {number} of several") for number in range(2)]
    for plan in plans:
        await olga.go(f"/plans/{plan.plan_id}")
    for width, dark in ((390, True), (1920, False)):
        await olga.size(width, dark)
        await olga.go("/")
        for plan in plans:
            box = f"#row-{plan.plan_id} input[type=checkbox]"
            await olga.until(f"document.querySelector('{box}')?.disabled === false")
            await olga.value(f"document.querySelector('{box}').click()")
        await olga.click("button[form=several]")
        await olga.until("/\\d approved, \\d refused, 0 left/.test(document.getElementById('progress-title').textContent)")
        assert await olga.value(TOO_WIDE) == [], width
        await olga.picture(f"several-progress-{width}")
        if script() is not None:
            assert await barriers(olga) == [], width
    for plan in plans:
        await plan.decide("abort", by="test", reason="over")
