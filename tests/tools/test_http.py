"""`http_request` against a real HTTP service: what it reads, previews, refuses, and what a failure means."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ValidationError

from airlock.base.errors import InDoubt, ToolFailed
from airlock.plans.contract import Reversibility, Risk
from airlock.plans.refs import UNKNOWN
from airlock.tools import http_request
from airlock.tools.http_routes import http_tool
from tests.loopback_server import loopback_server

Make = Callable[..., Any]


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

    async with loopback_server(serve) as port:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
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
