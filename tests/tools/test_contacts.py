"""The CRM's search and creation of contacts against a real process: one effect, exact undo, nothing of others."""

from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ValidationError

from airlock.base.errors import InDoubt, SecretError, Stale, ToolFailed
from airlock.plans.refs import UNKNOWN
from airlock.tools import ghl_create_contact, ghl_search, ghl_update_contact
from tests.tools.conftest import JO

Make = Callable[..., Any]


async def test_search(runner: Make, crm: Any) -> None:
    crm.add(email="jo@acme.test", name="Jo Doe", tags=["vip"])
    crm.add(email="al@other.test", name="Al")
    tool = runner(ghl_search, crm.settings)
    found = await tool.live(query="acme")
    assert found["total"] == 1
    assert found["contacts"][0]["email"] == "jo@acme.test"
    assert set(found["contacts"][0]) == {"id", "email", "name", "firstName", "lastName", "phone", "tags"}
    preview = await tool.dry_run(query="acme")
    assert (preview.effect, preview.output) == ("Would find 1 contacts for 'acme'.", found)
    behind = await tool.dry_run(follows_writes=True, query="acme")
    assert behind.effect == "Would search for 'acme', which finds 1 contacts now.", "its plan may write others before"
    assert (await tool.live(query="nobody at all")) == {"contacts": [], "total": 0}
    assert (await tool.live(query="test", limit=1))["total"] == 2
    assert (await tool.mock(query="jo@x.test"))["contacts"][0]["email"] == "jo@x.test"


async def test_create_and_undo(runner: Make, crm: Any) -> None:
    tool = runner(ghl_create_contact, crm.settings)
    preview = await tool.dry_run(**JO)
    assert crm.contacts() == []
    assert preview.observed == "no contact with that email"
    assert preview.output["contact"]["id"] == UNKNOWN
    call = tool.call(observed=preview.observed)
    output = await tool.live(call, **JO)
    (contact,) = crm.contacts()
    assert {**JO, "firstName": "Jo", "lastName": "Doe", "id": contact["id"]} == output["contact"]
    assert {name: contact[name] for name in output["contact"]} == output["contact"]
    known = {name: value for name, value in preview.output["contact"].items() if value != UNKNOWN}
    assert known == {name: output["contact"][name] for name in known}
    for _ in range(2):
        await tool.undo(call.undo, **JO)
        assert crm.contacts() == []


async def test_create_twice_under_one_key_is_one_contact(runner: Make, crm: Any) -> None:
    tool = runner(ghl_create_contact, crm.settings)
    first, second = tool.call(observed="no contact with that email"), tool.call(attempt=2)
    output = await tool.live(first, **JO)
    assert await tool.live(second, **JO) == output
    assert second.undo == first.undo
    assert len(crm.contacts()) == 1
    answer = await tool.probe(third := tool.call(), **JO)
    assert (answer.happened, answer.output, third.undo) == (True, output, first.undo)


async def test_create_is_refused_where_there_is_one(runner: Make, crm: Any) -> None:
    tool = runner(ghl_create_contact, crm.settings)
    observed = (await tool.dry_run(**JO)).observed
    theirs = crm.add(email="JO@acme.test", name="Somebody")
    with pytest.raises(ToolFailed, match=f"already has a contact with jo@acme.test: {theirs['id']}"):
        await tool.dry_run(**JO)
    for call in (tool.call(observed=observed), tool.call(observed=observed, attempt=2)):
        with pytest.raises(Stale):
            await tool.live(call, **JO)
        assert call.undo is None
    with pytest.raises(ToolFailed, match="already has"):
        await tool.live(**JO)
    assert crm.contacts() == [theirs]
    assert (await tool.probe(**JO)).happened is None


async def test_undo_of_create_leaves_alone_what_somebody_changed(runner: Make, crm: Any) -> None:
    tool = runner(ghl_create_contact, crm.settings)
    call = tool.call()
    contact_id = (await tool.live(call, **JO))["contact"]["id"]
    crm.request("PUT", f"/contacts/{contact_id}", json={"phone": "+1"})
    with pytest.raises(ToolFailed, match="changed by another user"):
        await tool.undo(call.undo, **JO)
    assert len(crm.contacts()) == 1
    crm.request("PUT", f"/contacts/{contact_id}", json={"phone": JO["phone"]})
    await tool.undo(call.undo, **JO)  # what it is counts, not when it was touched last
    assert crm.contacts() == []


