"""Pages say who speaks, what each answer means, and what an undo is about; and they can be read and used at 390 pixels."""

import json
import re
from dataclasses import replace

import pytest

from airlock.client.live_gate import LiveGate
from airlock.client.undo import undo
from airlock.console import health_pages
from airlock.console.plan_view import PlanReader
from airlock.plans.state import State
from airlock.run.audit import AuditKind
from devtools.axe import script
from tests.console import desk_tools
from tests.console.desk import Desk, Reader, note, reaches, step
from tests.console.test_reading import TOO_WIDE, barriers
from tests.workflows.conftest import until

At = tuple[Desk, Reader]
LIE = "every approved call is live. Proven: nothing can start."
REGIONS = "[...document.querySelectorAll('.scroll')].filter((one) => one.scrollWidth > one.clientWidth + 1).length"
COVERED = """(() => { const one = document.activeElement, box = one.getBoundingClientRect();
  const there = document.elementFromPoint(box.left + box.width / 2, box.top + box.height / 2);
  if (one === document.body) return '';
  return Boolean(there) && (there === one || one.contains(there) || there.contains(one)) ? '' : one.textContent; })()"""


async def test_what_a_person_wrote_passes_for_nothing_else(desk: At) -> None:
    made, olga = desk
    await olga.size(390)
    first = await made.submit(note("a"))  # so that the gate has begun: no worker of these tests starts it
    await first.decide("approve", by="paul", digest=(await first.preview()).digest)
    await reaches(first, State.COMPLETED)
    handle = await made.submit(note("a"))
    assert (await handle.decide("lock", by="m\u0430llory", reason=LIE)).accepted
    said = f'"m\u0430llory⟨mixed: Cyrillic \u0430 U+0430⟩" says: {json.dumps(LIE)}'
    await olga.go(f"/plans/{handle.plan_id}")
    assert said in await olga.text("#status .why")
    assert await olga.text("#lock-signature") == "This lock: not signed"

    async def listed() -> bool:
        await olga.go("/")
        return said in await olga.text(f"#row-{handle.plan_id}")

    await until(listed)
    gate = LiveGate(made.client)
    assert (await gate.lock("mallory", LIE, "tool:none")).accepted
    await olga.go("/lock")
    assert f": {json.dumps(LIE)}." in await olga.text("#lock-bar")
    assert f": {json.dumps(LIE)} · not signed" in await olga.text("#proofs")
    assert (await gate.unlock("mallory", "over", "tool:none")).accepted
    await handle.decide("abort", by="test", reason="over")


async def test_each_answer_to_what_is_in_doubt_says_what_it_means(desk: At) -> None:
    made, olga = desk
    desk_tools.TROUBLE["words"] = "lost"
    rows = step("b", "set_rows", ("a",), table="t", rows=[{"id": 1}])
    handle = await made.submit(note("a"), rows, plan_id="words")
    verdict = await handle.decide("approve", by="paul", digest=(await handle.preview()).digest)
    assert verdict.accepted, verdict
    status = await reaches(handle, State.LOCKED)
    assert status.parked == ("b",), status.why
    await olga.go("/plans/words")
    answers = await olga.text("fieldset")
    assert "happened: the call took effect" in answers
    assert "did not happen: the call took no effect" in answers
    assert "b: in_doubt" in await olga.text("#status"), "how each step stands is open to see"
    await handle.decide("resolve", by="test", step="b", outcome="did_not_happen", reason="over")


async def test_an_undo_leads_to_what_it_undoes_and_is_offered_where_there_is_something(desk: At) -> None:
    made, olga = desk
    done, denied = await made.submit(note("a", "milk")), await made.submit(note("a"))
    verdict = await done.decide("approve", by="paul", digest=(await done.preview()).digest)
    assert verdict.accepted, verdict
    await reaches(done, State.COMPLETED)
    await denied.decide("deny", by="paul", reason="no")
    await denied.result()
    await olga.go(f"/plans/{denied.plan_id}")
    assert "Nothing of it is in effect that could be undone." in await olga.text("#decide")
    assert not await olga.value("Boolean(document.querySelector(\"form[action$='/undo']\"))")
    await olga.go(f"/plans/{done.plan_id}")
    assert await olga.value("Boolean(document.querySelector(\"form[action$='/undo']\"))")
    asked = await undo(made.client, done.plan_id, by="rita", reason="wrong")
    await reaches(asked, State.AWAITING_APPROVAL)
    await olga.go(f"/plans/{asked.plan_id}")
    assert await olga.value(f"document.querySelector('header a[href=\"/plans/{done.plan_id}\"]').textContent")
    page = await olga.text()
    assert re.search(r"It would undo:\s+1 call of write_note", page), page
    assert "it would call" not in page
    assert "The digest covers which calls are undone, not the arguments that they had." in page
    assert "If an undo fails: " in page
    assert "not their arguments. Read those first: " in (await asked.preview()).text
    await olga.click(f"a[href='/plans/{done.plan_id}/steps/a']")
    await olga.sees("milk")
    await asked.decide("deny", by="paul", reason="over")


