"""Whole plans against targets that answer badly: what a write did is never guessed, and a dry run looks or says that not."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from airlock.activities.rehearsals import rehearsal_tries
from airlock.activities.toolbox import Toolbox
from airlock.admission.policy import Policy
from airlock.client import Airlock
from airlock.plans.catalogue import Catalogue
from airlock.plans.state import State
from airlock.tools import http_request, send_email
from airlock.tools.http_routes import http_tool
from airlock.worker.roles import build_workers
from sandbox.processes import SandboxProcess, start
from tests import running
from tests.docs.fences import ROOT
from tests.tools.scripted_smtp import scripted
from tests.workflows.conftest import _NUMBERS, approved, awaiting, namespace, step


@pytest.fixture(scope="module")
def host() -> Iterator[SandboxProcess]:
    with start("crm", token="unused") as process:
        yield process


class Accounts:
    """The accounts of the billing service, and the ways it answers badly."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def fault(self, **fault: Any) -> None:
        assert self._client.post("/_sandbox/faults", json={"after_effect": True, **fault}).status_code == 201

    def count(self) -> int:
        return len(self._client.get("/_sandbox/accounts").json()["accounts"])

    def keys(self, method: str) -> list[str]:
        log = self._client.get("/_sandbox/log").json()["requests"]
        return [each["idempotency_key"] for each in log if each["method"] == method and "/billing/" in each["path"]]


@pytest.fixture
def accounts(host: SandboxProcess) -> Iterator[Accounts]:
    with httpx.Client(base_url=host.url, trust_env=False) as client:
        client.post("/_sandbox/reset")
        yield Accounts(client)


@asynccontextmanager
async def door(dev_server: Any, host: SandboxProcess, smtp: dict[str, Any] | None = None) -> AsyncIterator[Airlock]:
    client = await namespace(dev_server.client, f"outcomes{next(_NUMBERS)}")
    url = f"{host.url}/billing/accounts"
    open_account = http_tool(
        name="open_account", method="POST", url=url, undo_url=f"{url}/{{id}}", risk="MEDIUM", reversibility="reversible",
        idempotent=True, permissions={"billing:write"},
    )  # fmt: skip
    settings = {"http": {"allow_hosts": [host.url.removeprefix("http://")], "timeout": 60}, "smtp": smtp or {}}
    policy = Policy.model_validate({"agents": {"*": {"permissions": ["*"]}}})
    toolbox = Toolbox(Catalogue([http_request, open_account, send_email], settings=settings), policy)
    async with running.running(build_workers(client, toolbox)):
        yield Airlock(client)


@pytest.mark.parametrize("status", [500, 303])
async def test_a_charge_that_was_answered_500_is_in_doubt_and_no_other_plan_makes_it(
    dev_server: Any, host: SandboxProcess, accounts: Accounts, plan: Any, status: int
) -> None:
    async with door(dev_server, host) as airlock:
        accounts.fault(method="POST", status=status)
        url = f"{host.url}/billing/accounts"
        charge = step("charge", "http_request", url=url, method="POST", body={"name": f"ACME {status}"})
        first, second = await airlock.submit(plan(charge)), await airlock.submit(plan(charge))
        await awaiting(second)
        await approved(first)
        parked = await first.wait_for(State.LOCKED)
        assert f"answered {status}" in parked.why
        assert [each.status for each in parked.steps] == ["in_doubt"]
        await approved(second)
        assert (await second.result()).live == ()
        assert accounts.count() == 1
        verdict = await first.decide("resolve", by="op", step="charge", outcome="happened", reason="it is there")
        assert verdict.accepted
        assert (await first.result()).outcome == "completed"
        assert accounts.count() == 1


@pytest.mark.parametrize("times", [1, 3])
async def test_an_idempotent_route_is_tried_again_under_its_key_and_then_in_doubt(
    dev_server: Any, host: SandboxProcess, accounts: Accounts, plan: Any, times: int
) -> None:
    async with door(dev_server, host) as airlock:
        accounts.fault(method="POST", status=500, times=times)
        handle = await airlock.submit(plan(step("open", "open_account", body={"name": "ACME"})))
        await approved(handle)
        if times == 1:
            assert (await handle.result()).outcome == "completed"
        else:
            assert "answered 500" in (await handle.wait_for(State.LOCKED)).why
            resolved = await handle.decide("resolve", by="op", step="open", outcome="happened", reason="it is there")
            assert resolved.accepted
            assert (await handle.result()).live == ("open",)
        keys = accounts.keys("POST")
        assert (len(keys), len(set(keys)), accounts.count()) == (min(times + 1, 3), 1, 1)


