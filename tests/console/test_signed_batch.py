"""Several plans that need a signature, approved from the inbox: one use of the passkey for each, one after the other."""

import itertools

import pytest

from airlock.client import PlanHandle
from airlock.plans.state import State
from tests.console import desk_tools
from tests.console.desk import Desk, Reader, note, reaches, step

At = tuple[Desk, Reader]
NUMBERS = itertools.count(1)
PRESENT = "WebAuthn.setUserVerified"


@pytest.fixture(autouse=True)
async def wide(desk: At) -> None:
    await desk[1].size(1024)


def box(plan: PlanHandle) -> str:
    return f"document.querySelector('#row-{plan.plan_id} input[type=checkbox]')"


async def choose(olga: Reader, *plans: PlanHandle) -> None:
    """Choose plans in the inbox, once each of them can be chosen."""
    await olga.go("/")
    for plan in plans:
        await olga.until(f"{box(plan)}?.disabled === false")
        await olga.value(f"{box(plan)}.click()")


async def opened(made: Desk, olga: Reader, goal: str) -> PlanHandle:
    letter = step("letter", "send_letter", to="jo@acme.test", body=f"{goal} {next(NUMBERS)}")  # a second one is a duplicate
    handle = await made.submit(letter, goal=goal)
    await olga.go(f"/plans/{handle.plan_id}")
    return handle


async def approvals(plan: PlanHandle) -> list[tuple[str, bool]]:
    """Return who approved a plan, each with whether it was signed."""
    entries = (await plan.audit()).entries
    return [
        (entry.by, entry.signed is not None) for entry in entries if entry.what == "approve" and entry.kind == "decision"
    ]


async def test_each_is_signed_by_itself_and_what_was_not_opened_is_refused(desk: At) -> None:
    made, olga = desk
    first, second = [await opened(made, olga, goal) for goal in ("one letter", "another letter")]
    plain = await made.submit(note("a"), goal="no signature needed")
    await olga.go(f"/plans/{plain.plan_id}")
    unseen = await made.submit(step("letter", "send_letter", to="eve@acme.test", body="x"), goal="never opened")
    await choose(olga, first, plain, second)
    await olga.sees("once for each plan that needs a signature")
    assert await olga.value(f"{box(unseen)}.disabled")
    await olga.value(f"{box(unseen)}.disabled = false; {box(unseen)}.dataset.sign = 'yes'; {box(unseen)}.click()")
    await olga.click("button[form=several]")
    await olga.sees("3 approved, 1 refused, 0 left")
    assert await olga.value("document.activeElement.id") == "progress-title"
    told = await olga.text("#progress")
    assert (
        f"{unseen.plan_id} (never opened): not approved: this preview was not shown in your session: open it first" in told
    )
    await olga.picture("several-signed")
    for plan in (first, second, plain):
        assert (await reaches(plan, State.COMPLETED)).outcome == "completed"
        assert await approvals(plan) == [("olga", plan is not plain)]
    assert await approvals(unseen) == []
    assert [each for each in await olga.violations() if "409" not in each] == [], "a refusal is an answer of 409"
    await unseen.decide("abort", by="test", reason="over")


async def test_a_cancelled_passkey_leaves_its_plan_and_a_replaced_preview_is_refused(desk: At) -> None:
    made, olga = desk
    first = await opened(made, olga, "a letter")
    replaced = await made.submit(note("a", name="batched"), step("letter", "send_letter", to="jo@acme.test", body="b"))
    await olga.go(f"/plans/{replaced.plan_id}")
    await choose(olga, first, replaced)
    # the list is held as it is: the preview is replaced while the person signs
    await olga.value("document.addEventListener('htmx:before:swap', (event) => event.preventDefault()); window.kept = true")
    await olga.do(lambda: olga.page.send(PRESENT, authenticatorId=olga.authenticator, isUserVerified=False))
    try:
        await olga.click("button[form=several]")
        await olga.sees("0 approved, 2 refused, 0 left")
    finally:
        await olga.do(lambda: olga.page.send(PRESENT, authenticatorId=olga.authenticator, isUserVerified=True))
    assert (await olga.text("#progress")).count("the passkey was not used") == 2
    assert await approvals(first) == await approvals(replaced) == []
    value = await olga.value(f"{box(replaced)}.value")
    desk_tools.NOTES["batched"] = "another text"
    await replaced.decide("lock", by="paul", reason="wait")
    await replaced.decide("unlock", by="paul", reason="go on")
    await replaced.wait_for(State.AWAITING_APPROVAL)
    await olga.value(f"{box(replaced)}.value = {value!r}; {box(replaced)}.disabled = false; {box(replaced)}.checked = true")
    await olga.value(f"{box(replaced)}.dataset.sign = 'yes'; true")
    await olga.click("button[form=several]")
    await olga.sees("1 approved, 1 refused, 0 left")
    told = (await olga.text("#progress")).split(f"{replaced.plan_id} (Keep notes): ")[1].split("\n")[0]
    assert "refused" in told or "not approved" in told
    await olga.picture("several-refused")
    assert (await reaches(first, State.COMPLETED)).outcome == "completed"
    assert await approvals(first) == [("olga", True)]
    assert await approvals(replaced) == []
    await replaced.decide("abort", by="test", reason="over")


async def test_a_person_stops_in_the_middle_and_nothing_more_is_sent(desk: At) -> None:
    made, olga = desk
    first, second = [await opened(made, olga, goal) for goal in ("one letter", "another letter")]
    await choose(olga, first, second)
    # the authenticator waits for a touch
    await olga.do(
        lambda: olga.page.send("WebAuthn.setAutomaticPresenceSimulation", authenticatorId=olga.authenticator, enabled=False)
    )
    try:
        await olga.click("button[form=several]")
        await olga.sees("your passkey is asked for")
        await olga.picture("several-asking")
        await olga.click("#progress button")
        await olga.sees("0 approved, 0 refused, 2 left")
    finally:
        await olga.do(
            lambda: olga.page.send(
                "WebAuthn.setAutomaticPresenceSimulation", authenticatorId=olga.authenticator, enabled=True
            )
        )
    for plan in (first, second):
        assert await approvals(plan) == []
        await plan.decide("abort", by="test", reason="over")
