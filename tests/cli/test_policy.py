"""`policy test` and `policy explain`, without a server."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from airlock.cli.app import app
from tests.cli.conftest import note_plan

CONFIG = """
[policy.roles]
finance = ["fay", "finn"]
[policy.agents."*"]
permissions = ["*"]
[[policy.rule]]
id = "long-notes"
when = 'step.tool == "file_write" && size(step.args.content) > 10'
then = 'ask(2, "finance")'
reason = "long"
[[policy.rule]]
id = "no-mail"
when = 'step.tool == "send_email"'
then = "deny"
[[policy.rule]]
id = "any"
when = 'step.args.path == "x"'
then = "allow"
"""
TESTS = """
[[test]]
name = "long"
step = { tool = "file_write", args = { path = "a", content = "0123456789a" } }
expect = 'ask(2, "finance")'
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "airlock.toml").write_text(CONFIG)
    (tmp_path / "policy-tests").mkdir()
    (tmp_path / "policy-tests" / "notes.toml").write_text(TESTS)
    return tmp_path


def invoke(place: Path, *arguments: str) -> Any:
    return CliRunner().invoke(app, ["policy", *arguments, "--config", str(place / "airlock.toml")])


def test_the_fixtures_beside_the_configuration_are_run(place):
    done = invoke(place, "test")
    assert done.exit_code == 0, done.output
    assert 'notes.toml: long: ask(2, "finance") by long-notes' in done.stdout
    assert "1 test, 0 failed; 3 rules, 2 without a test" in done.stdout
    assert "no test covers the rule no-mail" in done.stdout


def test_a_rule_without_a_fixture_fails_where_coverage_is_required(place):
    assert invoke(place, "test", "--require-coverage").exit_code == 1


def test_a_fixture_that_fails_is_told_with_the_answer(place):
    file = place / "more.json"
    step = {"tool": "file_write", "args": {"path": "a", "content": "short"}}
    file.write_text(json.dumps({"test": [{"name": "short", "step": step, "expect": "deny"}]}))
    done = invoke(place, "test", str(file))
    assert done.exit_code == 1
    assert "FAILED" in done.stdout
    assert "expected deny, the policy says none" in done.stdout
    document = json.loads(invoke(place, "test", str(file), "--json").stdout)
    assert document["failed"] == 1
    assert document["uncovered"] == ["any", "long-notes", "no-mail"]
    assert document["tests"][0]["answer"] == ["none"]


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.toml", "[[test]", "is not TOML"),
        ("a.toml", '[[test]]\nname = "a"\nexpect = "deny"', "test.0.step"),
        ("a.toml", '[[test]]\nname = "a"\nstep = { tool = "file_write" }\nexpect = "perhaps"', "test.0.expect"),
        ("a.json", "{", "a.json"),
    ],
)
def test_a_file_that_holds_no_fixtures_is_refused_with_its_place(place, name, text, words):
    (place / name).write_text(text)
    done = invoke(place, "test", str(place / name))
    assert done.exit_code == 1
    assert words in done.output


def test_without_fixtures_or_rules_it_says_where_they_would_be(place):
    (place / "policy-tests" / "notes.toml").unlink()
    assert "there are no fixtures: name files, or write some in" in invoke(place, "test").output
    (place / "airlock.toml").write_text("")
    assert "has no [[policy.rule]]" in invoke(place, "test").output


def test_a_plan_file_is_explained_rule_by_rule(place):
    plan = note_plan("explained")
    note = {"id": "note", "agent": "ops", "tool": "file_write", "confidence": 0.95}
    plan["steps"] = [{**note, "args": {"path": "x", "content": "0123456789a"}}]
    (place / "plan.json").write_text(json.dumps(plan))
    done = invoke(place, "explain", str(place / "plan.json"))
    assert done.exit_code == 0, done.output
    assert 'note  file_write: ask(2, "finance")' in done.stdout
    assert "long-notes: needs 2 approvals of finance (rule long-notes): long" in done.stdout
    assert "no-mail: does not apply" in done.stdout
    assert "any: the policy allows it (rule any)" in done.stdout
    (step,) = json.loads(invoke(place, "explain", str(place / "plan.json"), "--json").stdout)["steps"]
    assert [rule["rule"] for rule in step["rules"] if rule["applies"]] == ["any", "long-notes"]


def test_check_shows_whom_rules_ask(place):
    plan = note_plan("checked")
    note = {"id": "note", "agent": "ops", "tool": "file_write", "confidence": 0.95}
    plan["steps"] = [{**note, "args": {"path": "y", "content": "0123456789a"}}]
    (place / "plan.json").write_text(json.dumps(plan))
    arguments = ["check", str(place / "plan.json"), "--config", str(place / "airlock.toml")]
    assert "needs 2 approvals of finance" in " ".join(CliRunner().invoke(app, arguments).stdout.split())
    (step,) = json.loads(CliRunner().invoke(app, [*arguments, "--json"]).stdout)["steps"]
    assert step["rules"][0]["rule"] == "long-notes"
