"""Operations that take files: forms with files, and one file as the body."""

import base64
import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from typer.testing import CliRunner

from airlock.admission.configuration.config import parse_config
from airlock.base.errors import ConfigError, ToolFailed
from airlock.cli.app import app
from airlock.plans.catalogue import Catalogue
from airlock.plans.contract import Mode
from airlock.plans.tool_call import Preview
from airlock.tools.loader import load_catalogue
from airlock.tools.openapi.multipart import content_of_file, multipart_of
from airlock.tools.openapi.parts import MAX_FILE_BYTES, Part
from airlock.tools.web import HttpSettings
from tests.mcp.attached import Attached, attached
from tests.openapi.receiving import Received, receiving

UPLOADS = Path(__file__).with_name("uploads.yaml")
PICTURE = b"\x89PNG\r\n\x1a\n\x00\xff--airlock-\r\n"
ENTRIES = "".join(f'[openapi.up.tools.{name}]\nrisk = "HIGH"\n' for name in ("addPhoto", "putDocument", "putRaw", "either"))
REFUSED = {
    "partsUnknown": "multipart/form-data, and the document names none of its parts (properties)",
    "fileInside": "its part 'meta' holds a file inside of other values",
    "anyFile": "a file stands outside of its properties",
    "xmlPart": "its part 'a' is application/xml, and only files, JSON and plain text can be sent",
    "partHeader": "its part 'a' needs a header",
    "anyImage": "its body is image/*, and only JSON, forms, plain text, files in a form",
    "xml": "its body is application/xml, and only JSON",
    "encoded": "its body is application/octet-stream, and only JSON",
}


def uploads(server: str = "http://127.0.0.1:9", entries: str = ENTRIES) -> str:
    section = f"[openapi.up]\ndocument = {str(UPLOADS)!r}\nserver = {server!r}\n"
    return f"[catalogue]\nmodules = []\n{section}{entries}"


def loaded(toml: str) -> Catalogue:
    return load_catalogue(parse_config(toml, {}))


def in_base64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def file(content: bytes = PICTURE, name: str = "a.png", **more: str) -> dict[str, str]:
    return {"base64": in_base64(content), "filename": name, **more}


class Uploads:
    """The tools of the service, and what it received."""

    def __init__(self, tools: Attached, received: list[Received]) -> None:
        self._tools, self.received = tools, received

    async def call(self, operation: str, **args: Any) -> Received:
        await self._tools.run(f"up.{operation}", "live", self._call(operation, Mode.LIVE), **args)
        return self.received[-1]

    async def preview(self, operation: str, **args: Any) -> Preview:
        found: Preview = await self._tools.run(f"up.{operation}", "dry_run", self._call(operation, Mode.DRY_RUN), **args)
        return found

    def _call(self, operation: str, mode: Mode) -> Any:
        return self._tools.call(f"up.{operation}", mode, settings=HttpSettings())


@asynccontextmanager
async def open_uploads() -> AsyncIterator[Uploads]:
    with receiving() as (url, received):
        async with attached(uploads(url)) as tools:
            yield Uploads(tools, received)


async def test_a_server_gets_each_part_of_a_form_as_it_was_given() -> None:
    body = {
        "title": 'Å "b"\r\nc',
        "photo": file(),
        "more": [file(b"1", "ü.txt", media_type="text/plain"), file(b"", "empty")],
        "thumb": file(b"t", "t.jpg", media_type="image/jpeg"),
        "cover": file(b"c", "c.webp", media_type="image/webp"),
        "place": {"x": 1.5},
        "tags": ["a", "b"],
        "public": True,
        "note": "say",
    }
    async with open_uploads() as up:
        taken = await up.call("addPhoto", body=body)
        again = await up.call("addPhoto", body=body)
    parts = taken["parts"]
    assert [value for name, value in parts if name in ("title", "place", "tags", "public", "note")] == [
        "Å \"b\"\r\nc", '{"x":1.5}', "a", "b", "true", '"say"',
    ]  # fmt: skip
    assert [(name, value) for name, value in parts if isinstance(value, tuple)] == [
        ("photo", ("a.png", "application/octet-stream", PICTURE)),
        ("more", ("ü.txt", "text/plain", b"1")),
        ("more", ("empty", "application/octet-stream", b"")),
        ("thumb", ("t.jpg", "image/jpeg", b"t")),
        ("cover", ("c.webp", "image/webp", b"c")),
    ]
    assert (taken["type"], taken["content"]) == (again["type"], again["content"]), "an attempt differs from another"


async def test_a_body_that_is_one_file_is_sent_as_its_bytes() -> None:
    async with open_uploads() as up:
        pdf = await up.call("putDocument", params={"id": "7"}, body={"base64": in_base64(PICTURE)})
        raw = await up.call("putRaw", body={"base64": ""})
        nothing = await up.call("putRaw")
    assert (pdf["path"], pdf["type"], pdf["content"]) == ("/documents/7", "application/pdf", PICTURE)
    assert (raw["type"], raw["content"]) == ("application/octet-stream", b"")
    assert nothing["content"] == b""


