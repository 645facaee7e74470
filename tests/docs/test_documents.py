"""The documents fit the code: links, examples, keys, commands."""

import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from airlock.activities.admit import resource_hash
from airlock.admission.configuration.config import parse_config
from airlock.admission.examination import examine
from airlock.admission.rules.fixtures import FixtureFile, tried, uncovered
from airlock.plans.assignments import read_plan
from airlock.plans.catalogue import Catalogue
from airlock.plans.contract import Contract, Mode
from airlock.plans.plan import Step
from airlock.plans.state import State
from airlock.plans.tool_call import ToolCall
from airlock.run.messages import MESSAGES, parse_message
from airlock.tools.loader import load_catalogue, tools_in
from devtools.docs import picture
from tests.command_lines import starter_commands, worker_command
from tests.docs.fences import (
    DOCUMENTS,
    GENERATED_DOCUMENTS,
    ROOT,
    WRITTEN,
    commands,
    fences,
    inline,
    lines,
    prose,
    words_after,
)

_LINK = re.compile(r"(?<!!)\[[^\]]+\]\(([^)\s]+)\)")
COMMANDS: dict[str, Any] = {name: starter_commands().load(name) for name in starter_commands().table}
JSON = fences("json")
TOML = fences("toml")
MAKE_TARGETS = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)


def document(name: str) -> str:
    return (ROOT / name).read_text()


