"""Every example can be accepted; what the big ones do is proven by the demo, the others on a real server."""

import json
from pathlib import Path

import pytest

from cli.check import look_at, plan_from_files
from cli.processes import ROOT
from cli.settings import read_catalogue

EXAMPLES = ROOT / "examples"
PLANS = sorted(path for path in EXAMPLES.glob("*.json") if path.stem != "validations")


@pytest.mark.parametrize("path", PLANS, ids=lambda path: path.stem)
def test_every_example_is_accepted_by_the_projects_own_catalogue(path: Path) -> None:
    found = look_at(plan_from_files(path, None), read_catalogue(ROOT / "airlock.toml"))
    assert (found.problems, found.advice) == ((), ())
    assert found.ceilings


def test_the_main_example_is_what_the_readme_says() -> None:
    plan = plan_from_files(EXAMPLES / "onboard_customer.json", None)
    assert len({step.agent for step in plan.steps}) == 3
    assert len(plan.steps) >= 9
    assert plan.steps[-1].tool == "send_email"
    assert sum("$ref" in json.dumps(step.args) for step in plan.steps) >= 5
    assert sum(not step.parents for step in plan.steps) >= 3
