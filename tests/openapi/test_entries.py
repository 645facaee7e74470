"""The section of a service and the entries of its operations: what is understood, and what a wrong one is told."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from typer.testing import CliRunner

from airlock.admission.configuration.config import parse_config
from airlock.admission.configuration.openapi_config import OpenApiService
from airlock.base.errors import ConfigError, InDoubt, ToolFailed
from airlock.cli.app import app
from airlock.plans.arguments.output_shape import OutputShape
from airlock.plans.catalogue import Catalogue
from airlock.plans.contract import Mode
from airlock.tools.loader import load_catalogue
from airlock.tools.openapi.services import tools_of_services
from airlock.tools.web import HttpSettings
from tests.mcp.attached import attached
from tests.openapi.answering import answering
from tests.openapi.service import DOCUMENT, ENTRIES, billing

SOMEWHERE = "http://127.0.0.1:9"


def loaded(**given: Any) -> Catalogue:
    return load_catalogue(parse_config(billing(SOMEWHERE, **given), {}))


def told(**given: Any) -> str:
    with pytest.raises(ConfigError) as error:
        loaded(**given)
    return str(error.value)


def changed(folder: Path, change: Any) -> Path:
    found = json.loads(DOCUMENT.read_text())
    change(found)
    path = folder / "changed.json"
    path.write_text(json.dumps(found))
    return path


def test_an_operation_without_an_entry_is_rated_as_the_worst_even_a_get() -> None:
    catalogue = loaded(entries="")
    for name in ("listAccounts", "openAccount", "readAccount", "closeAccount"):
        contract = catalogue.contract(f"billing.{name}")
        rated = contract.risk.value, contract.reversibility.value, contract.approval_required, contract.has_dry_run
        assert rated == ("HIGH", "irreversible", True, False)


def test_an_entry_is_the_contract_and_arguments_are_those_of_the_document() -> None:
    catalogue = loaded()
    opening = catalogue.contract("billing.openAccount")
    assert (opening.has_dry_run, opening.has_compensate, opening.has_probe) == (True, True, True)
    assert opening.description == "Open an account."
    tool = catalogue.get("billing.openAccount")
    assert tool is not None
    with pytest.raises(ValidationError, match="gold"):
        tool.arguments.model_validate({"body": {"name": "A", "plan": "gold"}})


def test_the_answer_that_a_document_declares_is_known_to_plans(tmp_path: Path) -> None:
    def declare(found: dict[str, Any]) -> None:
        schema = {"type": "object", "properties": {"id": {"type": "string"}}, "additionalProperties": False}
        content = {"application/json": {"schema": schema}}
        found["paths"]["/accounts"]["post"]["responses"] = {"201": {"description": "made", "content": content}}

    tool = loaded(named=changed(tmp_path, declare)).get("billing.openAccount")
    assert tool is not None
    shape = OutputShape(tool.output)
    assert shape.lacks(["body", "id"]) is None
    assert shape.lacks(["body", "name"]) is not None


@pytest.mark.parametrize(
    "change",
    [
        lambda found: found["paths"]["/accounts"]["get"].update(summary="List, and more."),
        lambda found: found["paths"].update({"/other": {"get": {"operationId": "other"}}}),
        lambda found: found["paths"].update({"/moved/{id}": found["paths"].pop("/accounts/{id}")}),
    ],
)
def test_the_document_is_pinned_in_the_contract(tmp_path: Path, change: Any) -> None:
    changing, names = loaded(named=changed(tmp_path, change)), ("listAccounts", "closeAccount", "openAccount")
    digests = [
        (loaded().contract(f"billing.{name}").digest(), changing.contract(f"billing.{name}").digest()) for name in names
    ]
    assert any(before != after for before, after in digests)
    assert digests[2][0] != digests[2][1], "it uses both others"


@pytest.mark.parametrize("more", ['headers = { Key = "a" }', 'headers = { Key = { "$secret" = "k" } }'])
def test_the_way_to_a_service_belongs_to_the_contract(more: str) -> None:
    name = "billing.listAccounts"
    assert loaded().contract(name).digest() != loaded(more=more).contract(name).digest()
    elsewhere = load_catalogue(parse_config(billing("http://127.0.0.1:10"), {}))
    assert loaded().contract(name).digest() != elsewhere.contract(name).digest()


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"named": "no-such.json"}, ["openapi.billing: no-such.json: No such file"]),
        ({"entries": "[openapi.billing.tools.openAcount]\nrisk = 'LOW'"}, ["no tool of this name", "'openAccount'"]),
        ({"entries": ENTRIES.replace("id: output.body.id", "id: args.id")}, ["reads args.id"]),
        ({"entries": ENTRIES.replace("{params: {id: output", "{parms: {id: output")}, ["takes no argument 'parms'"]),
        ({"entries": ENTRIES + '\nerrors = "no_effect"\n'}, ["errors", "closeAccount"]),
        ({"more": 'only = ["closeAccount", "opens"]', "entries": ""}, ["only names 'opens', which is no operation"]),
        ({"more": "cookies = 1"}, ["openapi.billing.cookies"]),
        ({"more": 'headers = { Host = "x" }'}, ["openapi.billing", "Host"]),
    ],
)
def test_what_is_wrong_is_told_with_its_place(given: dict[str, Any], says: list[str]) -> None:
    said = told(**given)
    assert [each for each in says if each not in said] == [], said


def test_an_operation_that_cannot_be_a_tool_is_left_out_unless_it_has_an_entry(tmp_path: Path) -> None:
    def add(found: dict[str, Any]) -> None:
        form = {"requestBody": {"content": {"multipart/form-data": {}}}}
        found["paths"]["/upload"] = {"post": {"operationId": "upload", **form}, "get": {"summary": "no id"}}

    path = changed(tmp_path, add)
    assert "billing.upload" not in loaded(named=path).names
    said = told(named=path, entries=ENTRIES + '\n[openapi.billing.tools.upload]\nrisk = "HIGH"\n')
    assert (
        "openapi.billing.tools.upload: is not offered: its body is multipart/form-data, and the document names none" in said
    )


def test_a_large_document_is_offered_in_part(tmp_path: Path) -> None:
    def add(found: dict[str, Any]) -> None:
        found["paths"] |= {f"/many/{n}": {"get": {"operationId": f"many{n}"}} for n in range(600)}

    path = changed(tmp_path, add)
    assert "it has more than 500 tools" in told(named=path)
    names = loaded(named=path, entries="", more='only = ["many7", "openAccount"]').names
    assert tuple(names) == ("billing.many7", "billing.openAccount")


@pytest.mark.parametrize(
    "paths",
    [
        [], {"/a": 1}, {"/a": {"get": 1}}, {"/a": {"get": {"operationId": [1]}}},
        {"/a": {"get": {"operationId": "a", "parameters": 5}}},
        {"/a": {"get": {"operationId": "a", "responses": {"200": {"content": 5}}}}},
        {"/a": {"post": {"operationId": "a", "requestBody": {"content": {"application/json": 5}}}}},
    ],
)  # fmt: skip
def test_a_document_that_is_none_is_refused_in_words(tmp_path: Path, paths: Any) -> None:
    path = tmp_path / "strange.json"
    path.write_text(json.dumps({"openapi": "3.1.0", "paths": paths}))
    _, problems = tools_of_services({"billing": OpenApiService(document=str(path), server=SOMEWHERE)}, {})
    assert {problem.where for problem in problems} <= {"openapi.billing"}, "what cannot be used may be left out, too"


def test_a_service_and_a_server_cannot_have_one_name(tmp_path: Path) -> None:
    pins = tmp_path / "pins.json"
    pins.write_text("[]")
    both = billing(SOMEWHERE) + f'\n[mcp.billing]\ncommand = "x"\ndefinitions = {str(pins)!r}\n'
    with pytest.raises(ConfigError, match=r"openapi.billing: an MCP server has this name, too"):
        load_catalogue(parse_config(both, {}))


def test_import_prints_the_careful_entries(tmp_path: Path) -> None:
    config = tmp_path / "airlock.toml"
    config.write_text(billing(SOMEWHERE, entries=""))
    copy = tmp_path / "pinned" / "billing.json"
    done = CliRunner().invoke(app, ["tools", "import", "billing", "--config", str(config), "--definitions", str(copy)])
    assert done.exit_code == 0, done.output
    assert "GET only reads, as HTTP defines it" in done.output
    assert copy.read_bytes() == DOCUMENT.read_bytes()
    printed = load_catalogue(parse_config(billing(SOMEWHERE, named=copy, entries=done.output), {}))
    assert printed.contract("billing.closeAccount").risk.value == "HIGH"
    assert CliRunner().invoke(app, ["tools", "import", "biling", "--config", str(config)]).exit_code != 0


def test_a_document_may_be_a_url() -> None:
    with answering((200, DOCUMENT.read_bytes())) as (url, asked):
        assert "billing.openAccount" in loaded(named=f"{url}/openapi.json", more='headers = { Key = "k" }').names
    assert [each.path for each in asked] == ["/openapi.json"]
    assert "key" not in asked[0].headers, "the host of a document gets no header of the service"
    with answering((404, b"{}")) as (url, _):
        assert "was answered 404" in told(named=f"{url}/openapi.json")


async def test_requests_carry_secrets_and_the_key_and_errors_tell_none() -> None:
    headers = 'headers = { Authorization = { "$secret" = "billing" } }'
    token = "a-token-that-must-not-be-told"
    with answering((500, token.encode()), (422, token.encode()), (404, b"{}")) as (url, asked):
        toml = billing(url, more=headers)
        async with attached(toml, {"AIRLOCK_SECRET_BILLING": token}) as service:
            assert service.catalogue.contract("billing.openAccount").needs_secrets == ("billing",)

            def call(name: str, mode: Mode = Mode.LIVE, **more: Any) -> Any:
                return service.call(name, mode, settings=HttpSettings(), secret=lambda _: token, **more)

            with pytest.raises(InDoubt) as doubt:
                await service.run("billing.openAccount", "live", call("billing.openAccount"), body={"name": "A"})
            with pytest.raises(ToolFailed) as refused:
                await service.run("billing.openAccount", "live", call("billing.openAccount"), body={"name": "A"})
            undo = call("billing.openAccount", undo={"before": None, "output": {"body": {"id": "1"}}})
            await service.run("billing.openAccount", "compensate", undo, body={"name": "A"})  # gone is undone
    assert token not in str(doubt.value)
    assert token not in str(refused.value)
    assert [each.method for each in asked] == ["POST", "POST", "DELETE"]
    assert {each.headers["authorization"] for each in asked} == {token}
    assert [each.headers["idempotency-key"] for each in asked] == ["plan-1/step-1", "plan-1/step-1", "plan-1/step-1/undo"]


async def test_no_argument_leads_to_another_host_or_path() -> None:
    with answering((200, b"{}")) as (url, asked):
        async with attached(billing(url)) as service:
            call = service.call("billing.readAccount", settings=HttpSettings())
            await service.run("billing.readAccount", "live", call, params={"id": "../../x?y=//evil.test"})
            with pytest.raises(ToolFailed):
                await service.run("billing.readAccount", "live", call, params={"id": ".."})
    assert [each.path for each in asked] == ["/billing/accounts/..%2F..%2Fx%3Fy%3D%2F%2Fevil.test"]