def anchors(path: Path) -> set[str]:
    titles = re.findall(r"^#+ (.*)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path):
    for link in _LINK.findall(prose(path)):
        target, _, anchor = link.partition("#")
        if target.startswith(("http://", "https://")):
            continue
        found = (path.parent / target).resolve() if target else path
        assert found.exists(), link
        if anchor:
            assert anchor in anchors(found), link


@pytest.mark.parametrize("fence", JSON, ids=str)
def test_json_is_json(fence):
    json.loads(fence.text)


PLANS = [fence for fence in JSON if '"plan_id"' in fence.text]


@pytest.mark.parametrize("fence", PLANS, ids=str)
def test_plans_can_be_accepted(fence):
    plan = read_plan(json.loads(fence.text))
    assert examine(plan).problems == ()
    config = document("airlock.toml")
    if fence.path.stem == "writing-a-tool":
        config = next(each.text for each in TOML if each.path == fence.path and "[catalogue]" in each.text)
    parsed = parse_config(config)
    admission = examine(plan, load_catalogue(parsed), parsed.policy)
    assert admission.problems == ()
    if not plan.allow_missing_arguments:
        caps = {step: [cap.mode.value for cap in caps] for step, caps in admission.admitted.caps.items()}
        assert {mode for modes in caps.values() for mode in modes} == {"LIVE"}, "an example should be able to go live"


def test_there_are_plans_of_both_formats():
    assert {"agent_assignments" in fence.text for fence in PLANS} == {True, False}


@pytest.mark.parametrize("fence", [each for each in JSON if '"by"' in each.text], ids=str)
def test_signal_objects_are_understood(fence):
    value = json.loads(fence.text)
    name = "resolve" if "outcome" in value else "amend" if "remove" in value else "approve"
    assert parse_message(name, (value,)).by == value["by"]


@pytest.mark.parametrize("fence", TOML, ids=str)
def test_toml_is_a_configuration(fence):
    if fence.text.startswith("[mcp."):
        pytest.skip("tests/mcp attaches the servers of the guide")
    if fence.text.startswith("[[test]]"):
        pytest.skip("fixtures of rules, see below")
    config = parse_config(fence.text)
    modules = config.catalogue.modules if "[catalogue]" in fence.text else ("tools",)
    load_catalogue(config.model_copy(update={"catalogue": config.catalogue.model_copy(update={"modules": modules})}))


def test_the_fixtures_of_the_guide_pass_under_its_rules_and_cover_them():
    rules, tests = (each.text for each in TOML if each.path.stem == "policy-rules")
    policy, catalogue = parse_config(rules).policy, load_catalogue(parse_config(rules))
    results = [tried(fixture, policy, catalogue) for fixture in FixtureFile.model_validate(tomllib.loads(tests)).test]
    assert [result.problem for result in results if result.problem] == []
    assert uncovered(policy, results) == ()


def test_every_field_of_a_contract_is_explained():
    text = document("docs/guides/writing-a-tool.md")
    table = text[text.index("## The contract") : text.index("## The live function")]
    assert set(Contract.model_fields) == {
        name for row in re.findall(r"^\| (`[^|]+) \|", table, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)
    }


def test_every_signal_and_its_fields_are_explained():
    text = document("docs/guides/approving.md")
    rows = re.findall(r"^\| (`[^|]+`) \| (`by`[^|]+) \|$", text, re.MULTILINE)
    told = {name: set(re.findall(r"`(\w+\??)`", fields)) for names, fields in rows for name in re.findall(r"`(\w+)`", names)}
    for name, model in MESSAGES.items():
        fields = {key if info.is_required() else f"{key}?" for key, info in model.model_fields.items()}
        assert told[name] == fields, name


def test_every_state_is_named():
    text = document("docs/explanation/concepts.md")
    assert all(state.value in text for state in State)


def test_every_word_in_the_walk_through_is_in_the_example():
    source = document("examples/my_tools.py")
    schemas = document("examples/schema_tools.py")  # tests/core/test_schema_arguments.py calls its tools
    client = document("examples/shared_client.py")  # tests/activities/test_shared.py calls its tool
    described = document("examples/openapi_billing.py")  # tests/tools/test_openapi.py calls its tools
    guide = ROOT / "docs" / "guides" / "writing-a-tool.md"
    # tests/testing executes what stands from here on
    tested_from = guide.read_text().splitlines().index("## Test your tool") + 1
    blocks = [fence for fence in fences("python", paths=[guide]) if fence.line < tested_from]
    assert len(blocks) >= 8
    for fence in blocks:
        assert any(fence.text.strip() in text for text in (source, schemas, client, described)), f"{fence} is in no example"
    readme = [fence for fence in fences("python", paths=[ROOT / "README.md"]) if "@tool" in fence.text]
    assert readme
    assert all(fence.text.strip() in source for fence in readme)


def _airlock_lines() -> list[tuple[str, list[str]]]:
    found = []
    for where, line in commands():
        words = words_after("airlock", line)
        if words and not line.startswith(("docker", "from ")) and words[0] != "...":
            found.append((where, words))
    return found


@pytest.mark.parametrize(("where", "words"), _airlock_lines(), ids=lambda value: value if isinstance(value, str) else None)
def test_commands_exist_with_their_options(where, words):
    if words[0].startswith("--"):
        assert words in (["--help"], ["--version"]), where
        return
    assert words[0] in COMMANDS, where
    command = COMMANDS[words[0]]
    if len(words) == 1:
        return  # only its name
    if words[1] in getattr(command, "commands", {}):
        command, words = command.commands[words[1]], words[1:]
        if len(words) == 1:
            return
    options = {option for parameter in command.params for option in parameter.opts}
    assert {word.partition("=")[0] for word in words if word.startswith("--")} <= options, where
    needed = {option for parameter in command.params if parameter.required for option in parameter.opts}
    if "--reason" in needed - set(words):
        return  # its shape in a table, not a whole command
    command.make_context(words[0], list(words[1:]))


def test_there_are_many_commands_in_the_documents():
    assert len(_airlock_lines()) > 80
    assert {words[0] for _, words in _airlock_lines()} >= COMMANDS.keys()


def test_conflicts_are_shown_as_the_document_says():
    (shown,) = fences("text", paths=[ROOT / "docs" / "reference" / "conflicts.md"])
    command = [sys.executable, "starter.py", "check", "examples/conflicts.json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert [line for line in done.stdout.splitlines() if line.startswith("conflict:")] == shown.text.splitlines()


def test_targets_of_make_exist():
    found = {words[0] for _, line in commands() if (words := words_after("make", line)) and line.startswith("make ")}
    assert found >= {"demo", "dev", "test", "check", "setup"}
    assert found <= set(MAKE_TARGETS)


def test_options_of_the_worker_exist():
    parameters = worker_command().params
    options = {option for parameter in parameters for option in parameter.opts}
    text = document("docs/guides/operating.md")
    table = text[text.index("| option | default |") : text.index("### Connection")]
    told = set(re.findall(r"`(--[a-z-]+)`", table))
    assert told == options - {"--role", "--version"}
    for parameter in parameters:
        if isinstance(parameter.default, int) and not parameter.is_flag:
            assert f"| `{parameter.opts[0]}` | {parameter.default} |" in table


def test_signals_in_commands_are_ones_that_a_plan_takes():
    seen = 0
    for where, line in commands():
        words = words_after("temporal workflow signal", line) or words_after("temporal workflow update execute", line)
        if not words or "--name" not in words or "--input" not in words:
            continue
        name, given = words[words.index("--name") + 1], words[words.index("--input") + 1]
        message = json.loads(given.replace("$digest", "0" * 16))
        decision = message.pop("decision", name)
        assert decision in MESSAGES, where
        assert parse_message(decision, (message,)).by, where
        seen += 1
    assert seen >= 6


def test_nothing_is_promised_that_the_starter_does_not_have():
    for path in WRITTEN:
        for text in inline(path):
            if match := re.match(r"airlock ([a-z]+)", text):
                assert match[1] in COMMANDS, (path, text)


def test_the_first_tool_is_one_that_a_worker_offers():
    (code,) = fences("python", paths=[ROOT / "docs" / "start" / "first-tool.md"])
    module = ModuleType("my_tools")
    exec(compile(code.text, str(code), "exec"), module.__dict__)
    catalogue = Catalogue(tools_in(module))
    assert catalogue.names == ("count_words",)
    count = module.count_words
    call = ToolCall("plan", "count", "agent", Mode.LIVE, "plan/count")
    assert count.live(module.CountWords(text="one two three"), call) == {"words": 3}
    (step,) = [json.loads(fence.text) for fence in fences("json", paths=[code.path])]
    assert module.CountWords.model_validate(step["args"])
    assert Step.model_validate(step).tool == "count_words"


LONGEST = 120
"""Characters of a line, so that a diff shows it whole."""


@pytest.mark.parametrize("path", [*WRITTEN, *GENERATED_DOCUMENTS], ids=lambda path: str(path.relative_to(ROOT)))
def test_lines_are_short_enough_for_a_diff(path):
    """Table rows, and lines that only hold a link, cannot be wrapped; blocks show what programs print."""
    long = [line for line in prose(path).splitlines() if len(line) > LONGEST and not line.lstrip().startswith("|")]
    assert [line for line in long if not re.fullmatch(r"\S*\[[^\]]*\]\(\S+\)\S*", line.strip())] == []


def test_the_picture_follows_the_import_rules():
    rules = [
        {"type": "layers", "layers": ["a.top", "a.left | a.right", "a.core"]},
        {"type": "forbidden", "source_modules": ["a.core"], "forbidden_modules": ["temporalio"]},
        {"type": "forbidden", "source_modules": ["a.top"], "forbidden_modules": ["a.left"]},
        {"type": "forbidden", "source_modules": ["a.left"], "forbidden_modules": ["a.core"]},
    ]
    drawn = [line.strip() for line in picture(rules)]
    assert [line for line in drawn if "-->" in line] == ["a_top --> a_right", "a_right --> a_core"]
    inside = drawn[drawn.index(next(line for line in drawn if line.startswith("subgraph"))) + 1 : drawn.index("end")]
    assert inside == ['a_core["a.core"]']


def test_the_threat_model_names_tests_that_are_there():
    page = document("docs/explanation/threat-model.md")
    rows = re.findall(r"^\| .* \| .* \| (`tests/.*`) \|$", page, re.MULTILINE)
    assert len(rows) >= 25
    for name in re.findall(r"`(tests/[^`]*)`", page):
        assert (ROOT / name).is_file(), name


def test_the_page_of_the_architecture_names_files_that_are_there():
    page = document("docs/architecture.md")
    listed = re.findall(r"`([\w/]+\.py)`", page[page.index("## Follow one live call") : page.index("## Where to add")])
    assert 12 <= len(listed) <= 18
    for name in re.findall(r"`((?:airlock|workflows|activities|devtools|deploy|tests)/[\w/.]+\.\w+)`", page):
        assert (ROOT / name).is_file(), name
    for row in re.findall(r"^\| [A-Z_]+ \|(.*)\|(.*)\|(.*)\|$", page, re.MULTILINE):
        for folder, cell in zip(("workflows", "activities", "airlock"), row, strict=True):
            assert cell.strip() == "none" or re.findall(r"`([\w/]+\.py)`", cell)
            for name in re.findall(r"`([\w/]+\.py)`", cell):
                assert (ROOT / folder / name).is_file(), name


def test_the_hash_of_a_resource_is_computed_as_the_document_says():
    (line,) = [line for fence in fences("sh") for line in lines(fence) if "resource_hash" in line]
    script = line.replace("hash=$(python", f"hash=$({shlex.quote(sys.executable)}") + '; echo "$hash"'
    done = subprocess.run(
        ["bash", "-euc", script], cwd=ROOT, env={**os.environ, "AIRLOCK_INDEX_KEY": "k"}, capture_output=True, text=True
    )
    assert done.stdout.strip() == resource_hash("k", "file:onboarding/latest.md"), done.stderr
