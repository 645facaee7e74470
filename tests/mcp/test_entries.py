"""The section of a server and the entries of its tools: what is understood, and what a wrong one is told."""

import json
from pathlib import Path
from typing import Any

import pytest

from airlock.admission.configuration.config import parse_config
from airlock.base.errors import ConfigError
from airlock.cli.tools_import import entry_lines
from airlock.plans.arguments.output_shape import OutputShape
from airlock.plans.catalogue import Catalogue
from airlock.plans.tool_document import catalogue_document
from airlock.tools.loader import load_catalogue
from airlock.tools.rated.definitions import MAX_TOOLS
from airlock.tools.rated.mappings import Expression
from airlock.tools.rated.output_schema import without_refs
from airlock.tools.rated.own_model import unusable

OBJECT = {"type": "object", "properties": {"id": {"type": "string"}}, "required": ["id"], "additionalProperties": False}
UPDATE = {
    "type": "object",
    "properties": {"id": {"type": "string"}, "name": {"type": "string"}, "dry_run": {"type": "boolean"}},
    "required": ["id", "name"],
    "additionalProperties": False,
}
TOOLS: list[dict[str, Any]] = [
    {"name": "get", "description": "Get it.", "input_schema": OBJECT, "output_schema": {
        "type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}},
    {"name": "set", "title": "Set it", "input_schema": UPDATE, "annotations": {"destructive_hint": False}},
    {"name": "drop", "input_schema": OBJECT},
]  # fmt: skip
READ = '[mcp.crm.tools.get]\nrisk = "LOW"\nreversibility = "read_only"\n'


def loaded(folder: Path, entries: str = "", server: str = "", tools: object = TOOLS) -> Catalogue:
    pins = folder / "crm.json"
    pins.write_text(json.dumps(tools))
    section = f'command = "no-such-program"\ndefinitions = {str(pins)!r}\n{server}'
    return load_catalogue(parse_config(f"[catalogue]\nmodules = []\n[mcp.crm]\n{section}\n{entries}", {}))


def told(folder: Path, entries: str = "", server: str = "", tools: object = TOOLS) -> str:
    with pytest.raises(ConfigError) as error:
        loaded(folder, entries, server, tools)
    return str(error.value)


def test_a_tool_without_an_entry_is_rated_as_the_worst(tmp_path: Path) -> None:
    contract = loaded(tmp_path).contract("crm.set")
    rated = contract.model_dump(mode="json")
    assert {key: rated[key] for key in ("risk", "reversibility", "approval_required", "has_dry_run", "fidelity")} == {
        "risk": "HIGH",
        "reversibility": "irreversible",
        "approval_required": True,
        "has_dry_run": False,
        "fidelity": "none",
    }
    assert contract.description == "Set it"
    assert len(contract.definition) == 64


def test_the_annotations_of_a_server_change_nothing_but_the_pin(tmp_path: Path) -> None:
    claims = [{**each, "annotations": {"read_only_hint": True, "destructive_hint": False}} for each in TOOLS]
    before, after = loaded(tmp_path).contract("crm.drop"), loaded(tmp_path, tools=claims).contract("crm.drop")
    assert before.definition != after.definition
    assert before.model_copy(update={"definition": ""}) == after.model_copy(update={"definition": ""})


MAPPED = (
    '[mcp.crm.tools.set]\nrisk = "MEDIUM"\nreversibility = "reversible"\n'
    'observe = { tool = "get", args = "{id: args.id}" }\n'
    'compensate = { tool = "set", args = "{id: args.id, name: before.name}" }\n'
    'probe = { tool = "get", args = "{id: args.id}", happened = "answer.name == args.name" }\n'
)


@pytest.mark.parametrize(
    ("was", "becomes"),
    [
        ("name: before.name", "name: args.name"),
        ("answer.name == args.name", "answer.name != args.name"),
        ('observe = { tool = "get",', 'observe = { tool = "get", state = "name",'),
        ('probe = { tool = "get",', 'errors = "no_effect"\nprobe = { tool = "get",'),
        ("observe = {", 'dry_run = { argument = "dry_run" }\nobserve = {'),
    ],
)
def test_a_mapping_belongs_to_the_contract(tmp_path: Path, was: str, becomes: str) -> None:
    assert was in MAPPED
    before = loaded(tmp_path, READ + MAPPED).contract("crm.set")
    after = loaded(tmp_path, READ + MAPPED.replace(was, becomes)).contract("crm.set")
    assert after.digest() != before.digest()
    assert loaded(tmp_path, READ + MAPPED).contract("crm.set").digest() == before.digest()


@pytest.mark.parametrize(
    "server",
    ['args = ["--other-database"]', 'errors = "no_effect"', 'roles = ["live"]', 'env = { KEY = { "$secret" = "k" } }'],
)
def test_the_way_to_a_server_belongs_to_the_contract(tmp_path: Path, server: str) -> None:
    assert loaded(tmp_path).contract("crm.drop").digest() != loaded(tmp_path, server=server).contract("crm.drop").digest()
    assert loaded(tmp_path).contract("crm.drop") == loaded(tmp_path, server="connect_timeout = 60").contract("crm.drop")


def test_a_named_tool_that_changes_is_another_contract(tmp_path: Path) -> None:
    other = [{**each, "description": "Get it, and more."} if each["name"] == "get" else each for each in TOOLS]
    before, after = (loaded(tmp_path, READ + MAPPED, tools=tools).contract("crm.set") for tools in (TOOLS, other))
    assert before.definition == after.definition
    assert before.digest() != after.digest()


def test_a_digest_of_the_entry_cannot_be_written(tmp_path: Path) -> None:
    assert "entry follows from what the server says" in told(tmp_path, '[mcp.crm.tools.drop]\nentry = "abc"\n')


def test_an_entry_is_the_contract(tmp_path: Path) -> None:
    entry = (
        '[mcp.crm.tools.set]\nrisk = "MEDIUM"\nreversibility = "reversible"\npermissions = ["crm:write"]\n'
        'resources = ["contact:{id}"]\ntimeout = 5\nmax_concurrent = 2\nrate_limit = "10/m"\n'
        'observe = { tool = "get", args = "{id: args.id}" }\n'
        'compensate = { tool = "set", args = "{id: args.id, name: before.name}" }\n'
        'probe = { tool = "get", args = "{id: args.id}", happened = "answer.name == args.name" }\n'
    )
    contract = loaded(tmp_path, READ + entry).contract("crm.set", {"id": "1", "name": "Jo"})
    assert contract.undoable
    assert (contract.has_dry_run, contract.has_compensate, contract.has_probe) == (True, True, True)
    assert contract.fidelity.value == "simulated", "without a dry_run of its own, the arguments and the state are checked"
    assert (contract.timeout, contract.max_concurrent, contract.quota) == (5, 2, (10, 60.0))


def test_a_tool_that_takes_nothing_gets_nothing(tmp_path: Path) -> None:
    """`{}` is no JMESPath, and what everyone writes."""
    rows = {"name": "rows", "input_schema": {"type": "object"}}
    entries = '[mcp.crm.tools.rows]\nrisk = "LOW"\nreversibility = "read_only"\n' + SET + UNDO
    entries += 'observe = { tool = "rows", args = "{}" }\n'
    assert loaded(tmp_path, entries, tools=[*TOOLS, rows]).contract("crm.set").has_dry_run
    assert Expression("{}", ("args",)).arguments({"args": {"id": "1"}}) == {}


def test_an_output_schema_is_the_shape_of_the_output(tmp_path: Path) -> None:
    catalogue = loaded(tmp_path)
    get, drop = catalogue.get("crm.get"), catalogue.get("crm.drop")
    assert get is not None
    assert drop is not None
    assert OutputShape(get.output).lacks(["name"]) is None
    wrong = OutputShape(get.output).lacks(["nam"])
    assert wrong is not None
    assert wrong.likely == ("name",)
    assert OutputShape(drop.output).lacks(["data", "anything"]) is None
    assert OutputShape(drop.output).lacks(["text"]) is None


SET = '[mcp.crm.tools.set]\nrisk = "MEDIUM"\nreversibility = "reversible"\n'
UNDO = 'compensate = { tool = "set", args = "{id: args.id, name: args.name}" }\n'


@pytest.mark.parametrize(
    ("entries", "says"),
    [
        ('[mcp.crm.tools.gett]\nrisk = "LOW"\n', ["mcp.crm.tools.gett: the server has no tool of this name", "'get'"]),
        (SET, ["mcp.crm.tools.set", "needs a compensate function"]),
        ('[mcp.crm.tools.set]\nrisk = "HUGE"\n', ["mcp.crm.tools.set.risk"]),
        ('[mcp.crm.tools.set]\nrsik = "LOW"\n', ["mcp.crm.tools.set.rsik", "'risk'"]),
        ("[mcp.crm.tools.set]\nhas_probe = true\n", ["has_probe follows from"]),
        ('[mcp.crm.tools.set]\ndry_run = "read"\n', ["only a read_only tool may have it"]),
        ('[mcp.crm.tools.set]\ndry_run = { argument = "dryrun" }\n', ["the tool has no argument 'dryrun'"]),
        ('[mcp.crm.tools.set]\ndry_run = { tool = "drop" }\n', ["drop is called before any approval"]),
        ('[mcp.crm.tools.set]\ndry_run = "sometimes"\n', ["mcp.crm.tools.set.dry_run"]),
        (SET + 'compensate = { tool = "unset" }\n', ["compensate.tool: the server has no tool 'unset'", "'set'"]),
        (SET + 'compensate = { tool = "set", args = "{id: args.id}" }\n', ["compensate.args: set needs name"]),
        (SET + 'compensate = { tool = "set", args = "{ }" }\n', ["compensate.args: set needs id, name"]),
        (SET + 'compensate = { tool = "drop", args = "{id: args.id, x: args.id}" }\n', ["drop takes no argument 'x'"]),
        (SET + 'compensate = { tool = "drop", args = "{id: args.idd}" }\n', ["reads args.idd"]),
        (SET + 'compensate = { tool = "drop", args = "{id: arg.id}" }\n', ["reads 'arg', but there is only: args"]),
        (SET + 'compensate = { tool = "drop", args = "{id: args.id" }\n', ["is no JMESPath"]),
        (SET + 'compensate = { tool = "drop", args = "{id: before.id}" }\n', ["the entry has no observe"]),
        (SET + UNDO + 'observe = { tool = "drop", args = "{id: args.id}" }\n', ["drop is called before any approval"]),
        (READ + SET + UNDO + 'probe = { tool = "get", args = "{id: args.id}" }\n', ["probe", "happened"]),
        (SET + 'compensate = [{ tool = "set", when = "before == null" }]\n', ["a literal is written as `null`"]),
        ('[mcp.crm.tools.set]\nmock = "{id: output.id}"\n', ["reads 'output'"]),
    ],
)
def test_a_wrong_entry_is_told_at_start_with_its_place(tmp_path: Path, entries: str, says: list[str]) -> None:
    said = told(tmp_path, entries)
    assert [each for each in says if each not in said] == [], said
    assert "fix:" in said


@pytest.mark.parametrize(
    ("section", "says"),
    [
        ('[mcp.crm]\nurl = "http://x"\ncommand = "x"', "either a command or a url"),
        ("[mcp.crm]\nroles = ['live']", "either a command or a url"),
        ('[mcp.crm]\ncommand = "x"\nroles = ["live"]', "definitions must name a file"),
        ('[mcp.crm]\ncommand = "x"\nroles = ["rehearse"]', 'roles must hold "live"'),
        ('[mcp.crm]\ncommand = "x"\nheaders = { a = "b" }', "headers are for a url"),
        ('[mcp.crm]\nurl = "http://x"\nargs = ["b"]', "are for a command"),
        ('[mcp.CRM]\ncommand = "x"', "is no name of a server"),
        ('[mcp."cr m"]\ncommand = "x"', "is no name of a server"),
        ('[mcp.crm]\ncomand = "x"', "comand"),
        ('[mcp.crm]\ncommand = "x"\nenv = { T = { secret = "t" } }', "env"),
        ('[mcp.crm]\ncommand = "x"\ndefinitions = "nowhere.json"', "airlock tools import crm --definitions nowhere.json"),
        ('[mcp.crm]\ncommand = "no-such-program-at-all"', "MCP server 'crm' cannot be reached"),
    ],
)
def test_a_wrong_section_is_told_at_start(section: str, says: str) -> None:
    with pytest.raises(ConfigError) as error:
        load_catalogue(parse_config(f"[catalogue]\nmodules = []\n{section}\n", {}))
    assert says in str(error.value)
    assert "mcp" in str(error.value)


@pytest.mark.parametrize(
    ("tools", "says"),
    [
        ([TOOLS[0], TOOLS[0]], "two tools of one name"),
        ([{**TOOLS[0], "name": f"t{n}"} for n in range(MAX_TOOLS + 1)], f"more than {MAX_TOOLS} tools"),
        ([{**TOOLS[0], "description": "x" * 2_000_001}], "more than 2,000,000 bytes"),
        ({"tools": []}, "is no file of definitions"),
    ],
)
def test_definitions_that_cannot_be_used_are_refused(tmp_path: Path, tools: object, says: str) -> None:
    assert says in told(tmp_path, tools=tools)


@pytest.mark.parametrize("name", ["dröp", "d rop", "drop\n", "", "d" * 129, "\u0430dmin"])
def test_a_name_that_may_imitate_another_one_is_not_offered(tmp_path: Path, name: str) -> None:
    catalogue = loaded(tmp_path, tools=[TOOLS[0], {**TOOLS[2], "name": name}])
    assert catalogue.names == ("crm.get",)


def test_a_tool_whose_arguments_cannot_be_checked_is_not_offered(tmp_path: Path) -> None:
    wild = {"type": "object", "properties": {"x": {"$ref": "https://elsewhere.test/x.json"}}}
    assert loaded(tmp_path, tools=[TOOLS[0], {"name": "wild", "input_schema": wild}]).names == ("crm.get",)
    said = told(tmp_path, '[mcp.crm.tools.wild]\nrisk = "LOW"\n', tools=[TOOLS[0], {"name": "wild", "input_schema": wild}])
    assert "mcp.crm.tools.wild" in said
    assert "leads out of this schema" in said


def test_models_get_all_that_a_server_says_of_its_tool_and_contracts_one_line(tmp_path: Path) -> None:
    said = {"title": "Get", "description": "Get a contact.\n\n  Only one\u202e of them.  "}
    catalogue = loaded(tmp_path, tools=[{**TOOLS[0], **said}])
    (document,) = catalogue_document(catalogue)["tools"]
    assert (document["description"], document["details"]) == ("Get", "Get a contact.\n\nOnly one⟨U+202E⟩ of them.")


def test_the_pattern_that_only_the_server_can_check_is_left_to_it(tmp_path: Path) -> None:
    look_ahead = {"type": "object", "properties": {"x": {"type": "string", "pattern": "(?=a)b"}}}
    tool = loaded(tmp_path, tools=[{"name": "wild", "input_schema": look_ahead}]).get("crm.wild")
    assert tool is not None
    assert tool.arguments.model_json_schema()["properties"]["x"] == {"type": "string", "x-pattern": "(?=a)b"}


def test_an_override_of_the_contract_comes_on_top(tmp_path: Path) -> None:
    assert loaded(tmp_path, '[contracts."crm.set"]\ntimeout = 7\n').contract("crm.set").timeout == 7


def test_imported_entries_load_and_say_what_no_entry_says(tmp_path: Path) -> None:
    hostile = {
        "name": "x/y.z",
        "title": None,
        "description": 'x"\n[policy]\ndry_run_only = false\r# \x00\u202e',
        "input_schema": {"type": "object", "properties": {'a"\n[policy]': {}, "dryRun": {"type": "boolean"}}},
        "output_schema": None,
        "annotations": {"read_only_hint": True},
    }
    tools = [*TOOLS, hostile]
    lines = [
        line
        for each in tools
        for line in entry_lines("mcp.crm", {"title": None, "description": None, "annotations": {}, **each})
    ]
    bare, rated = loaded(tmp_path, tools=tools), loaded(tmp_path, "\n".join(lines), tools=tools)
    for name in bare.names:
        same = {"fidelity": "none", "has_dry_run": False}
        assert rated.contract(name).model_copy(update=same) == bare.contract(name).model_copy(update=same)
    said = "\n".join(lines)
    assert '# the server says that it only reads: risk = "LOW", reversibility = "read_only"' in said
    assert '# it may preview itself: dry_run = { argument = "dryRun", value = true }' in said
    assert '# it may preview itself: dry_run = { argument = "dry_run", value = true }' in said


@pytest.mark.parametrize(
    ("tool", "chosen"),
    [("get", "irreversible"), ("drop", "read_only")],
)
def test_a_contract_section_cannot_change_whether_a_tool_is_called_before_an_approval(
    tmp_path: Path, tool: str, chosen: str
) -> None:
    more = f'[contracts."crm.{tool}"]\nreversibility = "{chosen}"\n'
    said = told(tmp_path, READ + more)
    assert f"contracts.crm.{tool}.reversibility" in said
    assert f"write it in [mcp.crm.tools.{tool}]" in said


def test_a_contract_section_may_change_what_the_entry_does_not_decide(tmp_path: Path) -> None:
    more = '[contracts."crm.get"]\nreversibility = "read_only"\ntimeout = 5\n'
    assert loaded(tmp_path, READ + more).contract("crm.get").timeout == 5


@pytest.mark.parametrize(
    ("name", "schema", "why"),
    [
        ("smile \U0001f600", OBJECT, "other characters than letters"),
        ("wrong", {"type": "object", "properties": 5, "required": 7}, "cannot be checked"),
        ("far", {"type": "object", "properties": {"a": {"$ref": "https://example.org/a.json"}}}, "cannot be checked"),
    ],
)
def test_what_cannot_be_offered_is_told_and_gets_no_entry(name: str, schema: dict[str, Any], why: str) -> None:
    definition = {"name": name, "title": None, "description": "It.", "input_schema": schema, "annotations": {}}
    lines = list(entry_lines("mcp.crm", definition, refused=unusable(name, schema)))
    assert all(line.startswith("#") for line in lines), "appended to airlock.toml, it would break the file"
    assert why in lines[-1]


STRING = {"type": "string"}


@pytest.mark.parametrize(
    ("schema", "there", "nowhere"),
    [
        ({"properties": {"a": {"$ref": "#/$defs/A"}}, "$defs": {"A": {"type": "object", "properties": {"b": STRING}}}},
         ("a", "b"), ("a", "c")),
        ({"properties": {"a": {"$ref": "#"}, "n": STRING}}, ("a", "a", "n"), ("m",)),
        ({"properties": {"a": {"$ref": "#/properties/b"}, "b": STRING}}, ("a",), ("c",)),
        ({"properties": {"a": {"$ref": "https://example.org/a.json"}, "b": True}}, ("a", "x"), ("c",)),
        ({"properties": {"a": {"$ref": "#/$defs/gone"}, "b": {"const": {"$ref": "#/x"}}}}, ("a", "x"), ("c",)),
    ],
)  # fmt: skip
def test_references_of_an_output_schema_are_followed(
    tmp_path: Path, schema: dict[str, Any], there: tuple[str, ...], nowhere: tuple[str, ...]
) -> None:
    catalogue = loaded(
        tmp_path, tools=[{"name": "get", "input_schema": OBJECT, "output_schema": {"type": "object", **schema}}]
    )
    tool = catalogue.get("crm.get")
    assert tool is not None
    assert "$ref" not in json.dumps(catalogue_document(catalogue))
    assert OutputShape(tool.output).lacks(there) is None
    assert OutputShape(tool.output).lacks(nowhere) is not None


def test_an_output_schema_that_grows_with_each_reference_has_an_end() -> None:
    two = {
        str(n): {"type": "object", "properties": {side: {"$ref": f"#/$defs/{n + 1}"} for side in "lr"}} for n in range(40)
    }
    made = without_refs({"type": "object", "properties": {"a": {"$ref": "#/$defs/0"}, "b": 5}, "$defs": two})
    assert len(json.dumps(made)) < 1_000_000
    assert without_refs({"type": "object", "properties": 5, "anyOf": 7, "items": [1]}) == {"type": "object"}
