"""The server over HTTP: tokens, hosts, tasks, and `kill -9` of everything that a task lives through."""

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError

from tests.mcp_server.place import AGENT, OTHER, Place, asked, reaches, write_plan
from tests.mcp_server.tasks_client import Got, OptsIn, created, task
from tests.processes.harness import ROOT, until

DISCOVER = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
ACCEPT = {"Accept": "application/json, text/event-stream"}


@asynccontextmanager
async def connected(url: str, token: str, *, tasks: bool = False) -> AsyncIterator[Client]:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=90, trust_env=False) as http,
        Client(streamable_http_client(url, http_client=http), extensions=[OptsIn()] if tasks else []) as client,
    ):
        yield client


async def token_of(place: Place, agent: str) -> str:
    said = await place.person("mcp", "--new-token", "--agent", agent, "--tokens", str(place.folder / "tokens"))
    return said.splitlines()[0]


async def got(client: Client, task_id: str, status: str) -> Got:
    async def there() -> Any:
        found = await task(client, "get", task_id)
        return found if found.status == status else None

    answer: Got = await until(there, f"{task_id} does not become {status}")
    return answer


async def test_only_tokens_are_let_in_and_each_speaks_for_its_agent(place: Place) -> None:
    mine, others = await token_of(place, AGENT), await token_of(place, OTHER)
    tokens = place.folder / "tokens"
    assert mine not in tokens.read_text()
    url = await place.listen("--tokens", str(tokens))
    async with httpx.AsyncClient(trust_env=False, timeout=60) as http:
        for header in (None, "Bearer", f"Bearer {mine}x", f"Basic {mine}", mine):
            headers = {**ACCEPT, **({"Authorization": header} if header else {})}
            refused = await http.post(url, json=DISCOVER, headers=headers)
            assert refused.status_code == 401
            assert refused.headers["www-authenticate"].startswith('Bearer realm="airlock"')
        proof = {**ACCEPT, "Authorization": f"Bearer {mine}"}
        for foreign in ({"Host": "evil.example"}, {"Origin": "http://evil.example"}):
            assert (await http.post(url, json=DISCOVER, headers={**proof, **foreign})).status_code in (403, 421)

    async with connected(url, mine) as client, connected(url, others) as other:
        assert (await asked(client, "list_tools", names=["file_write"]))["agent"] == AGENT
        assert (await asked(other, "list_tools", names=["file_write"]))["agent"] == OTHER
        plan_id = (await asked(client, "propose_plan", plan=write_plan("http/one.md")))["plan_id"]
        assert (await reaches(client, plan_id, "waiting_for_approval"))["ok"]
        assert not (await asked(other, "plan_status", plan_id=plan_id))["ok"]

    kept = [line for line in tokens.read_text().splitlines() if not line.endswith(f" {AGENT}")]
    tokens.write_text("\n".join(kept) + "\n")
    async with httpx.AsyncClient(trust_env=False, timeout=60) as http:
        assert (await http.post(url, json=DISCOVER, headers=proof)).status_code == 401


async def test_a_task_lives_through_the_death_of_everything(place: Place) -> None:
    url = await place.listen("--agent", AGENT)
    async with connected(url, "", tasks=True) as client:
        found = await created(client, write_plan("http/killed.md"))
        plan_id = found["task_id"]
        assert (found["status"], found["ttl_ms"]) == ("working", None)
        await reaches(client, plan_id, "waiting_for_approval")
        # an answer to a task is no approval, whatever it says
        await task(client, "update", plan_id, approve={"action": "accept", "content": {"by": "alice", "approve": True}})
        assert (await task(client, "get", plan_id)).status == "working"

    for process in (place.doors[-1], place.workers[-1]):
        process.kill()
    place.server.kill()
    await place.server.start()
    url = await place.listen("--agent", AGENT)
    async with connected(url, "", tasks=True) as client:
        assert (await task(client, "get", plan_id)).status == "working"  # without any worker
        await place.work()
        again = await created(client, write_plan("http/killed.md"))
        assert again["task_id"] == plan_id
        # the server of Temporal goes once more, under a door that stays
        place.server.kill()
        refused = await asked(client, "plan_status", plan_id=plan_id)
        assert refused["problems"][0]["reason"] == "Temporal does not answer"
        await place.server.start()
        await reaches(client, plan_id, "waiting_for_approval")
        await place.approve(plan_id)
        ended = await got(client, plan_id, "completed")
        assert ended.result is not None
        assert ended.result["structuredContent"]["in_effect"] == ["w"]
        assert not ended.result["isError"]
        assert (place.files / "http/killed.md").read_text() == "hello"


