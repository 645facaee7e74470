"""Servers by others, attached by configuration alone: plans LIVE as direct calls do, and roll back to the initial state."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from temporalio.testing import WorkflowEnvironment

from airlock.admission.configuration.config import parse_config
from airlock.admission.configuration.tool_entries import Failing
from airlock.run.outcome import Outcome
from airlock.tools.loader import load_catalogue
from devtools.environment import ROOT
from devtools.mcp_servers import node_script, python_of
from tests.mcp.plans import desk, step

NODE = shutil.which("node") or "node"


def node(server: str) -> str:
    script = node_script(server)
    if script is None:
        pytest.skip(f"the MCP server {server} is not installed: make mcp-servers")
    return str(script)


def python(server: str) -> str:
    found = python_of(server)
    if found is None:
        pytest.skip(f"the MCP server {server} is not installed: make mcp-servers")
    return str(found)


def section(name: str, command: str, *args: str, more: str = "") -> str:
    return f"[catalogue]\nmodules = []\n[mcp.{name}]\ncommand = {json.dumps(command)}\nargs = {json.dumps(args)}\n{more}\n"


FILES = """
[mcp.files.tools.read_text_file]
risk = "LOW"
reversibility = "read_only"

[mcp.files.tools.write_file]
risk = "MEDIUM"
reversibility = "reversible"
resources = ["file:{path}"]
observe = { tool = "read_text_file", args = "{path: args.path}" }
compensate = { tool = "write_file", args = "{path: args.path, content: before.content}" }
probe = { tool = "read_text_file", args = "{path: args.path}", happened = "answer.content == args.content" }

[mcp.files.tools.edit_file]
risk = "MEDIUM"
reversibility = "reversible"
resources = ["file:{path}"]
dry_run = { argument = "dryRun" }
observe = { tool = "read_text_file", args = "{path: args.path}" }
compensate = { tool = "write_file", args = "{path: args.path, content: before.content}" }

