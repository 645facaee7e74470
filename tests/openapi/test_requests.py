"""Requests of a document that uses what the standard has: styles, forms, several content types, security schemes."""

import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from pydantic import ValidationError
from typer.testing import CliRunner

from airlock.admission.configuration.config import parse_config
from airlock.base.errors import ConfigError, ToolFailed
from airlock.cli.app import app
from airlock.plans.arguments.output_shape import OutputShape
from airlock.plans.catalogue import Catalogue
from airlock.tools.loader import load_catalogue
from airlock.tools.web import HttpSettings, log_no_addresses
from tests.mcp.attached import attached
from tests.openapi.answering import Asked, answering

SHOP = Path(__file__).with_name("shop.yaml")
SECRETS = {"shop": "tok-12345678", "key": "key-12345678", "sid": "sid-12345678", "login": "jo:pass-12345678"}
SECURITY = """
[openapi.shop.security]
token = { "$secret" = "shop" }
key = { "$secret" = "key" }
session_key = { "$secret" = "sid" }
basic = { "$secret" = "login" }
"""
ENTRIES = """
[openapi.shop.tools.readOrder]
risk = "LOW"
reversibility = "read_only"
"""


def shop(more: str = "", document: Path = SHOP, entries: str = ENTRIES) -> str:
    return f"[catalogue]\nmodules = []\n[openapi.shop]\ndocument = {str(document)!r}\n{more}\n{entries}"


def loaded(toml: str) -> Catalogue:
    return load_catalogue(parse_config(toml, {}))


class Shop:
    """The operations of the shop, and what its service was asked."""

    def __init__(self, tools: Any, asked: list[Asked]) -> None:
        self._tools, self.asked = tools, asked

    async def call(self, operation: str, **args: Any) -> Asked:
        name = f"shop.{operation}"
        call = self._tools.call(name, settings=HttpSettings(), secret=lambda secret: SECRETS[secret])
        await self._tools.run(name, "live", call, **args)
        return self.asked[-1]


@asynccontextmanager
async def open_shop(*answers: tuple[int, bytes], security: str = SECURITY) -> AsyncIterator[Shop]:
    with answering(*(answers or ((200, b"{}"),))) as (url, asked):
        toml = shop(f'variables = {{ host = "{url.removeprefix("http://")}" }}', entries=ENTRIES + security)
        environment = {f"AIRLOCK_SECRET_{name.upper()}": value for name, value in SECRETS.items()}
        async with attached(toml, environment) as tools:
            yield Shop(tools, asked)


async def test_each_value_stands_in_its_place_and_its_style() -> None:
    async with open_shop() as shop:
        asked = await shop.call(
            "readOrder",
            params={"id": "7"},
            query={"filter": {"state": "open", "n": 2}, "tags": ["a b", "c"]},
            headers={"X-Trace": "t-1"},
            cookies={"session": "s;1"},
        )
    assert unquote(asked.path) == "/v1/orders/7?filter[state]=open&filter[n]=2&tags=a b|c"
    assert (asked.headers["x-trace"], asked.headers["cookie"]) == ("t-1", "session=s%3B1")
    assert asked.headers["authorization"] == "Bearer tok-12345678"
    assert asked.headers["accept"].startswith("application/json")


async def test_a_body_has_the_media_type_of_the_document() -> None:
    async with open_shop() as shop:
        patch = await shop.call("changeOrder", params={"id": "7"}, body={"note": "ä"})
        form = await shop.call("post_pay", body={"amount": 5, "card": {"number": "4 2"}, "parts": ["a", "b"]})
        text = await shop.call("say", body="hello")
    assert (patch.headers["content-type"], json.loads(patch.body)) == ("application/merge-patch+json", {"note": "ä"})
    assert form.headers["content-type"] == "application/x-www-form-urlencoded"
    assert form.body == b"amount=5&card[number]=4%202&parts=a&parts=b"
    assert (text.headers["content-type"], text.body) == ("text/plain; charset=utf-8", b"hello")


async def test_each_operation_gets_the_credentials_that_it_needs_and_no_others() -> None:
    async with open_shop() as shop:
        patch = await shop.call("changeOrder", params={"id": "7"}, body={"note": "x"})
        form = await shop.call("post_pay", body={})
        status = await shop.call("status")
        text = await shop.call("say", body="x")
    assert (patch.headers["authorization"], patch.path) == ("Bearer tok-12345678", "/v1/orders/7?api_key=key-12345678")
    assert form.headers["authorization"] == "Basic am86cGFzcy0xMjM0NTY3OA=="
    assert "authorization" not in status.headers
    assert (text.headers["cookie"], "authorization" in text.headers) == ("SID=sid-12345678", False)