async def test_a_preview_says_media_type_size_and_digest_of_each_file() -> None:
    async with open_uploads() as up:
        one = await up.preview("putDocument", params={"id": "7"}, body={"base64": in_base64(PICTURE)})
        many = await up.preview("addPhoto", body={"title": "x", "photo": file(), "more": [file(b"1", "b")] * 3})
        assert up.received == [], "a preview sends nothing"
    digest = hashlib.sha256(PICTURE).hexdigest()
    assert one.effect == f"Sends body: application/pdf, {len(PICTURE)} bytes, SHA-256 {digest}. Would call up.putDocument."
    assert f'body.photo: "a.png", application/octet-stream, {len(PICTURE)} bytes, SHA-256 {digest};' in many.effect
    assert '; body.more[0]: "b", ' in many.effect
    assert many.effect.endswith("; and 2 more files. Would call up.addPhoto.")
    assert len(many.effect) < 500, "an effect of more characters is cut"


@pytest.mark.parametrize(
    ("change", "place", "says"),
    [
        ({"photo": file() | {"base64": "a b="}}, "photo.base64", "must match"),
        ({"photo": file() | {"base64": "YQ"}}, "photo.base64", "must match"),
        ({"photo": file() | {"base64": "_-8="}}, "photo.base64", "must match"),
        ({"photo": file(bytes(MAX_FILE_BYTES + 1))}, "photo.base64", "must have at most 61440 characters"),
        ({"photo": in_base64(PICTURE)}, "photo", "must be of type object"),
        ({"photo": file(name="../a")}, "photo.filename", "must match"),
        ({"photo": file(name='a"; x="')}, "photo.filename", "must match"),
        ({"photo": {"base64": ""}}, "photo.filename", "required"),
        ({"photo": file(media_type="a\r\nb: c")}, "photo.media_type", "must match"),
        ({"thumb": file()}, "thumb.media_type", "required"),
        ({"thumb": file(media_type="text/html")}, "thumb.media_type", "must be one of image/png or image/jpeg"),
        ({"cover": file(media_type="text/html")}, "cover.media_type", "must match"),
        ({"more": [file()] * 4}, "more", "must have at most 3 items"),
        ({"title": ""}, "title", "at least 1 character"),
    ],
)  # fmt: skip
def test_what_cannot_be_sent_is_refused_with_its_place(change: dict[str, Any], place: str, says: str) -> None:
    tool = loaded(uploads()).get("up.addPhoto")
    assert tool is not None
    tool.arguments.model_validate({"body": {"title": "x", "photo": file()}})
    with pytest.raises(ValidationError) as refused:
        tool.arguments.model_validate({"body": {"title": "x", "photo": file(), **change}})
    error = refused.value.errors()[0]
    assert ".".join(map(str, error["loc"])).endswith(place)
    assert says in error["msg"].replace("'", "")


def test_the_largest_file_can_be_read_by_an_approver() -> None:
    """A larger argument would be kept below LIVE."""
    tool = loaded(uploads()).get("up.addPhoto")
    assert tool is not None
    body = {"title": "x" * 1_000, "photo": file(bytes(MAX_FILE_BYTES), "n" * 200)}
    tool.arguments.model_validate({"body": body})
    assert len(json.dumps(body)) < 65_536


def test_json_is_sent_where_a_document_offers_both() -> None:
    tool = loaded(uploads()).get("up.either")
    assert tool is not None
    tool.arguments.model_validate({"body": {"any": "thing"}})


@pytest.mark.parametrize(("operation", "why"), REFUSED.items())
def test_what_stays_refused_says_why(operation: str, why: str) -> None:
    with pytest.raises(ConfigError) as error:
        loaded(uploads(entries=f'[openapi.up.tools.{operation}]\nrisk = "HIGH"\n'))
    assert f"openapi.up.tools.{operation}: is not offered: " in str(error.value)
    assert why in str(error.value)


def test_import_offers_uploads_and_says_why_others_are_not(tmp_path: Path) -> None:
    config = tmp_path / "airlock.toml"
    config.write_text(uploads(entries=""))
    done = CliRunner().invoke(app, ["tools", "import", "up", "--config", str(config)])
    assert done.exit_code == 0, done.output
    assert "[openapi.up.tools.addPhoto]" in done.output
    assert all(f"{name} is not offered: " in done.output for name in REFUSED)


def test_a_change_of_a_media_type_is_a_change_of_the_tool(tmp_path: Path) -> None:
    changed = tmp_path / "uploads.yaml"
    changed.write_text(UPLOADS.read_text().replace("contentType: image/*", "contentType: video/*"))
    other = loaded(uploads().replace(str(UPLOADS), str(changed)))
    assert loaded(uploads()).contract("up.addPhoto").digest() != other.contract("up.addPhoto").digest()


@pytest.mark.parametrize("value", ["a b=", "YQ", "ä", 1, None])
def test_what_is_no_base64_is_never_sent(value: Any) -> None:
    with pytest.raises(ToolFailed, match=r"body\.photo\.base64 is no Base64"):
        content_of_file({"base64": value}, "body.photo")
    with pytest.raises(ToolFailed, match="46,081 bytes"):
        content_of_file({"base64": in_base64(bytes(MAX_FILE_BYTES + 1))}, "body")


def test_no_file_ends_its_own_part() -> None:
    """Content that holds the boundary of another body does not hold its own."""
    parts = {"body.f": Part(file=True)}
    content, media = multipart_of({"f": file()}, parts)
    boundary = media.rpartition("=")[2].encode()
    content, media = multipart_of({"f": file(b"\r\n--" + boundary + b"--\r\n")}, parts)
    own = media.rpartition("=")[2].encode()
    assert own != boundary
    assert content.count(b"--" + own) == 2


def test_a_form_with_nothing_in_it_is_not_sent() -> None:
    with pytest.raises(ToolFailed, match="no part to send"):
        multipart_of({"a": None, "b": []}, {})
