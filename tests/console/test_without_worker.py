"""The inbox and the page of a plan while no worker answers, and what a list costs while nothing happens."""

from collections.abc import Callable
from pathlib import Path

import pytest
from temporalio.testing import WorkflowEnvironment

from airlock.client import inbox_reader
from airlock.client.inbox import WaitKind
from airlock.client.inbox_reader import InboxReader
from airlock.client.plan_handle import PlanHandle
from tests.console.desk import desk_in, note
from tests.console.provider import CLIENT, provider
from tests.console.web import Web
from tests.workflows.conftest import until


async def test_a_plan_is_asked_once_and_shown_without_a_worker(
    console_server: WorkflowEnvironment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, visitor: Callable[..., Web]
) -> None:
    asked: list[str] = []
    status = PlanHandle.status

    async def counted(self: PlanHandle) -> object:
        asked.append(self.plan_id)
        return await status(self)

    async with provider() as idp:
        toml = f'[console.oidc]\nissuer = "{idp.url}"\nclient_id = "{CLIENT}"\n'
        async with desk_in(console_server.client, tmp_path, console=toml) as desk:
            async with desk.working():
                first = await desk.submit(note("a"), goal="Waits for a person")
                reader = InboxReader(desk.client)
                await until(lambda: _holds(reader, first.plan_id))
                monkeypatch.setattr(PlanHandle, "status", counted)
                for _ in range(3):
                    (item,) = (await reader.read()).items
                assert asked == [], "its history has not grown"
                assert (item.kind, item.goal) == (WaitKind.APPROVAL, "Waits for a person")
                await first.decide("lock", by="paul", reason="an incident")
                await until(lambda: _is(reader, WaitKind.LOCKED))
                assert set(asked) == {first.plan_id}
            monkeypatch.setattr(inbox_reader, "ANSWER_WITHIN", 1.0)
            monkeypatch.setattr("airlock.console.plan_view.ANSWER_WITHIN", 1.0)
            (item,) = (await InboxReader(desk.client).read()).items
            assert (item.plan_id, item.kind) == (first.plan_id, WaitKind.LOCKED)
            assert item.problem
            web = visitor(desk)
            await web.signs_in()
            assert item.plan_id in (await web.get("/")).text
            page = await web.get(f"/plans/{first.plan_id}")
            assert "Nothing can be decided here until a worker answers" in page.text
            assert "Waits for a person" in page.text


async def _holds(reader: InboxReader, plan_id: str) -> bool:
    return plan_id in [item.plan_id for item in (await reader.read()).items]


async def _is(reader: InboxReader, kind: WaitKind) -> bool:
    return [item.kind for item in (await reader.read()).items] == [kind]
