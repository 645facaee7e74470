"""`airlock check` without a plan: what is wrong and what is suspicious in the operator's file, for people and programs."""

import json
import os
import re
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from airlock.cli.app import app
from airlock.worker.command import app as worker
from tests.cli.conftest import note_plan

BLOCKS = {
    "policy.roles", "[policy.passkeys]", "[policy.rule]", "contracts.write_note", "mcp.files", "openapi.billing",
    "notify.approvers", "console",
}  # fmt: skip
SERVER = """
from mcp.server import MCPServer
server = MCPServer("files")
@server.tool()
def read(path: str) -> str:
    return path
server.run()
"""
DOCUMENT = {
    "openapi": "3.0.3",
    "info": {"title": "billing", "version": "1"},
    "servers": [{"url": "https://billing.example"}],
    "paths": {"/accounts": {"get": {"operationId": "accounts", "responses": {"200": {"description": "them"}}}}},
}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Yield a folder to work in, without any variable of Airlock in the environment."""
    for name in [name for name in os.environ if name.startswith("AIRLOCK_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield tmp_path
    for name in [name for name, module in sys.modules.items() if str(tmp_path) in str(getattr(module, "__file__", ""))]:
        del sys.modules[name]  # another test has modules of these names, too


def invoke(*arguments: str) -> Any:
    return CliRunner().invoke(app, list(arguments))


def checked(text: str) -> tuple[int, str]:
    Path("airlock.toml").write_text(text, encoding="utf-8")
    done = invoke("check")
    return done.exit_code, done.stdout + done.stderr


def as_data() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(invoke("check", "--json").stdout)
    return found


def test_a_good_file_is_said_to_be_good(place: Path) -> None:
    code, said = checked("")
    assert code == 0
    assert re.fullmatch(r"airlock\.toml: \d+ tools, 0 errors, 0 warnings\n", said)
    found = as_data()
    assert (found["config"], found["problems"], found["config_advice"]) == ("airlock.toml", [], [])


def test_without_a_file_there_is_nothing_to_check(place: Path) -> None:
    done = invoke("check")
    assert done.exit_code == 1
    assert "there is no airlock.toml here: name a plan, or the operator's file with --config" in done.stderr


def test_what_is_wrong_in_the_file_and_in_the_catalogue_is_told_at_once_and_as_data(place: Path) -> None:
    text = """
        [policy]
        aprovers = ["ann"]
        [policy.may_drift]
        send_emial = ["body"]
        [notify.chat]
        kind = "slack"
        url = { "$secret" = "CHAT" }
        zone = "Europe/Berlim"
        [contracts.send_emial]
        timeout = 5
        [settings.smpt]
        host = "x"
        """
    code, said = checked(text)
    assert code == 1
    assert "airlock.toml: the configuration cannot be used: 5 problems" in said
    found = as_data()
    assert found["config"] == "airlock.toml"
    fixes = {problem["where"]: problem["fix"] for problem in found["problems"]}
    assert fixes["policy.aprovers"] == "did you mean 'approvers'?"
    assert fixes["policy.may_drift.send_emial"] == "did you mean 'send_email'?"
    assert "Europe/Berlin" in fixes["notify.chat.zone"]
    assert fixes["contracts.send_emial"] == "did you mean 'send_email'?"
    assert fixes["settings.smpt"].startswith("did you mean 'settings.smtp'?")
    for where, fix in fixes.items():
        assert where in said
        assert fix in said


def test_a_file_that_is_no_toml_is_named(place: Path) -> None:
    code, said = checked("[policy\n")
    assert code == 1
    assert "airlock.toml: is not TOML" in said
    assert as_data()["config"] == "airlock.toml"


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("AIRLOCK_SETTINGS__SMPT__HOST", "did you mean AIRLOCK_SETTINGS__SMTP__HOST?"),
        ("AIRLOCK_SETTINGS__SMTP", "with two underscores before each name"),
        ("AIRLOCK_SETTINGS_SMTP__HOST", "with two underscores before each name"),
        ("AIRLOCK_SETTING__SMTP__HOST", "with two underscores before each name"),
    ],
)
def test_a_misspelt_setting_in_the_environment_is_an_error(
    place: Path, monkeypatch: pytest.MonkeyPatch, name: str, told: str
) -> None:
    monkeypatch.setenv(name, "x")
    code, said = checked("")
    assert code == 1
    assert f"  {name}: " in said
    assert told in said


def test_a_misspelt_key_of_a_setting_in_the_environment_is_an_error(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("own.py").write_text(
        "from pydantic import BaseModel\nfrom airlock import tool, ToolCall\n"
        "class Crm(BaseModel):\n    url: str = ''\n"
        "class Args(BaseModel):\n    pass\n"
        "@tool(name='crm', risk='LOW', reversibility='read_only', settings=Crm)\n"
        "def crm(args: Args, call: ToolCall) -> None:\n    '''Look.'''\n"
    )
    monkeypatch.setenv("AIRLOCK_SETTINGS__CRM__URLS", "x")
    code, said = checked('[catalogue]\nmodules = ["own"]')
    assert code == 1
    assert "settings.crm.urls: is unknown here" in said
    assert "did you mean 'url'?" in said


@pytest.mark.parametrize(
    ("name", "value", "text", "told"),
    [
        ("AIRLOCK_SETTINGS__WAREHOUSE__URL", "x", "", "reads a section 'warehouse'"),
        ("AIRLOCK_KEY_FILE", "x", "", "did you mean AIRLOCK_KEYS_FILE?"),
        ("AIRLOCK_INDEX_KEY", "", "", "is set to nothing"),
        (
            "AIRLOCK_SECRET_CHAT", "https://a.webhook.office.com/x",
            '[notify.chat]\nkind = "slack"\nurl = { "$secret" = "CHAT" }', 'write kind = "teams"',
        ),
        ("X", "", '[policy.agents.crm]\npermissions = ["email:sent"]', "did you mean 'email:send'?"),
        (
            "X", "", '[notify.chat]\nkind = "slack"\nurl = { "$secret" = "CHAT" }\ntools = ["send_emial"]',
            "fits no tool of the catalogue",
        ),
        ("X", "", '[console]\nidle = "9h"', "a session ends after 8h"),
    ],
)  # fmt: skip
def test_what_is_suspicious_is_a_warning(
    place: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str, text: str, told: str
) -> None:
    monkeypatch.setenv(name, value)
    code, said = checked(text)
    assert code == 0, said
    assert "warning: " in said
    assert told in said
    assert "webhook.office" not in said, "the address of a chat is a secret"
    (warning,) = as_data()["config_advice"]
    assert told in f"{warning['message']} {warning['fix']}"
    Path("plan.json").write_text(json.dumps(note_plan("p")))
    assert "warning: " in invoke("check", "plan.json").stdout
    assert json.loads(invoke("check", "plan.json", "--json").stdout)["config_advice"] == [warning]


def test_keys_of_workers_that_are_not_here_are_a_warning(place: Path) -> None:
    code, said = checked('[keys]\nfile = "nowhere"')
    assert code == 0
    assert "warning: [keys] file: nowhere: No such file or directory; a worker would not start here" in said


def test_what_is_about_a_plan_needs_one(place: Path) -> None:
    done = invoke("check", "--no-catalogue")
    assert done.exit_code == 2
    assert "are about a plan" in done.stderr


def test_a_worker_does_not_start_with_a_wrong_file_and_names_it(place: Path) -> None:
    Path("airlock.toml").write_text('[notify.c]\nkind = "slack"\nurl = { "$secret" = "C" }\nzone = "Mars/Base"\n')
    done = CliRunner().invoke(worker, [])
    assert done.exit_code == 1
    assert done.stderr.splitlines()[:2] == ["airlock worker cannot start:", "airlock.toml:"]
    assert "notify.c.zone: 'Mars/Base' is no time zone of this machine" in done.stderr


def blocks(text: str) -> dict[str, str]:
    """Return the blocks of a file that are comments and begin with a section, by that, without their comment signs."""
    found = re.findall(r"^# \[(.+)\].*\n((?:#.*\n)*)", text, re.MULTILINE)
    assert all(line.startswith("# ") for _, body in found for line in body.splitlines())
    return {name: f"[{name}]\n" + re.sub("^# ", "", body, flags=re.MULTILINE) for name, body in found}


@pytest.fixture
def example(place: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the file that `airlock init` writes, beside all that its blocks name."""
    assert invoke("init").exit_code == 0
    Path("openapi").mkdir()
    Path("openapi", "billing.json").write_text(json.dumps(DOCUMENT))
    Path("server.py").write_text(SERVER)
    npx = Path("npx")
    npx.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{place}/server.py"\n')
    npx.chmod(npx.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{place}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("AIRLOCK_SECRET_FILES_TOKEN", "t")
    return Path("airlock.toml").read_text()


def test_each_block_of_the_example_works_when_its_comment_signs_are_removed(example: str) -> None:
    found = blocks(example)
    assert set(found) == BLOCKS
    assert checked(example)[0] == 0
    for name, block in found.items():
        code, said = checked(f"{example}\n{block}")
        assert code == 0, (name, said)
        assert "0 errors, 0 warnings" in said, (name, said)
    code, said = checked("\n".join([example, *found.values()]))
    assert (code, "0 errors, 0 warnings" in said) == (0, True), said


def test_each_key_of_the_example_works_when_its_comment_sign_is_removed(example: str) -> None:
    for line in re.findall(r"^# (?:\w+) = .*$", example[: example.index("# Every block below")], re.MULTILINE):
        code, said = checked(example.replace(line, line.removeprefix("# ")))
        assert code == 0, (line, said)
