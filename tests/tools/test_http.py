"""`http_request` and the tools `http_tool` makes, against a real HTTP service."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx
import pytest
from pydantic import ValidationError

from airlock.base.errors import ContractError, InDoubt, ToolFailed
from airlock.plans.contract import Reversibility, Risk
from airlock.plans.refs import UNKNOWN
from airlock.plans.tool import Tool
from airlock.tools import http_request
from airlock.tools.http_routes import http_tool
from airlock.tools.outcomes import Asked
from airlock.tools.web import TargetRefused, _failure

Make = Callable[..., Any]


@pytest.fixture
def base(crm: Any) -> str:
    return str(crm.settings["base_url"]).rstrip("/")


@pytest.fixture
def allowed(base: str) -> dict[str, Any]:
    return {"allow_hosts": base.removeprefix("http://"), "timeout": 60}


@pytest.mark.parametrize(
    ("args", "reads"),
    [
        ({}, True), ({"method": "get"}, True), ({"method": "HEAD"}, True), ({"method": "OPTIONS"}, True),
        ({"method": "POST"}, False), ({"method": "DELETE"}, False), ({"method": {"$ref": "a.method"}}, False),
        ({"method": 7}, False),
    ],
)  # fmt: skip
def test_the_contract_depends_on_the_method(args: dict[str, Any], reads: bool) -> None:
    contract = http_request.contract({"url": "http://x.test", **args})
    assert contract.risk is (Risk.LOW if reads else Risk.HIGH)
    assert contract.reversibility is (Reversibility.READ_ONLY if reads else Reversibility.IRREVERSIBLE)
    assert contract.attempts(checked=False) == (3 if reads else 1)
    assert contract.permissions == (("http:read",) if reads else ("http:write",))


async def test_get_reads_json_and_text_and_its_dry_run_is_the_request(runner: Make, base: str, allowed: Any) -> None:
    tool = runner(http_request, allowed)
    found = await tool.live(url=f"{base}/health")
    assert found == {"status": 200, "headers": {"content-type": "application/json"}, "body": {"ok": True}}
    preview = await tool.dry_run(url=f"{base}/health?token=x")
    assert preview.output == found
    assert preview.effect == f"Would GET {base}/health, which is answered 200 now."
    assert "ACME Robotics" in (await tool.live(url=f"{base}/page"))["body"]
    assert (await tool.mock(url=f"{base}/page"))["status"] == 200


async def test_a_write_is_previewed_without_being_made(runner: Make, crm: Any, base: str, allowed: Any) -> None:
    tool = runner(http_request, allowed)
    args = {"url": f"{base}/billing/accounts", "method": "POST", "body": {"name": "ACME"}, "headers": {"X-Key": "s3cret"}}
    preview = await tool.dry_run(**args)
    assert preview.effect == f"Would POST {base}/billing/accounts with a body of 16 bytes and the headers X-Key."
    assert preview.output == UNKNOWN
    assert crm.requests("POST") == []
    output = await tool.live(**args)
    assert output["status"] == 201
    assert [account["id"] for account in crm.accounts()] == [output["body"]["id"]]
    assert [request["idempotency_key"] for request in crm.requests("POST")] == [tool.key]
    assert (await tool.mock(**args))["body"] == UNKNOWN


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://127.0.0.1/x", "not in settings.http.allow_hosts"),
        ("http://localhost:1/x", "not in settings.http.allow_hosts"),
        ("https://example.test/", "not in settings.http.allow_hosts"),
        ("http://HOST@evil.test/", "credentials"),
        ("http://user:pass@HOST/", "credentials"),
        ("http://evil.test#@HOST/", "not in settings.http.allow_hosts"),
        ("ftp://HOST/x", "must begin with http"),
        ("file:///etc/passwd", "must begin with http"),
        ("nonsense-of-a-url", "must begin with http"),
        ("http://[::1/x", "not a URL"),
        ("http://xn--a.test/x", "not a URL"),
    ],
)
async def test_hosts_that_are_not_allowed(runner: Make, base: str, allowed: Any, url: str, message: str) -> None:
    tool = runner(http_request, allowed)
    for method in ("GET", "POST"):
        for attempt in (tool.dry_run, tool.live):
            with pytest.raises(ToolFailed, match=message):
                await attempt(url=url.replace("HOST", base.removeprefix("http://")), method=method)


async def test_no_host_is_allowed_unless_the_operator_says_so(runner: Make, base: str) -> None:
    with pytest.raises(ToolFailed, match="allowed: none"):
        await runner(http_request).live(url=f"{base}/health")
    with pytest.raises(ToolFailed, match="allow_hosts"):
        await runner(http_request, {"allow_hosts": ["127.0.0.1"]}).live(url=f"{base}/health")


@pytest.mark.parametrize("status", [404, 410])
async def test_a_read_behind_own_writes_may_find_nothing_yet(
    runner: Make, crm: Any, base: str, allowed: Any, status: int
) -> None:
    route = http_tool(
        name="look_up", method="GET", url=f"{base}/billing/accounts/{{id}}", risk="LOW", reversibility="read_only"
    )
    for tool, args in (
        (runner(http_request, allowed), {"url": f"{base}/billing/accounts/9"}),
        (runner(route, allowed), {"params": {"id": 9}}),
    ):
        crm.fault(status=status)
        with pytest.raises(ToolFailed, match=f"answered {status}"):
            await tool.dry_run(**args)
        crm.fault(status=status)
        preview = await tool.dry_run(follows_writes=True, **args)
        assert preview.effect.endswith(f"answered {status} now; earlier steps of the plan may make it.")
        assert preview.output == UNKNOWN
        crm.fault(status=403)
        with pytest.raises(ToolFailed, match="answered 403"):
            await tool.dry_run(follows_writes=True, **args)


@pytest.mark.parametrize(
    ("fault", "method", "error", "retry"),
    [
        ({"status": 404}, "GET", ToolFailed, False),
        ({"status": 404}, "POST", ToolFailed, False),
        ({"status": 302}, "GET", ToolFailed, False),
        *(({"status": status}, "POST", ToolFailed, True) for status in (421, 423, 429)),
        ({"status": 500}, "GET", ToolFailed, True),
        ({"status": 408}, "GET", ToolFailed, True),
        *(({"status": status, "after_effect": True}, "POST", InDoubt, None) for status in (303, 408, 500, 503, 504)),
        ({"drop": True}, "GET", ToolFailed, True),
        ({"drop": True}, "POST", InDoubt, None),
        ({"delay_seconds": 30}, "POST", InDoubt, None),
        ({"delay_seconds": 30}, "GET", ToolFailed, True),
    ],
)
async def test_what_a_failure_means(
    runner: Make, crm: Any, base: str, allowed: Any, fault: Any, method: str, error: type[Exception], retry: bool | None
) -> None:
    crm.fault(**fault)
    tool = runner(http_request, {**allowed, "timeout": 2} if "delay_seconds" in fault else allowed)
    with pytest.raises(error) as raised:
        await tool.live(url=f"{base}/billing/accounts?secret=1", method=method, body={"a": 1} if method == "POST" else None)
    assert "secret" not in str(raised.value)
    assert getattr(raised.value, "retry", None) is retry
    if "status" in fault:
        assert f"answered {fault['status']}" in str(raised.value)


SERVER_TIME = {"date": "Wed, 21 Oct 2026 07:28:00 GMT"}


@pytest.mark.parametrize("status", [421, 423, 429, 503])
@pytest.mark.parametrize(
    ("headers", "after"),
    [
        ({}, 0.0),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "7200"}, 7_200.0),
        ({"retry-after": "99999"}, 99_999.0),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:10 GMT", **SERVER_TIME}, 10.0),
        ({"retry-after": "Wed, 21 Oct 2026 08:28:10 +0100", **SERVER_TIME}, 10.0),
        ({"retry-after": "Wed, 21 Oct 2026 07:27:00 GMT", **SERVER_TIME}, 0.0),
        ({"retry-after": "Thu, 21 Oct 2027 07:28:10 GMT", **SERVER_TIME}, 365 * 86_400.0 + 10),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:10 GMT"}, 0.0),
        ({"retry-after": "soon"}, 0.0),
        ({"retry-after": "-5"}, 0.0),
        ({"retry-after": "+5"}, 0.0),
        ({"retry-after": "1e3"}, 0.0),
        ({"retry-after": "nan"}, 0.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after": "7200.5"}, 7_200.5),
        ({"retry-after": " 7 "}, 7.0),
        ([("retry-after", "3"), ("retry-after", "7200")], 7_200.0),
        ([("retry-after", "soon"), ("retry-after", "7")], 7.0),
        ({"retry-after": "Wed Oct 21 07:28:10 2026", **SERVER_TIME}, 10.0),
        ({"retry-after": "Wednesday, 21-Oct-26 07:28:10 GMT", **SERVER_TIME}, 10.0),
        ({"retry-after": "Wed, 21 Oct 99999999999999999999 07:28:10 GMT"}, 0.0),
        ({"retry-after": "9" * 400}, 366 * 86_400.0),
    ],
)
def test_how_long_a_server_asks_to_wait_is_passed_on(status: int, headers: Any, after: float) -> None:
    refusal = _failure(Asked.HTTP_READ, "GET http://x.test", httpx.Response(status, headers=headers), "")
    assert isinstance(refusal, TargetRefused)
    assert (refusal.retry, refusal.after) == (True, after)
    of_write = _failure(Asked.HTTP_WRITE, "POST http://x.test", httpx.Response(status, headers=headers), "")
    assert type(of_write) is (InDoubt if status == 503 else TargetRefused)
    assert of_write.after == after


@pytest.mark.parametrize("asked", [Asked.HTTP_WRITE, Asked.HTTP_REMOVAL, Asked.HTTP_READ])
@pytest.mark.parametrize("status", [403, 409, 413])
@pytest.mark.parametrize(
    ("headers", "retry", "after"),
    [
        ({"retry-after": "7"}, True, 7.0),
        ({"retry-after": "0"}, True, 0.0),
        ({}, False, 0.0),
        ({"retry-after": "soon"}, False, 0.0),
    ],
)
def test_a_refusal_for_now_is_asked_again_when_its_time_has_come(
    asked: Asked, status: int, headers: Any, retry: bool, after: float
) -> None:
    refusal = _failure(asked, "POST http://x.test", httpx.Response(status, headers=headers), "")
    assert isinstance(refusal, TargetRefused)
    assert (refusal.retry, refusal.after) == (retry, after)


@pytest.mark.parametrize("status", [302, 308])
def test_a_redirect_for_later_is_not_asked_again_by_a_read(status: int) -> None:
    refusal = _failure(Asked.HTTP_READ, "GET http://x.test", httpx.Response(status, headers={"retry-after": "7"}), "")
    assert isinstance(refusal, TargetRefused)
    assert not refusal.retry


def test_a_date_without_the_servers_own_time_is_taken_by_this_machines_clock() -> None:
    when = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    refusal = _failure(Asked.HTTP_WRITE, "PUT http://x.test", httpx.Response(429, headers={"retry-after": when}), "")
    assert isinstance(refusal, TargetRefused)
    assert 50 < refusal.after <= 60


async def test_a_service_that_is_down_had_no_effect(runner: Make) -> None:
    tool = runner(http_request, {"allow_hosts": ["127.0.0.1:9"]})
    for attempt in (tool.dry_run, tool.live):
        for method in ("GET", "POST"):
            with pytest.raises(ToolFailed) as refusal:
                await attempt(url="http://127.0.0.1:9/", method=method)
            assert refusal.value.retry


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 502 Bad\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\nno TLS"])
async def test_what_a_proxy_did_not_pass_on_was_not_sent(
    runner: Make, monkeypatch: pytest.MonkeyPatch, answer: bytes
) -> None:
    """A request to connect is not the request: whatever becomes of it, the target was not asked."""
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(answer)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.sockets[0].getsockname()[1]}")
        monkeypatch.setenv("NO_PROXY", "")
        tool = runner(http_request, {"allow_hosts": ["api.test"], "trust_environment": True})
        with pytest.raises(ToolFailed, match="was not sent") as refusal:
            await tool.live(url="https://api.test/charge", method="POST", body={"amount": 5})
    assert refusal.value.retry
    assert asked[0].startswith(b"CONNECT api.test:443")


@pytest.mark.parametrize(("name", "value"), [("HTTP_PROXY", "nonsense://x"), ("SSL_CERT_FILE", "/none/of/these")])
async def test_an_environment_that_cannot_be_used_leaves_no_doubt(
    runner: Make, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    tool = runner(http_request, {"allow_hosts": ["api.test"], "trust_environment": True})
    with pytest.raises(ToolFailed, match="trust_environment: its variables cannot be used"):
        await tool.live(url="http://api.test/charge", method="POST", body={"amount": 5})


async def test_answers_are_bounded_and_credentials_stay_out_of_errors(
    runner: Make, crm: Any, base: str, allowed: Any
) -> None:
    large = {"name": "x" * 70_000}
    tool = runner(http_request, allowed)
    output = await tool.live(url=f"{base}/billing/accounts", method="POST", body=large)
    assert output["body"] is None
    assert "left out" in output["note"]
    assert len(crm.accounts()) == 1
    with pytest.raises(ToolFailed, match="larger than"):
        await tool.live(url=f"{base}/billing/accounts")
    with pytest.raises(ToolFailed) as refusal:
        await tool.live(url=f"{base}/nope", headers={"X-Token": "/nope" + "x" * 10})
    assert "Cannot GET /nope" in str(refusal.value)


@pytest.mark.parametrize("headers", [{"Host": "evil.test"}, {"Content-Length": "3"}, {"X": "a\r\nY: b"}, {"X": "é☃"}])
async def test_headers_that_would_change_the_request(runner: Make, base: str, allowed: Any, headers: Any) -> None:
    with pytest.raises(ToolFailed):
        await runner(http_request, allowed).live(url=f"{base}/health", headers=headers)


def test_arguments_that_do_not_fit() -> None:
    for wrong in ({"method": "TRACE"}, {"redirect": True}, {"query": {"a": [1]}}):
        with pytest.raises(ValidationError):
            http_request.arguments.model_validate({"url": "http://x.test", **wrong})


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
