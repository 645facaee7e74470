"""The tools that `http_tool` makes of an operator's routes, against a real HTTP service."""

from collections.abc import Callable
from typing import Any

import pytest

from airlock.base.errors import ContractError, InDoubt, ToolFailed
from airlock.plans.contract import Risk
from airlock.plans.refs import UNKNOWN
from airlock.plans.tool import Tool
from airlock.tools import http_request
from airlock.tools.http_routes import http_tool

Make = Callable[..., Any]


@pytest.fixture
def open_account(base: str) -> Tool:
    return http_tool(
        name="open_account", method="POST", url=f"{base}/billing/accounts", risk="MEDIUM", reversibility="reversible",
        undo_url=f"{base}/billing/accounts/{{id}}", permissions={"billing:write"},
    )  # fmt: skip


async def test_a_route_of_the_operator_with_its_undo(runner: Make, crm: Any, allowed: Any, open_account: Tool) -> None:
    contract = open_account.contract()
    assert (contract.risk, contract.undoable, contract.permissions) == (Risk.MEDIUM, True, ("billing:write",))
    tool = runner(open_account, allowed)
    preview = await tool.dry_run(body={"name": "ACME"})
    assert preview.undo is not None
    assert "DELETE" in preview.undo
    assert crm.requests("POST") == []
    first, second = tool.call(), tool.call(attempt=2)
    output = await tool.live(first, body={"name": "ACME"})
    assert await tool.live(second, body={"name": "ACME"}) == output
    assert second.undo == first.undo
    assert len(crm.accounts()) == 1
    for _ in range(2):
        await tool.undo(first.undo, body={"name": "ACME"})
        assert crm.accounts() == []
    assert (await tool.mock(body={"name": "x"}))["body"] == UNKNOWN


async def test_a_route_fails_as_a_request_does(runner: Make, crm: Any, allowed: Any, open_account: Tool) -> None:
    tool = runner(open_account, allowed)
    crm.fault(method="POST", status=500)
    call = tool.call()
    with pytest.raises(InDoubt, match="answered 500"):
        await tool.live(call, body={"name": "x"})
    assert call.undo is None
    with pytest.raises(ToolFailed, match="no undo token"):
        await tool.undo(None, body={"name": "x"})
    await tool.live(call, body={"name": "x"})
    crm.fault(method="DELETE", status=500)
    with pytest.raises(InDoubt, match="answered 500"):
        await tool.undo(call.undo, body={"name": "x"})
    assert len(crm.accounts()) == 1
    crm.fault(method="DELETE", status=500, after_effect=True)
    with pytest.raises(InDoubt, match="answered 500"):
        await tool.undo(call.undo, body={"name": "x"})
    await tool.undo(call.undo, body={"name": "x"})
    assert crm.accounts() == [], "the second attempt finds it gone, which is what an undo wants"
    with pytest.raises(ToolFailed, match="allow_hosts"):
        await runner(open_account, {"allow_hosts": []}).dry_run()


async def test_a_route_without_an_id_to_undo_says_so(runner: Make, crm: Any, base: str, allowed: Any) -> None:
    made = http_tool(
        name="t", method="post", url=f"{base}/billing/accounts", risk="LOW", reversibility="compensable",
        undo_url=f"{base}/x/{{no.such.field}}", secret_headers={"Authorization": "GHL_TOKEN"},
    )  # fmt: skip
    tool = runner(made, allowed)
    call = tool.call()
    await tool.live(call, body={"name": "x"})
    assert len(crm.accounts()) == 1
    with pytest.raises(ToolFailed, match=r"there is no 'no\.such\.field'"):
        await tool.undo(call.undo)


async def test_a_route_that_reads_and_one_with_parameters(runner: Make, crm: Any, base: str, allowed: Any) -> None:
    read = http_tool(
        name="account", method="GET", url=f"{base}/billing/accounts/{{id}}", risk="LOW", reversibility="read_only"
    )
    tool = runner(read, allowed)
    with pytest.raises(ToolFailed, match="no 'id' to put into"):
        await tool.live()
    with pytest.raises(ToolFailed, match="no 'id' to put into"):
        await tool.live(params={"id": ".."})
    with pytest.raises(ToolFailed, match="answered 404"):
        await tool.live(params={"id": "../../_sandbox/contacts"})
    await runner(http_request, allowed).live(url=f"{base}/billing/accounts", method="POST", body={"name": "x"})
    (account,) = crm.accounts()
    assert (await tool.dry_run(params={"id": account["id"]})).output["body"]["id"] == account["id"]


@pytest.mark.parametrize(
    "promises",
    [
        {"risk": "MEDIUM", "reversibility": "reversible"},
        {"risk": "HIGH", "reversibility": "irreversible", "undo_url": "http://x.test/{id}"},
        {"risk": "SOME", "reversibility": "irreversible"},
        {"risk": "LOW", "reversibility": "irreversible", "surprise": 1},
    ],
)
def test_a_route_that_contradicts_itself_is_refused_at_start(promises: dict[str, Any]) -> None:
    with pytest.raises(ContractError):
        http_tool(name="t", method="POST", url="http://x.test", **promises)
