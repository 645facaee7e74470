"""A document that changes while a worker runs: nothing is called by it, and the difference is told."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from airlock.base.errors import ToolFailed
from airlock.plans.contract import Mode
from airlock.tools.openapi import watch
from airlock.tools.web import HttpSettings
from tests.mcp.attached import Attached, attached
from tests.openapi.answering import answering
from tests.openapi.service import DOCUMENT, billing

LIST = "billing.listAccounts"


def written(path: Path, change: Any = lambda found: None) -> None:
    found = json.loads(DOCUMENT.read_text())
    change(found)
    aside = path.with_suffix(".new")
    aside.write_text(json.dumps(found))
    os.replace(aside, path)


async def listed(service: Attached) -> None:
    await service.run(LIST, "live", service.call(LIST, settings=HttpSettings()))


CHANGES = [
    (lambda found: found["paths"]["/accounts"]["get"].update(summary="List, and delete."), "title was"),
    (
        lambda found: found["paths"].update({"/other": {"get": {"operationId": "other"}}}),
        "it has tools that it had not: other",
    ),
    (
        lambda found: found["paths"].update({"/moved": found["paths"].pop("/accounts")}),
        'path was "/accounts", and is "/moved"',
    ),
    (lambda found: found["paths"].pop("/accounts"), "it has no tool 'listAccounts' any more"),
]


@pytest.mark.parametrize(("change", "says"), CHANGES)
@pytest.mark.parametrize("mode", [Mode.DRY_RUN, Mode.LIVE])
async def test_a_changed_file_is_refused_with_the_difference(tmp_path: Path, change: Any, says: str, mode: Mode) -> None:
    path = tmp_path / "billing.json"
    written(path)
    with answering((200, b'{"accounts": []}')) as (url, asked):
        async with attached(billing(url, named=path)) as service:

            async def called() -> None:
                call = service.call("billing.listAccounts", mode, settings=HttpSettings())
                await service.run("billing.listAccounts", "live" if mode is Mode.LIVE else "dry_run", call)

            await called()
            before = len(asked)
            written(path, change)
            with pytest.raises(ToolFailed) as refused:
                await called()
            assert len(asked) == before, "nothing was asked"
            written(path)
            await called()
    assert "are not those that were pinned" in str(refused.value)
    assert says in str(refused.value)
    assert "start the worker again" in str(refused.value)


async def test_a_file_that_cannot_be_read_again_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "billing.json"
    written(path)
    with answering((200, b'{"accounts": []}')) as (url, _):
        async with attached(billing(url, named=path)) as service:
            path.write_text('{"half')
            with pytest.raises(ToolFailed, match="cannot be read again, and nothing was called") as refused:
                await listed(service)
    assert refused.value.retry


async def test_another_server_in_the_document_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "billing.json"
    with answering((200, b'{"accounts": []}')) as (url, asked):
        written(path, lambda found: found.update(servers=[{"url": f"{url}/billing"}]))
        toml = billing(url, named=path).replace(f'server = "{url}/billing"', "")
        async with attached(toml) as service:
            written(path)
            with pytest.raises(ToolFailed, match=r"names the server http://127\.0\.0\.1:8094/billing now"):
                await listed(service)
    assert asked == []


async def test_a_url_is_fetched_again_from_time_to_time(monkeypatch: pytest.MonkeyPatch) -> None:
    other = json.loads(DOCUMENT.read_text())
    other["paths"]["/accounts"]["get"]["summary"] = "List, and delete."
    monkeypatch.setattr(watch, "LOOK_AGAIN", 1e-9)  # each look is a new one
    with answering((200, DOCUMENT.read_bytes()), (200, json.dumps(other).encode())) as (url, asked):
        async with attached(billing(url, named=f"{url}/openapi.json")) as service:
            with pytest.raises(ToolFailed, match="title was"):
                await listed(service)
    assert [each.path for each in asked] == ["/openapi.json", "/openapi.json"]
