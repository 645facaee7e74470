"""`check` without a server: silent about a good plan, else the place and the fix of each finding, and the configuration."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airlock.cli.check import examine_files
from tests.cli.conftest import CONFIG, EXAMPLES, invoke, note_plan


def test_check_is_silent_about_a_good_plan_but_shows_the_ceilings() -> None:
    done = invoke("check", str(EXAMPLES / "onboard_customer.json"), "--config", CONFIG)
    assert done.exit_code == 0
    assert "10 steps, 0 errors, 0 warnings" in done.stdout
    assert done.stdout.count("LIVE") == 10


def test_check_as_json_is_one_document(plan_file: Callable[..., str]) -> None:
    done = invoke("check", str(EXAMPLES / "unsure_agent.json"), "--config", CONFIG, "--json")
    assert done.exit_code == 0
    document = json.loads(done.stdout)
    assert document["problems"] == []
    assert {step["id"]: step["ceiling"] for step in document["steps"]} == {
        "write": "LIVE", "tidy": "DRY_RUN", "tell": "MOCK",
    }  # fmt: skip
    assert "lacks permission email:send" in document["steps"][2]["reasons"][0]


def test_check_of_a_large_plan_tells_once_what_its_steps_share(plan_file: Callable[..., str]) -> None:
    plan = note_plan("large")
    plan["steps"] = [
        {"id": f"s{n}", "agent": "ops", "tool": "file_write", "args": {"path": f"{n}.md", "content": "x"},
         "confidence": 0.95 if n else 0.1}
        for n in range(150)
    ]  # fmt: skip
    done = invoke("check", plan_file(plan), "--config", CONFIG)
    assert "s1, s2 ... s149 (149 steps)" in " ".join(done.stdout.split()), done.stdout
    assert "s150" not in done.stdout
    assert done.stdout.count("confidence 0.10") == 1, "the step that differs has a row of its own"


def test_check_of_a_large_plan_prints_a_line_for_each_step_that_differs(plan_file: Callable[..., str]) -> None:
    plan = note_plan("large")
    plan["steps"] = [
        {"id": f"s{n:04}", "agent": "ops", "tool": "file_write", "args": {"path": f"{n}.md", "content": "x"},
         "confidence": 0.1, "after": [f"s{n - 1:04}"] if n else []}
        for n in range(2_000)
    ]  # fmt: skip
    path = Path(plan_file(plan))
    began = time.process_time()
    examine_files(path, None, Path(CONFIG), no_catalogue=False)
    examined = time.process_time() - began
    began = time.process_time()
    done = invoke("check", str(path), "--config", CONFIG)
    printed = time.process_time() - began - examined
    lines = [line.split(maxsplit=5) for line in done.stdout.splitlines() if line.startswith("s")]
    assert lines[0] == ["step", "tool", "agent", "risk", "ceiling", "why"]
    assert [line[0] for line in lines[1:]] == [f"s{n:04}" for n in range(2_000)]
    assert lines[-1][1:5] == ["file_write", "ops", "MEDIUM", "MOCK"]
    assert lines[-1][5].endswith("; depends on 's1998', which stays at MOCK")
    assert printed < 1.5 * examined, "a table of so many rows takes three times as long as the examination"


FINDINGS = [
    ({"tool": "file_writ"}, "steps.one.tool: no tool 'file_writ' in the catalogue", "did you mean 'file_write'?"),
    ({"args": {"path": 7, "content": "x"}}, "steps.one.args.path: is a whole number, not a text", "write a text in quotes"),
    ({"args": {"path": "a", "content": "x", "colour": 1}}, "steps.one.args.colour: ", "remove 'colour'"),
    ({"after": ["two"]}, "steps.one: depends on itself: one -> two -> one", "remove one of these dependencies"),
    ({"after": ["three"]}, "names step 'three', which is not in the plan", "name one of the plan's steps"),
    ({"args": {"path": "a", "content": {"$ref": "gone.text"}}}, "args.content: names step 'gone'", "did you mean 'one'?"),
    (
        {"args": {"path": "a", "content": {"$ref": "two.["}}},
        "is not a plain path",
        'write {"$ref": "<step>.<path>"}',
    ),
    ({"confidence": 7}, "steps.one.confidence: ", "write a number from 0.0 to 1.0"),
    ({"colour": "red"}, "steps.one.colour: ", "remove 'colour'"),
]


@pytest.mark.parametrize(("change", "message", "fix"), FINDINGS)
def test_every_error_names_the_place_and_the_fix(
    change: dict[str, Any], message: str, fix: str, plan_file: Callable[..., str]
) -> None:
    plan = note_plan("findings")
    plan["steps"][0] |= change
    done = invoke("check", plan_file(plan), "--config", CONFIG)
    assert done.exit_code == 1
    said = done.stdout + done.stderr
    assert message in said
    assert f"  fix: {fix}" in said
    as_json = invoke("check", plan_file(plan), "--config", CONFIG, "--json")
    assert as_json.exit_code == 1
    document = json.loads(as_json.stdout)
    assert document["error"].startswith("the plan cannot be accepted")
    assert any(message.split(": ")[-1] in problem["where"] + ": " + problem["message"] for problem in document["problems"])


def test_advice_is_no_error(plan_file: Callable[..., str]) -> None:
    plan = note_plan("advised")
    plan["steps"][0] |= {"tool": "send_email", "args": {"to": "a@b.test", "subject": "s", "body": "sk-live-123"}}
    done = invoke("check", plan_file(plan), "--config", CONFIG)
    assert done.exit_code == 0
    assert "warning: steps.one: is irreversible and comes before reversible two" in done.stdout
    assert "warning: steps.one.args.body: looks like a secret in clear text" in done.stdout
    assert done.stdout.count("  fix: ") == 3  # of both warnings, and of the permission that the agent lacks


def test_a_plan_that_is_too_large_is_said_to_be(plan_file: Callable[..., str]) -> None:
    plan = note_plan("large")
    plan["steps"][0]["args"]["content"] = "x" * 1_600_000
    done = invoke("check", plan_file(plan), "--no-catalogue")
    assert done.exit_code == 1
    assert "more than the 1,500,000 (300,000 compressed) one plan may have" in done.stderr


def test_without_a_catalogue_only_the_structure_is_looked_at(plan_file: Callable[..., str]) -> None:
    plan = note_plan("structure")
    plan["steps"][0]["tool"] = "unheard_of"
    done = invoke("check", plan_file(plan), "--no-catalogue")
    assert done.exit_code == 0
    assert "structure only" in done.stdout


def test_an_older_plan_takes_its_validation(plan_file: Callable[..., str]) -> None:
    older, validations = str(EXAMPLES / "assignments.json"), str(EXAMPLES / "validations.json")
    plain = json.loads(invoke("check", older, "--no-catalogue", "--json").stdout)
    validated = json.loads(invoke("check", older, "--validation", validations, "--no-catalogue", "--json").stdout)
    assert plain["digest"] != validated["digest"]
    wrong = invoke("check", older, "--validation", plan_file({"other": 1}), "--no-catalogue")
    assert wrong.exit_code == 1
    assert "validations.validation_id: is missing" in wrong.stderr


@pytest.mark.parametrize(
    ("content", "message"),
    [("{", "is not JSON"), ("[]", "is not a JSON object"), (None, "No such file or directory")],
)
def test_an_unreadable_file_is_said_to_be(content: str | None, message: str, plan_file: Callable[..., str]) -> None:
    path = "no/such/plan.json" if content is None else plan_file(content)
    done = invoke("check", path)
    assert done.exit_code == 1
    assert message in done.stderr
    assert "fix: " in done.stderr


def test_a_wrong_configuration_names_its_key(tmp_path: Path) -> None:
    config = tmp_path / "wrong.toml"
    config.write_text("[policy]\nconfidence_treshold_for_live = 0.9\n")
    done = invoke("tools", "--config", str(config), "--json")
    assert done.exit_code == 1
    assert json.loads(done.stdout)["problems"][0]["where"] == "policy.confidence_treshold_for_live"
    missing = invoke("tools", "--config", str(tmp_path / "none.toml"))
    assert missing.exit_code == 1
    assert "No such file or directory" in missing.stderr


def test_the_environment_names_the_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tmp_path / "small.toml"
    config.write_text('[catalogue]\nmodules = ["tools.compute"]\n')
    monkeypatch.setenv("AIRLOCK_CONFIG", str(config))
    names = [tool["tool"] for tool in json.loads(invoke("tools", "--json").stdout)["tools"]]
    assert names == ["math_compute"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"plan_id": "a", "plan_id": "b"}', "the key 'plan_id' is repeated"),
        ('{"plan_id": ' + "9" * 5_000 + "}", "is not JSON"),
        ("[" * 200_000, "is not JSON"),
        ('{"plan_id": "deep", "requested_by": "r", "steps": ' + "[" * 900 + "]" * 900 + "}", "plan cannot be accepted"),
    ],
    ids=["repeated key", "huge number", "no end", "deep"],
)
def test_odd_files_are_named_without_a_traceback(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "odd.json"
    path.write_text(text)
    done = invoke("check", str(path), "--no-catalogue")
    assert done.exit_code == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_missing_permission_comes_with_the_line_that_grants_it() -> None:
    done = invoke("check", str(EXAMPLES / "unsure_agent.json"), "--config", CONFIG)
    assert "conflict: PERMISSION -> DOWNGRADE: agent 'researcher' lacks permission email:send" in done.stdout
    (fix,) = (line for line in done.stdout.splitlines() if line.startswith("  fix: "))
    assert "in airlock.toml, in the section [policy.agents.researcher]: permissions = [" in fix
    assert '"email:send"]' in fix
    document = json.loads(invoke("check", str(EXAMPLES / "unsure_agent.json"), "--config", CONFIG, "--json").stdout)
    assert document["grants"] == {"tell": fix.removeprefix("  fix: ")}


def test_one_is_no_plural(plan_file: Callable[..., str]) -> None:
    document = note_plan("one")
    document["steps"] = [{**document["steps"][0], "tool": "file_writ"}]
    done = invoke("check", plan_file(document), "--config", CONFIG)
    assert "1 step, 1 error, 0 warnings" in done.stdout