async def test_tasks_are_cancelled_denied_and_unknown(place: Place) -> None:
    url = await place.listen("--agent", AGENT)
    async with connected(url, "", tasks=True) as client, connected(url, "") as without:
        cancelled = (await created(client, write_plan("http/cancelled.md")))["task_id"]
        await reaches(client, cancelled, "waiting_for_approval")
        await task(client, "cancel", cancelled)
        await got(client, cancelled, "cancelled")
        await task(client, "cancel", cancelled)  # once more changes nothing

        denied = (await created(client, write_plan("http/denied.md")))["task_id"]
        await reaches(client, denied, "waiting_for_approval")
        await place.person("deny", denied, "--by", "bob", "--reason", "not today")
        ended = await got(client, denied, "completed")
        assert ended.result is not None
        assert ended.result["isError"]
        assert "Do not repeat the call unless the user asks." in ended.result["structuredContent"]["next"]

        refused = await created(client, {"steps": []})
        assert not refused["ok"]
        with pytest.raises(MCPError, match="proposed no plan"):
            await task(client, "get", "no-such-plan")
        with pytest.raises(MCPError, match="did not declare"):
            await task(without, "get", cancelled)
        again = await asked(without, "propose_plan", plan=write_plan("http/denied.md"))
        assert (again["plan_id"], again["already_proposed"]) == (denied, True)


async def test_a_host_of_the_older_protocol_is_served_too(place: Place) -> None:
    url = await place.listen("--agent", AGENT)
    for server in (url, place.stdio()):
        async with Client(server, mode="legacy") as client:
            assert client.session.protocol_version < "2026"
            assert "propose_plan" in [tool.name for tool in (await client.list_tools()).tools]
            proposed = await asked(client, "propose_plan", plan=write_plan("http/older.md"))
            assert (await reaches(client, proposed["plan_id"], "waiting_for_approval"))["ok"]


async def test_ctrl_c_ends_it_and_others_are_not_let_in(place: Place) -> None:
    await place.listen("--agent", AGENT)
    place.doors[-1]._process.send_signal(signal.SIGINT)
    assert await place.doors[-1].code() == 0
    assert "Traceback" not in place.doors[-1].said()
    command = [sys.executable, str(ROOT / "starter.py"), "mcp", "--agent", AGENT]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, env=place.environment, **pipes) as stdio:
        assert stdio.stdin is not None
        assert stdio.stdout is not None
        params = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
        hello = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params}
        stdio.stdin.write(json.dumps(hello).encode() + b"\n")
        stdio.stdin.flush()
        assert b"Airlock" in await asyncio.to_thread(stdio.stdout.readline)
        stdio.send_signal(signal.SIGINT)
        said, complained = await asyncio.to_thread(stdio.communicate, timeout=120)
        assert (stdio.returncode, said) == (0, b"")
        assert b"Traceback" not in complained
    said = await asyncio.gather(
        place.person("mcp", "--http", "--host", "0.0.0.0", "--agent", AGENT, "--json", code=1),
        place.person("mcp", "--http", "--json", code=2),
        place.person("mcp", "--agent", "airlock", "--json", code=1),
    )
    assert "give the tokens" in said[0]
