"""Requests before approval, read from the log of the host they reach; and the history, which holds no secret."""

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest

from airlock.activities.toolbox import Toolbox
from airlock.admission.policy import Policy
from airlock.client import Airlock
from airlock.plans.catalogue import Catalogue
from airlock.tools import http_request
from airlock.worker.roles import build_workers
from sandbox.processes import SandboxProcess, start
from tests import running
from tests.processes.roles import decoded
from tests.workflows.conftest import approved, awaiting, namespace, step

SECRET = "tok_live_0123456789/EXAMPLE+"
AGENTS = {
    "stranger": {"secrets": ["API_TOKEN"]},
    "thief": {"permissions": ["http:read", "http:write"], "secrets": ["OTHER"]},
    "reader": {"permissions": ["http:read"], "secrets": ["API_TOKEN"]},
    "writer": {"permissions": ["http:write"], "secrets": ["API_TOKEN"]},
}
TOKEN = {"$secret": "API_TOKEN"}


@pytest.fixture
def host() -> Iterator[SandboxProcess]:
    with start("crm", token="unused") as process:
        yield process


@pytest.fixture
async def door(dev_server: Any, host: SandboxProcess, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Airlock]:
    monkeypatch.setenv("AIRLOCK_SECRET_API_TOKEN", SECRET + "\n")
    client = await namespace(dev_server.client, "reads-before-approval")
    settings = {"http": {"allow_hosts": [host.url.removeprefix("http://")], "timeout": 60}}
    toolbox = Toolbox(Catalogue([http_request], settings=settings), Policy.model_validate({"agents": AGENTS}))
    async with running.running(build_workers(client, toolbox)):
        yield Airlock(client)


def reached(host: SandboxProcess) -> list[tuple[str, str]]:
    with httpx.Client(base_url=host.url, trust_env=False) as client:
        return [(each["method"], each["path"]) for each in client.get("/_sandbox/log").json()["requests"]]


def get(agent: str, url: str, **args: Any) -> dict[str, Any]:
    return step("get", "http_request", agent=agent, url=url, **args)


async def test_nothing_reaches_a_host_before_approval_that_the_agent_may_not_do(
    door: Airlock, host: SandboxProcess, plan: Any
) -> None:
    page = f"{host.url}/page"
    handle = await door.submit(plan(get("stranger", page, query={"key": TOKEN}, headers={"X-Api-Key": TOKEN})))
    result = await handle.result()
    assert (result.outcome, result.outputs) == ("rehearsed", {})
    assert "lacks permission http:read" in (await handle.status()).model_dump_json()
    stolen = await door.submit(plan(get("thief", page, headers={"X-Api-Key": TOKEN})))
    result = await stolen.result()
    assert result.outcome == "aborted"
    assert "agent 'thief' may not use the secret 'API_TOKEN'" in result.why
    assert reached(host) == []

    write = step("post", "http_request", agent="writer", method="POST", url=f"{host.url}/billing/accounts")
    write["args"] |= {"headers": {"Authorization": TOKEN}, "body": {"name": "ACME"}}
    handle = await door.submit(plan(write))
    await awaiting(handle)
    assert reached(host) == [], "a write is only looked at"
    await approved(handle)
    assert (await handle.result()).outcome == "completed"
    assert reached(host) == [("POST", "/billing/accounts")]

    allowed = await door.submit(plan(get("reader", page, headers={"X-Api-Key": TOKEN})))
    await awaiting(allowed)
    assert reached(host)[1:] == [("GET", "/page")], "this agent may read, with this secret"

    for each in (stolen, handle, allowed):
        text = "\n".join(await decoded(json.loads((await each.workflow.fetch_history()).to_json())))
        assert "API_TOKEN" in text
        assert SECRET not in text