async def test_no_log_tells_an_address(caplog: pytest.LogCaptureFixture) -> None:
    log_no_addresses()
    caplog.set_level(logging.DEBUG)
    async with open_shop() as shop:
        await shop.call("changeOrder", params={"id": "7"}, body={"note": "x"})
    assert SECRETS["key"] not in caplog.text


async def test_no_error_tells_a_credential() -> None:
    echo = f"wrong: {SECRETS['key']} {SECRETS['shop']}".encode()
    async with open_shop((400, echo)) as shop:
        with pytest.raises(ToolFailed) as refused:
            await shop.call("changeOrder", params={"id": "7"}, body={"note": "x"})
    assert "wrong: *** ***" in str(refused.value)


def test_the_schemas_of_references_hold_for_arguments_and_answers() -> None:
    catalogue = loaded(shop())
    change, read = catalogue.get("shop.changeOrder"), catalogue.get("shop.readOrder")
    assert change is not None
    assert read is not None
    change.arguments.model_validate({"params": {"id": "7"}, "body": {"sku": "a"}})
    for wrong in ({"params": {"id": "7"}, "body": {"sku": 1}}, {"params": {"id": "x"}, "body": {"note": "a"}}):
        with pytest.raises(ValidationError):
            change.arguments.model_validate(wrong)
    assert OutputShape(read.output).lacks(["body", "lines", 0, "sku"]) is None
    assert OutputShape(read.output).lacks(["body", "lines", 0, "name"]) is not None


def test_what_an_agent_may_set_is_in_the_document_and_changes_no_method() -> None:
    read = loaded(shop()).get("shop.readOrder")
    assert read is not None
    assert set(read.arguments.model_json_schema()["properties"]["headers"]["properties"]) == {"X-Trace"}
    given = loaded(shop('headers = { X-trace = "mine" }')).get("shop.readOrder")
    assert given is not None
    assert "headers" not in given.arguments.model_json_schema()["properties"], "the operator gives it"


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ('security = { tokn = { "$secret" = "x" } }', "no security scheme of the document: did you mean 'token'?"),
        ('security = { signed = { "$secret" = "x" } }', "needs more than a secret: http hoba"),
        ('variables = { hosts = "x" }', "has no variable 'hosts'"),
        ('variables = { version = "v3" }', "'version' of the server is one of v1, v2"),
        ('server = "http://x"\nvariables = { host = "x" }', "variables are for the server of the document"),
    ],
)
def test_what_is_wrong_is_told(more: str, says: str) -> None:
    with pytest.raises(ConfigError) as error:
        loaded(shop(more))
    assert says in str(error.value)


def test_an_operation_with_a_server_of_its_own_is_never_sent_to_another() -> None:
    assert "shop.elsewhere" not in loaded(shop()).names
    assert "shop.elsewhere" in loaded(shop('server = "https://other.example"\nonly = ["elsewhere"]', entries="")).names


def test_who_gets_which_secret_belongs_to_the_contract() -> None:
    plain, given = loaded(shop()), loaded(shop('security = { token = { "$secret" = "shop" } }'))
    assert plain.contract("shop.readOrder").digest() != given.contract("shop.readOrder").digest()
    assert given.contract("shop.readOrder").needs_secrets == ("shop",)


def test_import_says_which_credentials_are_missing_and_pins_yaml_as_yaml(tmp_path: Path) -> None:
    config = tmp_path / "airlock.toml"
    config.write_text(shop(entries=""))

    def imported(file: str) -> Any:
        arguments = ["tools", "import", "shop", "--config", str(config), "--definitions", str(tmp_path / file)]
        return CliRunner().invoke(app, arguments)

    refused = imported("shop.json")
    assert refused.exit_code == 1
    assert "let the name of the file end in .yaml" in refused.output
    done = imported("shop.yaml")
    assert done.exit_code == 0, done.output
    assert "[openapi.shop.tools.changeOrder]" in done.output
    assert "it needs credentials, token and key: give a secret in [openapi.shop.security]" in done.output
    assert (tmp_path / "shop.yaml").read_bytes() == SHOP.read_bytes()
    assert "elsewhere is not offered: it has a server of its own, https://other.example" in done.output
    assert "shop.post_pay" in loaded(shop(document=tmp_path / "shop.yaml", entries=done.output)).names