async def test_audits_are_read_without_scrolling_sideways(desk: At) -> None:
    made, olga = desk
    handle = await made.submit(note("a"))
    await handle.decide("lock", by="ann", reason="a long reason " * 20)
    await handle.decide("abort", by="ann", reason="over")
    for dark in (False, True):
        await olga.size(390, dark)
        for path in (f"/plans/{handle.plan_id}/audit", "/lock/decisions"):
            await olga.go(path)
            assert await olga.value(TOO_WIDE) == []
            assert await olga.value(REGIONS) == 0, path
            if script() is not None:
                assert await barriers(olga) == [], path
    await olga.go(f"/plans/{handle.plan_id}/audit")
    assert await olga.value("getComputedStyle(document.querySelector('td[data-name=reason]'), '::before').content") == (
        '"reason"'
    )


async def test_no_bar_covers_what_has_the_focus(desk: At) -> None:
    made, olga = desk
    plans = [await made.submit(note("a"), goal=f"Row {number}") for number in range(12)]
    await olga.size(1024)
    reduced = [{"name": "prefers-reduced-motion", "value": "reduce"}]
    await olga.do(lambda: olga.page.send("Emulation.setEmulatedMedia", features=reduced))
    await olga.do(lambda: olga.page.resize(1024, 600))
    await olga.go(f"/plans/{plans[0].plan_id}")
    await olga.go("/")
    await olga.until("document.querySelector('.several')")
    covered = []
    for _ in range(45):
        await olga.press("Tab")
        covered.append(await olga.value(COVERED))
    assert [each for each in covered if each] == []
    for plan in plans:
        await plan.decide("abort", by="test", reason="over")


@pytest.mark.parametrize("path", ["/", "/search", "/lock", "plan", "amend"])
async def test_a_browser_is_asked_to_remember_nothing_that_people_write(desk: At, path: str) -> None:
    made, olga = desk
    handle = await made.submit(note("a"))
    plan = f"/plans/{handle.plan_id}"
    await olga.go({"plan": plan, "amend": f"{plan}/amend?step=a"}.get(path, path))
    remembered = "[...document.querySelectorAll('main input:is([type=text], :not([type])), main textarea')]"
    remembered += ".filter((one) => one.form && one.form.autocomplete !== 'off').map((one) => one.name)"
    assert await olga.value(remembered) == []
    await handle.decide("abort", by="test", reason="over")


async def test_without_the_extra_for_plots_health_has_no_broken_picture(desk: At, monkeypatch: pytest.MonkeyPatch) -> None:
    _, olga = desk
    found = "document.querySelectorAll('img.plot').length"
    await olga.go("/health?window=day")
    assert await olga.value(found) == 1, await olga.text()
    monkeypatch.setattr(health_pages, "find_spec", lambda name: None)
    await olga.go("/health?window=all")
    assert await olga.value(found) == 0
    assert "pip install 'airlock-temporal[plot]'" in await olga.text()


async def test_a_lock_by_airlock_itself_has_no_signature_of_an_earlier_person(desk: At) -> None:
    made, olga = desk
    handle = await made.submit(note("a"))
    await handle.decide("lock", by="ann", reason="first")
    await olga.go(f"/plans/{handle.plan_id}")
    assert await olga.text("#lock-signature") == "This lock: not signed"
    await handle.decide("unlock", by="ann", reason="over")
    await reaches(handle, State.AWAITING_APPROVAL)
    await olga.go(f"/plans/{handle.plan_id}")
    assert await olga.text("#lock-signature") == ""
    view = await PlanReader().read(handle)
    parked = (*view.audit.entries, view.audit.entries[-1].model_copy(update={
        "kind": AuditKind.TRANSITION, "what": "in_doubt", "by": "airlock", "to_state": "LOCKED"}))  # fmt: skip
    locked = replace(view, audit=view.audit.model_copy(update={"entries": parked}),
                     status=view.status.model_copy(update={"state": State.LOCKED}))  # fmt: skip
    assert locked.lock is None
    await handle.decide("abort", by="test", reason="over")
