"""Every example can be accepted; what the big ones do is proven by the demo, the others on a real server."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from airlock.cli.app import app
from airlock.cli.check import look_at, plan_from_files
from airlock.cli.settings import read_catalogue
from devtools.environment import ROOT

EXAMPLES = ROOT / "examples"
PLANS = sorted(path for path in EXAMPLES.glob("*.json") if path.stem != "validations")


@pytest.mark.parametrize("path", PLANS, ids=lambda path: path.stem)
def test_every_example_is_accepted_by_the_projects_own_catalogue(path: Path) -> None:
    found = look_at(plan_from_files(path, None), read_catalogue(ROOT / "airlock.toml"))
    assert (found.problems, found.warnings) == ((), ())
    assert found.ceilings


def test_the_main_example_is_what_the_readme_says() -> None:
    plan = plan_from_files(EXAMPLES / "onboard_customer.json", None)
    assert len({step.agent for step in plan.steps}) == 3
    assert len(plan.steps) >= 9
    assert plan.steps[-1].tool == "send_email"
    assert sum("$ref" in json.dumps(step.args) for step in plan.steps) >= 5
    assert sum(not step.parents for step in plan.steps) >= 3


def test_check_shows_the_conflicts_and_what_becomes_of_them() -> None:
    arguments = ["check", str(EXAMPLES / "conflicts.json"), "--config", str(ROOT / "airlock.toml")]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0
    assert (
        "conflict: RESOURCE -> DELAY: minutes and tell both need mailbox:team@acme.test; tell waits for minutes"
        in done.stdout
    )
    document = json.loads(CliRunner().invoke(app, [*arguments, "--json"]).stdout)
    assert [found["kind"] for found in document["conflicts"]] == ["ORDERING", "PERMISSION", "DUPLICATE_ACTION", "RESOURCE"]
    assert {step["id"]: step["ceiling"] for step in document["steps"]}["tell-2"] == "MOCK"


def test_check_refuses_a_plan_whose_prerequisite_is_missing(tmp_path: Path) -> None:
    plan = json.loads((EXAMPLES / "conflicts.json").read_text())
    plan["steps"] = [step for step in plan["steps"] if step["id"] != "account"]
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(plan))
    done = CliRunner().invoke(app, ["check", str(path), "--config", str(ROOT / "airlock.toml")])
    assert done.exit_code == 1
    assert "add a step with tool 'open_billing_account' before 'charge'" in done.stdout + done.stderr


def test_the_graph_of_prerequisites_is_a_diagram_or_its_edges() -> None:
    arguments = ["tools", "--graph", "--config", str(ROOT / "airlock.toml")]
    assert CliRunner().invoke(app, arguments).stdout.splitlines() == [
        "graph LR",
        '    t0["charge_card"]',
        '    t1["open_billing_account"]',
        "    t1 --> t0",
    ]
    document = json.loads(CliRunner().invoke(app, [*arguments, "--json"]).stdout)
    assert document == {"edges": [{"before": "open_billing_account", "tool": "charge_card"}]}
