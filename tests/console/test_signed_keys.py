"""Every decision with keys alone, where the policy demands a passkey for each: nothing but Tab, Enter, Space and letters."""

import json
from collections.abc import AsyncIterator

import pytest
from temporalio.testing import WorkflowEnvironment

from airlock.admission.decision_rules import DecisionName
from airlock.client import PlanHandle
from airlock.client.live_gate import LiveGate
from airlock.plans.state import State
from tests.cli.browser import Browser
from tests.console import desk_tools
from tests.console.desk import Desk, Reader, desk_in, note, reaches, step
from tests.console.lies import HIDDEN

At = tuple[Desk, Reader]
ALL = "".join(f'[policy.decisions.{name}]\nevidence = "passkey"\n' for name in DecisionName)


@pytest.fixture(scope="module")
async def strict(
    console_server: WorkflowEnvironment, chromium: Browser, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[At]:
    async with desk_in(console_server.client, tmp_path_factory.mktemp("strict")) as made:
        olga = Reader(chromium, made.url)
        await olga.holds_passkeys()
        made.policy += await olga.makes_passkey("olga") + "\n" + ALL
        made.write()
        async with made.working():
            await olga.signs_in()
            yield made, olga


async def tab_to(olga: Reader, selector: str, most: int = 90) -> None:
    """Press Tab until something has the focus."""
    for _ in range(most):
        if await olga.value(f"document.activeElement.matches({json.dumps(selector)})"):
            await olga.until(  # the page scrolls there smoothly
                "(() => { const box = document.activeElement.getBoundingClientRect(); return box.width > 0 && box.bottom > 0"
                " && box.top < innerHeight; })()"
            )
            return
        await olga.press("Tab")
    raise AssertionError(f"no Tab leads to {selector}\n{await olga.text()}")


async def decide(olga: Reader, plan: PlanHandle, decision: str, reason: str = "with keys alone") -> None:
    """Open a plan and send one decision about it from the keyboard."""
    await olga.go(f"/plans/{plan.plan_id}")
    await olga.press("Tab", "Tab", "Enter")  # past the skip to the content, to the decision
    assert await olga.value("document.activeElement.id || location.hash") in ("decide", "#decide")
    form = f"form[action$='/{decision}']"
    if await olga.value(f'Boolean(document.querySelector("details > {form}"))'):
        await tab_to(olga, f"details:has(> {form}) > summary")
        await olga.press("Enter")
    await tab_to(olga, f"{form} input[name=reason]")
    await olga.type(reason)
    await olga.press("Enter")
    await olga.sees(f"{decision} accepted")


async def signed(plan: PlanHandle) -> dict[str, bool]:
    """Return whether each decision about a plan that counted was signed."""
    return {
        entry.what: entry.signed is not None
        for entry in (await plan.audit()).entries
        if entry.by == "olga" and entry.kind == "decision"
    }


@pytest.mark.parametrize("width", [390, 1024])
async def test_a_plan_is_locked_unlocked_approved_denied_and_aborted(strict: At, width: int) -> None:
    made, olga = strict
    await olga.size(width)
    first, second, third = [await made.submit(note("a")) for _ in range(3)]
    await decide(olga, first, "lock")
    await reaches(first, State.LOCKED)
    await decide(olga, first, "unlock")
    await reaches(first, State.AWAITING_APPROVAL)
    await decide(olga, first, "approve", "read all of it")
    assert (await reaches(first, State.COMPLETED)).outcome == "completed"
    await decide(olga, second, "deny")
    assert (await reaches(second, State.MOCK)).outcome == "denied"
    await decide(olga, third, "abort")
    await reaches(third, State.ABORTED)
    assert await signed(first) == {"lock": True, "unlock": True, "approve": True}
    assert await signed(second) == {"deny": True}
    assert await signed(third) == {"abort": True}
    assert not await olga.violations()


@pytest.mark.parametrize("decision", ["resolve", "rollback"])
async def test_a_call_in_doubt_is_settled_or_rolled_back(strict: At, decision: str) -> None:
    made, olga = strict
    await olga.size(1024)
    plan_id = f"lost-{decision}"
    desk_tools.TROUBLE[plan_id] = "lost"
    rows = step("b", "set_rows", ("a",), table="t", rows=[{"id": 1}])
    handle = await made.submit(note("a", name=plan_id), rows, plan_id=plan_id)
    await decide(olga, handle, "approve")
    await reaches(handle, State.LOCKED)
    if decision == "rollback":
        await decide(olga, handle, "rollback")
        status = await handle.wait_for(State.ABORTED, State.LOCKED, State.ROLLBACK)
        assert status.state in (State.ABORTED, State.LOCKED, State.ROLLBACK)
        await olga.picture("keys-rollback")
        assert (await signed(handle))["rollback"]
        return
    await olga.go(f"/plans/{plan_id}")
    await olga.press("Tab", "Tab", "Enter")
    await tab_to(olga, "input[name=outcome]")
    await olga.press(" ")
    assert await olga.value("document.activeElement.checked && document.activeElement.value") == "happened"
    await tab_to(olga, "form[action$='/resolve'] input[name=reason]")
    await olga.type("the rows are there")
    await olga.press("Enter")
    await olga.sees("resolve accepted")
    assert (await reaches(handle, State.COMPLETED)).outcome == "completed"
    assert (await signed(handle))["resolve"]


async def test_a_step_is_amended(strict: At) -> None:
    made, olga = strict
    await olga.size(1024)
    handle = await made.submit(step("a", "send_letter", to=HIDDEN, body="hi"))
    await olga.go(f"/plans/{handle.plan_id}")
    await tab_to(olga, "a[href*='/amend?step=a']")
    await olga.press("Enter")
    await olga.until("document.getElementById('steps')")
    await tab_to(olga, "#remove")
    await tab_to(olga, "#reason")
    await olga.type("the right address")
    typed = str(await olga.value("document.getElementById('steps').value")).replace("\\u200b\\u2060", "")
    await olga.value("document.getElementById('steps').focus(); document.getElementById('steps').select()")
    await olga.type(typed)
    await tab_to(olga, "form.amend button.go")
    await olga.press("Enter")
    await olga.until("document.querySelector('article.plan')?.dataset.state === 'AWAITING_APPROVAL'")
    await olga.sees("You have proposed a")
    assert (await signed(handle))["amend"]
    await decide(olga, handle, "abort")


async def test_the_system_is_locked_and_unlocked(strict: At) -> None:
    made, olga = strict
    await olga.size(390)
    gate = LiveGate(made.client)
    refused = await gate.lock("olga", "not signed", "tool:send_letter")
    assert not refused.accepted
    for decision in ("lock", "unlock"):
        await olga.go("/lock")
        await tab_to(olga, f"#{decision}-scope")
        await olga.type("tool:send_letter")
        await tab_to(olga, f"#{decision}-reason")
        await olga.type("with keys alone")
        await olga.press("Enter")
        await olga.sees(f"system {decision} accepted")
        await olga.picture(f"keys-system-{decision}")
    await olga.sees("The gate is open")


async def test_no_decision_counts_without_the_passkey(strict: At) -> None:
    made, olga = strict
    await olga.size(1024)
    handle = await made.submit(note("a"))
    for decision in ("lock", "abort", "deny", "approve"):
        await olga.go(f"/plans/{handle.plan_id}")
        form = f"document.querySelector(\"form[action$='/{decision}']\")"
        await olga.value(f"{form}.querySelector('.sign').checked = false; {form}.elements.reason.value = 'unsigned'; true")
        await olga.value(f"{form}.requestSubmit()")
        await olga.sees(f"{decision} refused")
    assert (await handle.status()).state is State.AWAITING_APPROVAL
    assert await signed(handle) == {}
    await decide(olga, handle, "abort")
