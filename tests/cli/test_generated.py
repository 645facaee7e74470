"""Generated files are current, and describe the code as it is."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from pydantic import BaseModel

from airlock.admission.configuration.config import Config
from airlock.admission.policy import Policy
from airlock.plans.state import TRANSITIONS
from airlock.run.call_record import CALL_TRANSITIONS, CallStatus
from airlock.tools.loader import load_catalogue
from devtools.environment import ROOT
from devtools.schemas import schemas

EXAMPLES = ROOT / "examples"
PLANS = sorted(path for path in EXAMPLES.glob("*.json") if path.stem not in ("assignments", "validations"))


@pytest.mark.parametrize("module", ["devtools.schemas", "devtools.docs"])
def test_generated_files_are_current(module: str) -> None:
    done = subprocess.run([sys.executable, "-m", module, "--check"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_no_schema_is_left_over() -> None:
    assert {path.name for path in (ROOT / "schemas").iterdir()} == set(schemas())


@pytest.mark.parametrize("name", sorted(schemas()))
def test_every_schema_is_valid(name: str) -> None:
    jsonschema.Draft202012Validator.check_schema(schemas()[name])


@pytest.mark.parametrize("path", PLANS, ids=lambda path: path.stem)
def test_the_example_plans_fit_their_schema(path: Path) -> None:
    jsonschema.validate(json.loads(path.read_text()), schemas()["plan.schema.json"])


def test_the_older_examples_fit_theirs() -> None:
    for name in ("assignments", "validations"):
        jsonschema.validate(json.loads((EXAMPLES / f"{name}.json").read_text()), schemas()[f"{name}.schema.json"])


@pytest.mark.parametrize(
    ("document", "fits"),
    [({"decision": "approve", "by": "alice", "digest": "a" * 16}, True),
     ({"decision": "lock", "by": "alice", "reason": "r"}, True),
     ({"by": "alice", "digest": "a" * 16}, False), ({"decision": "sing", "by": "alice"}, False)],
)  # fmt: skip
def test_the_schema_of_decide_tells_decisions_apart(document: dict[str, Any], fits: bool) -> None:
    assert jsonschema.Draft202012Validator(schemas()["decide.schema.json"]).is_valid(document) is fits


def test_the_diagram_has_every_transition() -> None:
    page = (ROOT / "docs" / "reference" / "states.md").read_text()
    for (state, event), target in TRANSITIONS.items():
        arrow = next(line for line in page.splitlines() if line.startswith(f"    {state.value} --> {target.value}: "))
        assert event.value in arrow


def test_the_diagram_of_calls_has_every_transition() -> None:
    lines = (ROOT / "docs" / "reference" / "calls.md").read_text().splitlines()
    for (status, event), target in CALL_TRANSITIONS.items():
        start, end = (each.value if each else "[*]" for each in (status, target))
        (arrow,) = [line for line in lines if line.startswith(f"    {start} --> {end}: ")]
        assert event.value in arrow.partition(": ")[2].split(", ")
        row = f"| {_cell(status)} | `{event.value}` | {_cell(target)} |"
        assert [line for line in lines if line.startswith(row)], row


def _cell(status: CallStatus | None) -> str:
    return f"`{status.value}`" if status else "(no call)"


def test_every_key_of_the_configuration_is_explained_in_the_file() -> None:
    text = (ROOT / "airlock.toml").read_text()
    catalogue = load_catalogue(Config())
    keys = [*Config.model_fields, *Policy.model_fields]
    for name in catalogue.names:
        tool = catalogue.get(name)
        if tool is not None and tool.settings_model is not None:
            assert issubclass(tool.settings_model, BaseModel)
            keys += tool.settings_model.model_fields
    assert [key for key in keys if key not in text] == []
