"""Tools of an OpenAPI document: what becomes of its operations, and their calls against a real service."""

import importlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from airlock.base.errors import ContractError
from airlock.plans.contract import Mode, Risk
from airlock.plans.tool import Tool
from airlock.tools.openapi import openapi_tools
from devtools.environment import ROOT
from sandbox.processes import SandboxProcess

DOCUMENT = ROOT / "examples" / "openapi" / "billing.json"
Runner = Callable[..., Any]


@pytest.fixture
def tools(crm_process: SandboxProcess, monkeypatch: pytest.MonkeyPatch) -> dict[str, Tool]:
    monkeypatch.setenv("BILLING_URL", crm_process.url)
    module = importlib.reload(importlib.import_module("examples.openapi_billing"))
    return {tool.name: tool for tool in module.TOOLS}


def hosts(process: SandboxProcess) -> dict[str, Any]:
    return {"allow_hosts": [process.url.removeprefix("http://")]}


def test_each_operation_is_a_tool_and_what_writes_is_rated_as_the_worst(tools: dict[str, Tool]) -> None:
    rated = {name: (tool.contract().risk.value, tool.contract().reversibility.value) for name, tool in tools.items()}
    assert rated == {
        "billing.listAccounts": ("LOW", "read_only"),
        "billing.openAccount": ("MEDIUM", "reversible"),
        "billing.readAccount": ("LOW", "read_only"),
        "billing.closeAccount": ("HIGH", "irreversible"),
    }
    assert tools["billing.openAccount"].contract().description == "Open an account."


@pytest.mark.parametrize(
    ("args", "wrong"),
    [
        ({}, "body"),
        ({"body": {}}, "body.name"),
        ({"body": {"name": ""}}, "body.name"),
        ({"body": {"name": "A", "plan": "gold"}}, "body.plan"),
        ({"body": {"name": "A", "other": 1}}, "body.other"),
        ({"body": {"name": "A"}, "query": {}}, "query"),
    ],
)
def test_arguments_are_checked_by_the_schema_of_the_document(
    tools: dict[str, Tool], args: dict[str, Any], wrong: str
) -> None:
    with pytest.raises(ValidationError) as error:
        tools["billing.openAccount"].arguments.model_validate(args)
    assert wrong in {".".join(map(str, item["loc"])) for item in error.value.errors()}


def test_a_nullable_component_takes_null(tools: dict[str, Tool]) -> None:
    tools["billing.openAccount"].arguments.model_validate({"body": {"name": "A", "plan": None}})


async def test_calls_reach_the_service_and_are_undone(
    tools: dict[str, Tool], crm_process: SandboxProcess, runner: Runner
) -> None:
    opening = runner(tools["billing.openAccount"], hosts(crm_process), key="openapi/one")
    preview = await opening.dry_run(body={"name": "Acme", "email": "a@acme.test"})
    assert "Would POST" in preview.effect
    call = opening.call(Mode.LIVE)
    made = await tools["billing.openAccount"].live(
        tools["billing.openAccount"].arguments.model_validate({"body": {"name": "Acme", "email": "a@acme.test"}}), call
    )
    assert made["status"] == 201
    listing = runner(tools["billing.listAccounts"], hosts(crm_process))

    async def found() -> list[Any]:
        args = tools["billing.listAccounts"].arguments.model_validate({"query": {"email": "a@acme.test"}})
        answer = await tools["billing.listAccounts"].live(args, listing.call(Mode.LIVE))
        return list(answer["body"]["accounts"])

    assert [each["id"] for each in await found()] == [made["body"]["id"]]
    reading = runner(tools["billing.readAccount"], hosts(crm_process))
    assert made["body"]["id"] in json.dumps((await reading.dry_run(params={"id": made["body"]["id"]})).output)
    undo: Any = tools["billing.openAccount"].functions["compensate"]
    await undo(tools["billing.openAccount"].arguments.model_validate({"body": {"name": "Acme"}}), call)
    assert await found() == []


def wrong(**changes: Any) -> dict[str, Any]:
    return {**json.loads(DOCUMENT.read_text()), **changes}


OPERATION = {"operationId": "x", "responses": {}}


@pytest.mark.parametrize(
    ("document", "more", "says"),
    [
        (wrong(openapi="2.0"), {}, "no OpenAPI document of version 3.0, 3.1 or 3.2"),
        ({"swagger": "2.0"}, {}, "swagger is '2.0': convert it"),
        (wrong(servers=[{"url": "/v1"}]), {}, "give `url`"),
        (wrong(paths={"/a/{b}": {"get": OPERATION}}), {}, "do not fit: 'b'"),
        (wrong(paths={"/a": {"get": {**OPERATION, "operationId": "a b"}}}), {}, "ASCII letters"),
        (wrong(paths={"/a": {"post": {**OPERATION, "requestBody": {"content": {"text/xml": {}}}}}}), {}, "only JSON"),
        (
            wrong(paths={"/a": {"get": {**OPERATION, "parameters": [{"name": "k", "in": "header", "required": True}]}}}),
            {},
            "operation 'x': it needs the header 'k'",
        ),
        (
            wrong(paths={"/a": {"post": {**OPERATION, "requestBody": {"content": {"application/json": {
                "schema": {"$ref": "other.json#/x"}}}}}}}),
            {},
            "leads out of this document",
        ),
        (wrong(), {"rated": {"openAcount": {"risk": "LOW"}}}, "did you mean 'openAccount'"),
        (wrong(), {"rated": {"openAccount": {"reversibility": "reversible"}}}, "needs a compensate function"),
    ],
)  # fmt: skip
def test_a_document_that_cannot_be_used_is_told(document: dict[str, Any], more: dict[str, Any], says: str) -> None:
    with pytest.raises(ContractError) as error:
        openapi_tools(document, name="n", **more)
    assert says in str(error.value)


def test_exclusive_limits_and_loops_of_the_old_version(tmp_path: Path) -> None:
    body = {
        "type": "object",
        "properties": {
            "n": {"type": "integer", "minimum": 0, "exclusiveMinimum": True},
            "next": {"$ref": "#/components/schemas/Node"},
        },
    }
    document = {
        "openapi": "3.0.0", "servers": [{"url": "http://x"}], "components": {"schemas": {"Node": body}},
        "paths": {"/a": {"post": {"operationId": "x", "requestBody": {"content": {"application/json": {
            "schema": {"$ref": "#/components/schemas/Node"}}}}}}},
    }  # fmt: skip
    path = tmp_path / "document.json"
    path.write_text(json.dumps(document))
    (tool,) = openapi_tools(path, name="n", rated={"x": {"risk": "MEDIUM"}})
    assert tool.contract().risk is Risk.MEDIUM
    tool.arguments.model_validate({"body": {"n": 1, "next": {"n": 2}}})
    with pytest.raises(ValidationError):
        tool.arguments.model_validate({"body": {"n": 1, "next": {"n": 0}}})