@pytest.mark.parametrize("happened", [True, False])
async def test_create_whose_answer_is_lost_is_in_doubt_until_the_probe(runner: Make, crm: Any, happened: bool) -> None:
    tool = runner(ghl_create_contact, crm.settings)
    crm.fault(method="POST", path_prefix="/contacts", drop=True, after_effect=happened)
    call = tool.call()
    with pytest.raises(InDoubt):
        await tool.live(call, **JO)
    assert len(crm.contacts()) == happened
    assert (await tool.probe(**JO)).happened is happened
    again = tool.call(attempt=2)
    output = await tool.live(again, **JO)
    assert [contact["id"] for contact in crm.contacts()] == [output["contact"]["id"]]
    await tool.undo(again.undo, **JO)
    await tool.undo(call.undo, **JO)
    assert crm.contacts() == []


@pytest.mark.parametrize("happened", [True, False])
async def test_a_500_leaves_a_token_whose_undo_looks(runner: Make, crm: Any, happened: bool) -> None:
    tool = runner(ghl_create_contact, crm.settings)
    crm.fault(method="POST", path_prefix="/contacts", status=500, after_effect=happened)
    call = tool.call()
    with pytest.raises(InDoubt, match="answered 500"):
        await tool.live(call, **JO)
    for _ in range(2):
        await tool.undo(call.undo, **JO)
        assert crm.contacts() == []


@pytest.mark.parametrize(("status", "retry"), [(401, False), (422, False), (429, True)])
async def test_a_refusal_had_no_effect(runner: Make, crm: Any, status: int, retry: bool) -> None:
    for tool, args in (
        (runner(ghl_create_contact, crm.settings), JO),
        (runner(ghl_search, crm.settings), {"query": "x"}),
    ):
        crm.fault(method="POST", path_prefix="/contacts", status=status)
        call = tool.call()
        with pytest.raises(ToolFailed, match=f"answered {status}") as refusal:
            await tool.live(call, **args)
        assert refusal.value.retry is retry
        assert call.undo is None
    assert crm.contacts() == []


async def test_dry_runs_of_what_only_live_can_know(runner: Make, crm: Any) -> None:
    create, update = runner(ghl_create_contact, crm.settings), runner(ghl_update_contact, crm.settings)
    assert (await create.dry_run(**{**JO, "email": UNKNOWN}, unknown=("email",))).observed is None
    assert (await create.dry_run(**{**JO, "name": UNKNOWN}, unknown=("name",))).observed is not None
    preview = await update.dry_run(contact_id=UNKNOWN, phone="+1", unknown=("contact_id",))
    assert "known after live" in preview.effect
    assert preview.observed is None
    assert (await create.mock(**JO))["contact"]["email"] == JO["email"]
    assert (await update.mock(contact_id="c", phone="+1"))["contact"]["phone"] == "+1"


async def test_refusals_name_what_is_wrong_and_never_the_token(runner: Make, crm: Any) -> None:
    with pytest.raises(ToolFailed, match=r"settings\.ghl\.location_id is not set"):
        await runner(ghl_search).live(query="x")
    with pytest.raises(SecretError):
        await runner(ghl_search, {**crm.settings, "token_secret": "OTHER"}).live(query="x")
    nowhere = runner(ghl_create_contact, {**crm.settings, "base_url": "http://127.0.0.1:9"})
    call = nowhere.call()
    with pytest.raises(ToolFailed, match="was not sent") as refusal:
        await nowhere.live(call, **JO)
    assert refusal.value.retry
    assert call.undo is None
    for email in ("jo", "jo@", "@x", "a b@x", "a@b@c", "jo@acme.test\nBcc: x@y"):
        with pytest.raises(ValidationError):
            ghl_create_contact.arguments.model_validate({"email": email})
    with pytest.raises(ValidationError):
        ghl_update_contact.arguments.model_validate({"contact_id": "x"})
    with pytest.raises(ToolFailed, match="undo token"):
        await runner(ghl_create_contact, crm.settings).undo({}, **JO)
    with pytest.raises(ToolFailed, match="undo token"):
        await runner(ghl_update_contact, crm.settings).undo({}, contact_id="x", phone="1")


@pytest.mark.parametrize("contact_id", ["", "../../_sandbox/reset", "search/duplicate?x=1", "..", "%2e%2e", "a b"])
def test_ids_cannot_reach_other_paths(contact_id: str) -> None:
    with pytest.raises(ValidationError, match="not the id of a contact"):
        ghl_update_contact.arguments.model_validate({"contact_id": contact_id, "phone": "1"})
