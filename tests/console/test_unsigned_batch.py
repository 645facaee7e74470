"""Several plans at once where some of them need a signature: the inbox says which before anything is sent."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
from temporalio.testing import WorkflowEnvironment

from airlock.admission.decision_rules import Demand
from airlock.admission.policy import Policy
from airlock.console.signature_need import needs_signature
from airlock.plans.state import State
from tests.console.desk import Desk, desk_in, note, step
from tests.console.provider import CLIENT, provider
from tests.console.web import Web
from tests.core.build import awaiting, plan, policy
from tests.core.build import step as plan_step
from tests.signers import PasskeyPerson

SIGNED = f"""
[policy.decisions.approve.by_risk.HIGH]
evidence = "passkey"

[policy.decisions.amend]
evidence = "passkey"

[[policy.passkeys]]
person = "paul"
credential = "YWJj"
public_key = "{PasskeyPerson("paul").registered["public_key"]}"
rp_id = "localhost"
origins = ["http://localhost:8780"]
"""


@pytest.mark.parametrize("evidence", Demand)
def test_a_seal_tells_for_which_risks_a_signature_is_needed(evidence: Demand) -> None:
    def needs(tool: str, **approve: Any) -> bool:
        sealed = awaiting(plan(plan_step("a", tool)), policy(decisions={"approve": approve})).sealed
        assert sealed is not None
        return needs_signature(sealed, Policy())

    high = {"roles": ["signed with a pen"], "evidence": evidence, "people": 2}
    assert needs("mail", people=2, by_risk={"HIGH": high}) is (evidence is not Demand.NONE)
    assert not needs("write", people=2, by_risk={"HIGH": high})
    assert needs("read", evidence=evidence) is (evidence is not Demand.NONE)


@pytest.fixture(scope="module")
async def office(console_server: WorkflowEnvironment, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Desk]:
    async with provider() as idp:
        toml = f'[console.oidc]\nissuer = "{idp.url}"\nclient_id = "{CLIENT}"\n'
        folder = tmp_path_factory.mktemp("batch")
        async with desk_in(console_server.client, folder, console=toml, policy=SIGNED) as desk, desk.working():
            yield desk


async def listing(web: Web, *plans: str) -> httpx.Response:
    """Return the inbox once visibility lists plans in it, which may take seconds."""
    async with asyncio.timeout(60):
        while True:
            page = await web.get("/")
            if all(f'id="row-{plan}"' in page.text for plan in plans):
                return page
            await asyncio.sleep(0.1)


@pytest.mark.parametrize("today", [True, False], ids=["file", "seal"])
async def test_a_plan_that_needs_a_signature_is_not_among_several(
    office: Desk, visitor: Callable[[Desk], Web], today: bool
) -> None:
    olga = visitor(office)
    await olga.signs_in()
    letter = await office.submit(step("l", "send_letter", to="jo@acme.test", body="hi"), goal="Thank Jo for the cake")
    plain = await office.submit(note("a"))
    if not today:  # the plan's own policy asks for it still
        office.policy = office.policy.replace(SIGNED, "")
        office.write()
    for handle in (letter, plain):
        await olga.get(f"/plans/{handle.plan_id}")
    page = await listing(olga, letter.plan_id, plain.plan_id)
    said = page.text.partition('id="to-sign"')[2].partition("</p>")[0]
    assert letter.plan_id in said
    assert plain.plan_id not in said
    chosen = [f"{each.plan_id} {(await each.status()).digest}" for each in (letter, plain)]
    page = await olga.post("/approve", plan=chosen)
    assert "approved: 1 plan" in page.text
    assert f"{letter.plan_id}: approve refused: it needs your signature: approve it on its own page" in page.text
    assert (await plain.wait_for(State.COMPLETED)).outcome == "completed"
    audit = await letter.audit()
    assert not any(entry.what == "approve" for entry in audit.entries), "nothing was sent"
    amendment = {"digest": (await letter.status()).digest, "reason": "one more", "steps": json.dumps(note("z"))}
    page = await olga.post(f"/plans/{letter.plan_id}/amend", **amendment)
    assert "amend refused" in page.text
    assert "it must be signed with a passkey in the console" in page.text
    found = await olga.post("/search", text="THE cake")
    assert letter.plan_id in found.text
    assert "Thank Jo for the cake" in found.text
    await letter.decide("abort", by="test", reason="over")
