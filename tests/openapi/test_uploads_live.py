"""Plans that upload files, LIVE through Temporal against a service that takes them apart, and their undo."""

import base64
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from temporalio.testing import WorkflowEnvironment

from airlock.client import PlanHandle
from airlock.plans.state import State
from airlock.run.outcome import Outcome
from tests.mcp.plans import desk, step
from tests.openapi.album import Album, album, attaching

PICTURE = b"\x89PNG\r\n\x1a\n\x00\xff--airlock-\r\n"
OTHER = b"\x89PNG other"
ABOUT = {"place": "Å"}


def file(content: bytes, name: str, **more: str) -> dict[str, str]:
    return {"base64": base64.b64encode(content).decode(), "filename": name, **more}


BODY: dict[str, Any] = {
    "title": 'Å "b"\r\nc',
    "photo": file(PICTURE, "ü.png"),
    "more": [file(b"1", "1.txt", media_type="text/plain"), file(b"", "empty")],
    "about": ABOUT,
}


@pytest.fixture
def kept() -> Iterator[Album]:
    with album() as service:
        yield service


def added_directly(service: Album) -> str:
    """Upload the same photo as a program without Airlock does."""
    files = [
        ("title", (None, BODY["title"], "text/plain")),
        ("photo", ("ü.png", PICTURE, "image/png")),
        ("more", ("1.txt", b"1", "text/plain")),
        ("more", ("empty", b"", "application/octet-stream")),
        ("about", (None, json.dumps(ABOUT, ensure_ascii=False, separators=(",", ":")), "application/json")),
    ]
    answer = httpx.post(f"{service.url}/photos", files=files, trust_env=False)
    return str(answer.json()["id"])


async def approved(handle: PlanHandle) -> str:
    """Approve a plan, and return what its approver was shown."""
    preview = await handle.preview()
    assert (await handle.decide("approve", by="alice", digest=preview.digest or "")).accepted
    return preview.text


async def test_what_was_approved_is_uploaded_as_by_a_direct_call(
    temporal: WorkflowEnvironment, kept: Album, tmp_path: Path
) -> None:
    async with desk(temporal, attaching(kept.url, tmp_path)) as place:
        handle = await place.proposed(
            [
                step("add", "album.addPhoto", body=BODY),
                step("read", "album.readPicture", params={"id": {"$ref": "add.body.id"}}),
            ]
        )
        assert kept.writes == [], "nothing is sent before the approval"
        shown = await approved(handle)
        done = await handle.result()
    assert done.outcome is Outcome.COMPLETED, done.why
    sha256 = hashlib.sha256(PICTURE).hexdigest()
    assert f"image/png, {len(PICTURE)} bytes, SHA-256 {sha256}" in " ".join(shown.split())
    assert done.outputs["read"]["body"]["sha256"] == sha256
    assert kept.writes == [("POST", "/photos", f"{done.plan_id}/add")]
    by_plan = kept.told()
    kept.photos.clear()
    added_directly(kept)
    assert by_plan == kept.told()


async def test_a_failure_behind_uploads_brings_back_the_initial_state(
    temporal: WorkflowEnvironment, kept: Album, tmp_path: Path
) -> None:
    old = added_directly(kept)
    before = kept.told()
    async with desk(temporal, attaching(kept.url, tmp_path)) as place:
        handle = await place.proposed(
            [
                step("add", "album.addPhoto", body={"title": "new", "photo": file(OTHER, "new.png")}),
                step("replace", "album.replacePicture", params={"id": old}, body={"base64": file(OTHER, "")["base64"]}),
                step("print", "album.orderPrint"),
            ]
        )
        await approved(handle)
        done = await handle.result()
    assert done.outcome is Outcome.ABORTED
    assert {each.id: each.status for each in done.steps} == {"add": "undone", "replace": "undone", "print": "failed"}
    assert [method for method, *_ in kept.writes] == ["POST", "POST", "PUT", "POST", "PUT", "DELETE"]
    assert kept.told() == before
    assert set(kept.photos) == {old}


async def test_a_file_that_another_replaced_since_the_preview_is_not_overwritten(
    temporal: WorkflowEnvironment, kept: Album, tmp_path: Path
) -> None:
    old = added_directly(kept)
    async with desk(temporal, attaching(kept.url, tmp_path)) as place:
        replacing = step("replace", "album.replacePicture", params={"id": old}, body={"base64": file(OTHER, "")["base64"]})
        handle = await place.proposed([replacing])
        first = await handle.status()
        async with httpx.AsyncClient(trust_env=False) as other:
            await other.put(f"{kept.url}/photos/{old}/picture", content=b"by another", headers={"content-type": "image/png"})
        await approved(handle)
        async for status in handle.follow():
            if status.digest != first.digest or status.outcome is not None:
                break
    assert kept.photos[old]["photo"][2] == b"by another"


async def test_an_upload_whose_answer_is_lost_is_found_by_its_probe_and_made_once(
    temporal: WorkflowEnvironment, kept: Album, tmp_path: Path
) -> None:
    kept.loses_answers = True
    async with desk(temporal, attaching(kept.url, tmp_path)) as place:
        handle = await place.proposed([step("add", "album.addPhoto", body=BODY)])
        await approved(handle)
        last = await handle.wait_for(State.LOCKED)
    assert [method for method, *_ in kept.writes] == ["POST"], "it was sent again"
    assert [each.status for each in last.steps] == ["live"], last
