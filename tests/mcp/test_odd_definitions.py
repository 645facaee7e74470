"""Servers whose definitions and answers are unusual: what is offered, what is sent, and what is told of the rest."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from airlock.admission.configuration.config import parse_config
from airlock.base.errors import ConfigError, InDoubt, ToolFailed
from airlock.tools.loader import load_catalogue
from tests.mcp.attached import attached

RAW = Path(__file__).with_name("raw_server.py")
NODE = {
    "type": "object",
    "properties": {"value": {"type": "integer"}, "kids": {"type": "array", "items": {"$ref": "#/$defs/Node"}}},
    "required": ["value"],
}
TEXT = {"type": "string"}
WEIRD = ("my-arg", "class", "self", "model_config", "a.b", "", "äö", "$x")


def properties(**fields: Any) -> dict[str, Any]:
    return {"type": "object", "properties": fields}


SCHEMAS: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    # the schema, the arguments of a plan, and those that the server gets
    "nothing": (properties(), {}, {}),
    "union": (properties(v={"anyOf": [{"type": "string"}, {"type": "null"}], "default": None}), {}, {"v": None}),
    "unfit_default": (properties(sheet={"type": "string", "default": None}, n={"type": "integer"}), {"n": 1}, {"n": 1}),
    "enum": (properties(v={"enum": ["a", 1, None, True]}), {"v": None}, {"v": None}),
    "recursive": (
        {**properties(root={"$ref": "#/$defs/Node"}), "$defs": {"Node": NODE}},
        {"root": {"value": 1, "kids": [{"value": 2}]}},
        {"root": {"value": 1, "kids": [{"value": 2}]}},
    ),
    "referred": ({"type": "object", "$ref": "#/$defs/Node", "$defs": {"Node": NODE}}, {"value": 1}, {"value": 1}),
    "one_of_two": ({"type": "object", "anyOf": [{"required": ["a"]}, {"required": ["b"]}]}, {"a": 1}, {"a": 1}),
    "open": ({"type": "object", "additionalProperties": {"type": "number"}}, {"q": 1.5}, {"q": 1.5}),
    "by_pattern": (properties(m={"type": "object", "patternProperties": {"^x": TEXT}}), *[{"m": {"x": "y"}}] * 2),
    "old_draft": (
        {**properties(t={"$ref": "#/definitions/t"}), "$schema": "http://json-schema.org/draft-07/schema#",
         "definitions": {"t": {"type": "array", "items": [{"type": "string"}], "additionalItems": False}}},
        {"t": ["a"]}, {"t": ["a"]},
    ),
    "weird/name.with-dots": (properties(**dict.fromkeys(WEIRD, TEXT)), *[dict.fromkeys(WEIRD, "v")] * 2),
    "x" * 128: (properties(), {}, {}),
}  # fmt: skip
NOT_OFFERED = {
    "with space": properties(), "ünicode": properties(), "y" * 129: properties(),
    "outside": properties(k={"$ref": "https://elsewhere.test/y.json"}),
}  # fmt: skip
NUMBER = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


def listed(name: str, schema: dict[str, Any], output: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"name": name, "inputSchema": schema, **({"outputSchema": output} if output else {})}


def server(folder: Path, tools: list[dict[str, Any]], answers: dict[str, Any], kind: str = "usual", reads: str = "") -> str:
    (folder / "tools.json").write_text(json.dumps(tools))
    (folder / "answers.json").write_text(json.dumps(answers))
    section = f"[mcp.raw]\ncommand = {sys.executable!r}\nargs = [{str(RAW)!r}, {str(folder)!r}, {kind!r}]\n"
    entry = f'[mcp.raw.tools.{reads}]\nrisk = "LOW"\nreversibility = "read_only"\n' if reads else ""
    return f"[catalogue]\nmodules = []\n{section}{entry}"


@pytest.mark.parametrize("kind", ["usual", "paged", "noisy"])
async def test_each_tool_gets_the_arguments_that_were_planned(tmp_path: Path, kind: str) -> None:
    tools = [listed(name, schema) for name, (schema, _, _) in SCHEMAS.items()]
    tools += [listed(name, schema) for name, schema in NOT_OFFERED.items()]
    async with attached(server(tmp_path, tools, {}, kind)) as attachment:
        assert set(attachment.catalogue.names) == {f"raw.{name}" for name in SCHEMAS}
        for name, (_, given, sent) in SCHEMAS.items():
            answer = await attachment.run(f"raw.{name}", "live", None, **given)
            assert answer["data"] == sent, name


async def test_a_list_that_changes_during_a_run_is_noticed_at_the_next_call(tmp_path: Path) -> None:
    tools = [listed(name, properties()) for name in ("look", "add")]
    async with attached(server(tmp_path, tools, {})) as attachment:
        await attachment.run("raw.add")
        with pytest.raises(ToolFailed, match="it has tools that it had not: added"):
            await attachment.run("raw.look")


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ({"content": [], "structuredContent": {"n": "x"}}, "is not what it promises"),
        ({"content": [{"type": "text", "text": '{"n": 1}'}]}, "did not return structured content"),
        ({"content": None}, "is none of the protocol: content"),
        ({"content": [{"type": "hologram"}]}, "is none of the protocol: content.0"),
    ],
)
async def test_an_answer_that_is_none_is_a_failure_of_a_read_and_a_doubt_of_a_write(
    tmp_path: Path, answer: dict[str, Any], says: str
) -> None:
    tools = [listed(name, properties(), NUMBER) for name in ("look", "write")]
    async with attached(server(tmp_path, tools, {"look": answer, "write": answer}, reads="look")) as attachment:
        with pytest.raises(ToolFailed) as failed:
            await attachment.run("raw.look")
        with pytest.raises(InDoubt) as doubt:
            await attachment.run("raw.write")
    assert says in str(failed.value)
    assert says in str(doubt.value)
    assert "pydantic.dev" not in str(failed.value)


async def test_what_a_server_writes_beside_its_messages_is_not_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with attached(server(tmp_path, [listed("look", properties())], {}, "noisy", reads="look")) as attachment:
        await attachment.run("raw.look")
    assert "is no message" in caplog.text
    assert "Listening" not in caplog.text
    assert "Traceback" not in caplog.text


@pytest.mark.parametrize("kind", ["usual", "paged"])
def test_a_definition_that_the_protocol_refuses_is_told_by_its_place(tmp_path: Path, kind: str) -> None:
    fine = [listed(name, properties()) for name in ("one", "two", "three")]
    toml = server(tmp_path, [*fine, listed("untyped", {})], {}, kind)
    with pytest.raises(ConfigError) as error:
        load_catalogue(parse_config(toml, {}))
    assert "tool 4 of the list: inputSchema.type: Field required, as the protocol says" in str(error.value)
    assert "let its author correct it" in error.value.problems[0].fix, "no file of definitions would help"


def test_two_tools_of_one_name_are_the_authors_to_correct(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="two tools of one name: one ") as error:
        load_catalogue(parse_config(server(tmp_path, [listed("one", properties())] * 2, {}), {}))
    assert "let its author correct it" in error.value.problems[0].fix
