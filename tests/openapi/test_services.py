"""An HTTP service attached by its document: plans LIVE against the sandbox, and their undo."""

from pathlib import Path
from typing import Any

import httpx
import pytest
from temporalio.testing import WorkflowEnvironment

from airlock.run.outcome import Outcome
from sandbox.processes import SandboxProcess
from tests.mcp.plans import desk, step
from tests.openapi.service import billing, document

CHARGE = '\n[openapi.billing.tools.charge]\nrisk = "MEDIUM"\nreversibility = "irreversible"\n'


class World:
    """The accounts as they really are."""

    def __init__(self, url: str) -> None:
        self._url = f"{url}/billing/accounts"

    def opened(self, name: str, email: str) -> str:
        return str(httpx.post(self._url, json={"name": name, "email": email}, trust_env=False).json()["id"])

    def closed(self, account: str) -> None:
        assert httpx.delete(f"{self._url}/{account}", trust_env=False).status_code == 204

    def accounts(self, email: str) -> list[dict[str, Any]]:
        found = httpx.get(self._url, params={"email": email}, trust_env=False).json()["accounts"]
        return [{key: each[key] for key in ("name", "email", "plan")} for each in found]


async def test_a_plan_goes_live_and_a_read_answers(
    temporal: WorkflowEnvironment, sandbox: SandboxProcess, tmp_path: Path
) -> None:
    async with desk(temporal, billing(sandbox.url, document(tmp_path))) as place:
        done = await place.done(
            [
                step("open", "billing.openAccount", body={"name": "Acme", "email": "live@acme.test"}),
                step("read", "billing.readAccount", params={"id": {"$ref": "open.body.id"}}),
            ]
        )
    assert done.outcome is Outcome.COMPLETED, done.why
    assert done.outputs["read"]["body"]["name"] == "Acme"
    assert World(sandbox.url).accounts("live@acme.test") == [{"name": "Acme", "email": "live@acme.test", "plan": "free"}]


async def test_a_failure_behind_writes_brings_back_the_initial_state(
    temporal: WorkflowEnvironment, sandbox: SandboxProcess, tmp_path: Path
) -> None:
    world = World(sandbox.url)
    closed = world.opened("Old", "old@acme.test")
    before = world.accounts("old@acme.test"), world.accounts("new@acme.test")
    async with desk(temporal, billing(sandbox.url, document(tmp_path)) + CHARGE) as place:
        handle = await place.proposed(
            [
                step("open", "billing.openAccount", body={"name": "New", "email": "new@acme.test"}),
                step("close", "billing.closeAccount", params={"id": closed}),
                step("charge", "billing.charge"),
            ]
        )
        shown = (await handle.preview()).text
        assert "Would call billing.closeAccount with values of the answer." in shown
        assert "listAccounts answered now" in shown
        status = await handle.status()
        assert (await handle.decide("approve", by="alice", digest=status.digest or "")).accepted
        done = await handle.result()
    assert done.outcome is Outcome.ABORTED
    assert {each.id: each.status for each in done.steps} == {"open": "undone", "close": "undone", "charge": "failed"}
    assert (world.accounts("old@acme.test"), world.accounts("new@acme.test")) == before


@pytest.mark.parametrize(("how", "expected"), [("gone", "stale"), ("there", "live")])
async def test_what_moved_since_the_preview_is_not_called(
    temporal: WorkflowEnvironment, sandbox: SandboxProcess, tmp_path: Path, how: str, expected: str
) -> None:
    world = World(sandbox.url)
    account = world.opened("Moved", f"{how}@acme.test")
    async with desk(temporal, billing(sandbox.url, document(tmp_path))) as place:
        handle = await place.proposed([step("close", "billing.closeAccount", params={"id": account})])
        first = await handle.status()
        if how == "gone":
            world.closed(account)
        assert (await handle.decide("approve", by="alice", digest=first.digest or "")).accepted
        if expected == "live":
            assert (await handle.result()).outcome is Outcome.COMPLETED
        else:
            async for status in handle.follow():
                if status.digest != first.digest or status.outcome is not None:
                    break
            assert [each.status for each in status.steps] != ["live"]
    assert world.accounts(f"{how}@acme.test") == []