[mcp.files.tools.move_file]
risk = "MEDIUM"
reversibility = "reversible"
compensate = { tool = "move_file", args = "{source: args.destination, destination: args.source}" }
"""


def files_of(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in sorted(folder.rglob("*")) if path.is_file()}


async def test_files(temporal: WorkflowEnvironment, tmp_path: Path) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    for name in ("a.txt", "b.txt"):
        (folder / name).write_text(f"{name} as it was\n")
    before = files_of(folder)
    calls = [
        step("read", "files.read_text_file", path=str(folder / "a.txt")),
        step("write", "files.write_file", path=str(folder / "a.txt"), content="new\n"),
        step("again", "files.write_file", path=str(folder / "a.txt"), content={"$ref": "read.content"}),
        step("edit", "files.edit_file", path=str(folder / "b.txt"), edits=[{"oldText": "as it was", "newText": "edited"}]),
        step("move", "files.move_file", source=str(folder / "b.txt"), destination=str(folder / "c.txt")),
    ]
    async with desk(temporal, section("files", NODE, node("filesystem"), str(folder)) + FILES) as place:
        handle = await place.proposed(calls)
        preview = await handle.preview()
        assert "as it was" in preview.text, "what it replaces, and what its own preview says, is shown"
        assert "+b.txt edited" in preview.text
        assert files_of(folder) == before, "nothing was written before the approval"
        await handle.decide("approve", by="alice", digest=(await handle.status()).digest)
        assert (await handle.result()).outcome is Outcome.COMPLETED
        assert files_of(folder) == {"a.txt": "a.txt as it was\n", "c.txt": "b.txt edited\n"}

        for name, text in before.items():
            (folder / name).write_text(text)
        (folder / "c.txt").unlink()
        fails = step("fails", "files.read_text_file", path=str(folder / "c.txt"), head=1, tail=1)
        result = await place.done([*calls, fails])
        assert result.outcome is Outcome.ABORTED, result
        assert files_of(folder) == before


GUIDE = ROOT / "docs" / "guides" / "mcp-servers.md"


def test_the_entries_of_the_guide(tmp_path: Path) -> None:
    attaching, rating, failing = re.findall(r"```toml\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    servers = parse_config(attaching, {}).mcp
    assert (servers["files"].command, servers["crm"].secrets) == ("npx", ("CRM_HEADER",))
    catalogue = load_catalogue(parse_config(section("files", NODE, node("filesystem"), str(tmp_path)) + rating, {}))
    contract = catalogue.contract("files.edit_file")
    assert (contract.fidelity.value, contract.has_compensate, contract.has_probe) == ("probe", True, True)
    found = parse_config(f'[mcp.notes]\ncommand = "notes"\n[openapi.chat]\ndocument = "chat.json"\n{failing}', {})
    assert found.openapi["chat"].tools["post_message"].failed == Failing(when="answer.body.ok == `false`", no_effect=True)


GRAPH = """
[mcp.memory.tools.read_graph]
risk = "LOW"
reversibility = "read_only"
[mcp.memory.tools.open_nodes]
risk = "LOW"
reversibility = "read_only"
[mcp.memory.tools.create_entities]
risk = "MEDIUM"
reversibility = "reversible"
dry_run = { tool = "read_graph", args = "`{}`" }
compensate = { tool = "delete_entities", args = "{entityNames: output.entities[].name}" }
[mcp.memory.tools.add_observations]
risk = "MEDIUM"
reversibility = "reversible"
compensate = { tool = "delete_observations", args = \
"{deletions: output.results[].{entityName: entityName, observations: addedObservations}}" }
[mcp.memory.tools.create_relations]
risk = "MEDIUM"
reversibility = "reversible"
compensate = { tool = "delete_relations", args = "{relations: output.relations}" }
"""


async def test_a_graph(temporal: WorkflowEnvironment, tmp_path: Path) -> None:
    kept = tmp_path / "graph.jsonl"
    known = {"type": "entity", "name": "Ada", "entityType": "person", "observations": ["counts"]}
    kept.write_text(json.dumps(known))

    def graph() -> list[dict[str, Any]]:
        return [json.loads(line) for line in kept.read_text().splitlines() if line]

    # the server looks before it writes: what it answers with an error, it has not done
    more = f'env = {{ MEMORY_FILE_PATH = "{kept}" }}\nerrors = "no_effect"'
    calls = [
        step("entities", "memory.create_entities", entities=[
            {"name": "Ada", "entityType": "person", "observations": []},
            {"name": "Bob", "entityType": "person", "observations": []}]),
        step("facts", "memory.add_observations", observations=[{"entityName": "Ada", "contents": ["counts", "writes"]}]),
        step("knows", "memory.create_relations", relations=[{"from": "Ada", "to": "Bob", "relationType": "knows"}]),
    ]  # fmt: skip
    async with desk(temporal, section("memory", NODE, node("memory"), more=more) + GRAPH) as place:
        failing = [*calls, step("fails", "memory.add_observations", observations=[
            {"entityName": "Nobody", "contents": ["x"]}])]  # fmt: skip
        result = await place.done(failing)
        assert result.outcome is Outcome.ABORTED, result
        assert graph() == [known], "what was there before it, though it was created again, is still there"
        assert (await place.done(calls)).outcome is Outcome.COMPLETED
    names = sorted(each["name"] for each in graph() if each["type"] == "entity")
    assert names == ["Ada", "Bob"]
    assert next(each for each in graph() if each.get("name") == "Ada")["observations"] == ["counts", "writes"]


async def test_odd_answers(temporal: WorkflowEnvironment) -> None:
    reads = "".join(
        f'[mcp.every.tools.{name}]\nrisk = "LOW"\nreversibility = "read_only"\n'
        for name in ("echo", "get-sum", "get-tiny-image", "get-structured-content", "get-resource-links")
    )
    toml = section("every", NODE, node("everything")) + reads + '[policy]\napproval_waived_for = ["LOW"]\n'
    calls = [
        step("echo", "every.echo", message="hello"),
        step("sum", "every.get-sum", a=2, b=40),
        step("image", "every.get-tiny-image"),
        step("weather", "every.get-structured-content", location="Chicago"),
        step("links", "every.get-resource-links", count=2),
        step("said", "every.echo", message={"$ref": "weather.conditions"}),
    ]
    async with desk(temporal, toml) as place:
        result = await place.done(calls)
        assert result.outcome is Outcome.COMPLETED, result.steps
    outputs = result.outputs
    assert outputs["echo"]["text"] == "Echo: hello"
    assert "42" in outputs["sum"]["text"]
    assert outputs["image"]["parts"][0]["type"] == "image"
    assert outputs["said"]["text"] == f"Echo: {outputs['weather']['conditions']}"
    assert {each["type"] for each in outputs["links"]["parts"]} == {"resource_link"}


GIT = """
[mcp.git.tools.git_status]
risk = "LOW"
reversibility = "read_only"
[mcp.git.tools.git_diff_unstaged]
risk = "LOW"
reversibility = "read_only"
[mcp.git.tools.git_diff_staged]
risk = "LOW"
reversibility = "read_only"
[mcp.git.tools.git_add]
risk = "LOW"
reversibility = "reversible"
dry_run = { tool = "git_diff_unstaged", args = "{repo_path: args.repo_path}" }
observe = { tool = "git_diff_staged", args = "{repo_path: args.repo_path}" }
compensate = { tool = "git_reset", args = "{repo_path: args.repo_path}" }
[mcp.git.tools.git_commit]
risk = "HIGH"
reversibility = "irreversible"
"""


async def test_git(temporal: WorkflowEnvironment, tmp_path: Path) -> None:
    repository = tmp_path / "repository"

    def git(*words: str) -> str:
        command = ["git", "-C", str(repository), "-c", "user.name=t", "-c", "user.email=t@acme.test", *words]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    repository.mkdir()
    git("init", "-q")
    for name in ("user.name", "user.email"):
        git("config", name, "t@acme.test")
    (repository / "a.txt").write_text("one\n")
    git("add", "a.txt")
    git("commit", "-q", "-m", "first")
    (repository / "a.txt").write_text("two\n")
    where = {"repo_path": str(repository)}
    add = step("add", "git.git_add", **where, files=["a.txt"])
    async with desk(temporal, section("git", python("git"), "-m", "mcp_server_git") + GIT) as place:
        handle = await place.proposed([add])
        assert "+two" in (await handle.preview()).text
        result = await place.done([add, step("fails", "git.git_status", repo_path=str(tmp_path))])
        assert result.outcome is Outcome.ABORTED, result
        assert (git("diff", "--cached"), git("log", "--format=%s")) == ("", "first")
        assert (repository / "a.txt").read_text() == "two\n"
        result = await place.done([add, step("commit", "git.git_commit", **where, message="second")])
        assert result.outcome is Outcome.COMPLETED
    assert git("log", "--format=%s") == "second\nfirst"
    assert git("status", "--short") == ""
