"""Answers that say that a call failed, though the server does not mark them: what the operator's `failed` makes of them."""

from pathlib import Path
from typing import Any

import pytest

from airlock.admission.configuration.config import parse_config
from airlock.base.errors import ConfigError, InDoubt, ToolFailed
from airlock.tools.loader import load_catalogue
from airlock.tools.rated.session import ToolSaidError
from airlock.tools.web import HttpSettings
from tests.mcp.attached import attached
from tests.mcp.test_odd_definitions import listed, properties, server
from tests.openapi.answering import answering
from tests.openapi.service import billing

ANSWERS = {
    "look": {"content": [{"type": "text", "text": "Error: there is no such note"}]},
    "write": {"content": [{"type": "text", "text": "Error: read only"}]},
}
TOOLS = [listed(name, properties(name={"type": "string"})) for name in ("look", "write")]
READS = '[mcp.raw.tools.look]\nrisk = "LOW"\nreversibility = "read_only"\n'
WRITES = '[mcp.raw.tools.write]\nrisk = "MEDIUM"\nreversibility = "irreversible"\n'
FAILED = "failed = \"starts_with(answer.text, 'Error')\"\n"


def toml(folder: Path, entries: str, answers: dict[str, Any] = ANSWERS) -> str:
    return server(folder, TOOLS, answers) + entries


@pytest.mark.parametrize(
    ("entry", "error", "says"),
    [
        (FAILED, InDoubt, "its answer says that it failed"),
        (f'errors = "no_effect"\n{FAILED}', ToolFailed, "Error: read only"),
        ("failed = { when = \"starts_with(answer.text, 'Error')\", no_effect = true }\n", ToolFailed, "Error: read only"),
        ("failed = \"starts_with(answer.data, 'x')\"\n", InDoubt, "whether it failed cannot be told"),
    ],
)
async def test_a_write_that_says_it_failed(tmp_path: Path, entry: str, error: type[Exception], says: str) -> None:
    async with attached(toml(tmp_path, WRITES + entry)) as tools:
        with pytest.raises(error, match=says) as told:
            await tools.run("raw.write")
    assert type(told.value) in (error, ToolSaidError)


async def test_an_answer_that_says_otherwise_is_an_output(tmp_path: Path) -> None:
    async with attached(toml(tmp_path, WRITES + FAILED, {"write": {"content": []}})) as tools:
        assert (await tools.run("raw.write"))["text"] == ""


async def test_without_it_such_a_call_counts_as_made(tmp_path: Path) -> None:
    async with attached(toml(tmp_path, WRITES)) as tools:
        assert (await tools.run("raw.write"))["text"] == "Error: read only"


async def test_a_read_fails_and_a_state_may_be_absent_by_it(tmp_path: Path) -> None:
    observed = 'observe = { tool = "look", args = "{name: args.name}", absent = "no such note" }\n'
    entries = READS + FAILED + WRITES + observed + FAILED
    async with attached(toml(tmp_path, entries)) as tools:
        with pytest.raises(ToolSaidError, match="no such note"):
            await tools.run("raw.look", name="a")
        preview = await tools.run("raw.write", "dry_run", name="a")
        assert "Before: null" in preview.effect
        # the state is as before, so the call has done nothing
        with pytest.raises(ToolFailed, match="answers as before"):
            await tools.run("raw.write", name="a")


def test_the_expression_belongs_to_the_contracts_that_rely_on_it(tmp_path: Path) -> None:
    observed = 'observe = { tool = "look", args = "{name: args.name}" }\n'
    plain = load_catalogue(parse_config(toml(tmp_path, READS + WRITES + observed), {}))
    judged = load_catalogue(parse_config(toml(tmp_path, READS + FAILED + WRITES + observed), {}))
    for name in ("raw.look", "raw.write"):
        assert plain.contract(name).entry != judged.contract(name).entry


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ("failed = \"starts_with(output.text, 'x')\"", "reads 'output', but there is only: args, answer"),
        ('failed = "args.nme"', "the tool takes no such argument"),
        ('failed = "("', "is no JMESPath"),
        ("failed = { no_effect = true }", "failed"),
    ],
)
def test_a_wrong_expression_is_told_at_start(tmp_path: Path, entry: str, says: str) -> None:
    with pytest.raises(ConfigError) as error:
        load_catalogue(parse_config(toml(tmp_path, WRITES + entry), {}))
    assert says in str(error.value)


async def test_a_service_that_refuses_with_the_status_200() -> None:
    entry = (
        '[openapi.billing.tools.openAccount]\nrisk = "MEDIUM"\nreversibility = "irreversible"\n'
        'failed = { when = "answer.body.ok == `false`", no_effect = true }\n'
    )
    with answering((200, b'{"ok": false, "error": "not_in_channel"}')) as (url, asked):
        async with attached(billing(url, entries=entry)) as service:
            call = service.call("billing.openAccount", settings=HttpSettings())
            with pytest.raises(ToolFailed, match="not_in_channel"):
                await service.run("billing.openAccount", "live", call, body={"name": "A"})
    assert [each.method for each in asked] == ["POST"]