async def test_an_undo_that_was_answered_500_is_tried_again(
    dev_server: Any, host: SandboxProcess, accounts: Accounts, plan: Any
) -> None:
    async with door(dev_server, host) as airlock:
        open_ = step("open", "open_account", body={"name": "ACME"})
        bad = step("bad", "http_request", ("open",), url=f"{host.url}/nope", method="POST")
        accounts.fault(method="DELETE", status=500)
        handle = await airlock.submit(plan(open_, bad))
        await approved(handle)
        result = await handle.result()
        assert (result.outcome, result.undone) == ("aborted", ("open",))
        assert (accounts.count(), len(accounts.keys("DELETE"))) == (0, 2)


@pytest.mark.parametrize("where", ["dry run", "live"])
async def test_a_greylisted_recipient_is_tried_again(dev_server: Any, host: SandboxProcess, plan: Any, where: str) -> None:
    later = b"450 4.2.0 greylisted, try again in 2 seconds\r\n"
    said: list[bytes] = []
    script = {"RCPT": [later] if where == "dry run" else [b"250 OK\r\n", later]}
    async with scripted(script, said) as smtp, door(dev_server, host, smtp) as airlock:
        mail = step("mail", "send_email", to="jo@acme.test", subject="Hello", body=f"to Jo {where}")
        handle = await airlock.submit(plan(mail))
        await approved(handle)
        assert (await handle.result()).outcome == "completed"
    assert said.count(b".\r\n") == 1
    assert len([line for line in said if line.lower().startswith(b"rcpt")]) == 3


async def shell(where: dict[str, str], *arguments: str) -> tuple[int | None, str]:
    """Run a command of `airlock`; return its exit code and what it printed, in one line."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "airlock", *arguments, cwd=ROOT, env={**os.environ, **where},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    out, _ = await process.communicate()
    return process.returncode, " ".join(out.decode().split())


async def test_a_plan_whose_dry_run_fails_is_no_success_and_can_be_submitted_again(
    dev_server: Any, host: SandboxProcess, plan: Any, tmp_path: Any
) -> None:
    said: list[bytes] = []
    async with scripted({"RCPT": [b"550 no such user\r\n"]}, said) as smtp, door(dev_server, host, smtp) as airlock:
        document = plan(step("mail", "send_email", to="jo@acme.test", subject="Hello", body="to Jo, who was added"))
        file = tmp_path / "plan.json"
        file.write_text(json.dumps(document))
        client = airlock.client
        where = {"TEMPORAL_ADDRESS": client.service_client.config.target_host, "TEMPORAL_NAMESPACE": client.namespace}
        code, out = await shell(where, "start", str(file), "--wait", "--no-catalogue")
        assert (code, "ended: rehearsed" in out, "550 no such user" in out) == (1, True, True), out
        again = await airlock.submit(document)
        assert not again.already
        await awaiting(again)
        await approved(again)
        assert (await again.result()).outcome == "completed"
        assert (await airlock.submit(document)).already
    assert said.count(b".\r\n") == 1


async def test_a_plan_whose_dry_run_gets_no_answer_ends_visibly_and_can_be_submitted_again(
    dev_server: Any, host: SandboxProcess, plan: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.setattr(rehearsal_tries, "PAUSE", 0.01)
    said: list[bytes] = []
    script = {"GREET": [b""] * rehearsal_tries.TRIES}
    async with scripted(script, said) as smtp, door(dev_server, host, smtp) as airlock:
        mail = step("mail", "send_email", to="jo@acme.test", subject="Hello", body="to Jo, at last")
        document = plan(mail)
        file = tmp_path / "plan.json"
        file.write_text(json.dumps(document))
        client = airlock.client
        where = {"TEMPORAL_ADDRESS": client.service_client.config.target_host, "TEMPORAL_NAMESPACE": client.namespace}
        code, out = await shell(where, "start", str(file), "--wait", "--no-catalogue")
        assert code == 1, out
        assert "ended: unrehearsed (not rehearsed: the dry run of step 'mail' got no answer" in out
        first = airlock.plan(document["plan_id"])
        result = await first.result()
        assert (result.outcome, result.state) == ("unrehearsed", "ABORTED")
        again = await airlock.submit(document)
        assert not again.already
        await awaiting(again)
        assert (await airlock.submit(document)).already, "an open plan is not started twice"
        await approved(again)
        assert (await again.result()).outcome == "completed"
        assert (await airlock.submit(document)).already, "and neither is one that has called something"
        code, out = await shell(where, "export", str(tmp_path / "record"))
        assert code == 0, out
        code, out = await shell(where, "verify", str(tmp_path / "record"))
        assert code == 0, out
        lines = (tmp_path / "record" / "tool_execution_log.jsonl").read_text().splitlines()
        assert sorted(json.loads(line)["outcome"] for line in lines) == ["completed", "unrehearsed"]
    assert said.count(b".\r\n") == 1
