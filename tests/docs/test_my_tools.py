"""The tools of docs/guides/writing-a-tool.md, with real effect: called as the document says, then as a worker calls them."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from temporalio.testing import ActivityEnvironment

from airlock.activities.calls.call import CallActivities
from airlock.activities.calls.compensate import CompensateActivities
from airlock.activities.rehearsals.preview import PreviewActivities
from airlock.activities.rehearsals.rehearse import RehearseActivities
from airlock.activities.toolbox import Toolbox
from airlock.admission.configuration.config import parse_config
from airlock.admission.policy import AgentPolicy, Policy
from airlock.base.errors import ConfigError, Stale, ToolFailed
from airlock.base.names import PLAN_WORKFLOW, plan_workflow_id
from airlock.plans.catalogue import Catalogue
from airlock.plans.contract import Mode
from airlock.plans.outcome import CallStale, CallSucceeded, StepPreview, Undone
from airlock.plans.plan import Step
from airlock.plans.tool_call import ToolCall
from airlock.run.live.call_messages import CallRequest, ChainRequest, MadeCall
from airlock.tools.loader import load_catalogue
from airlock.wire import RehearsalRequest
from examples.my_tools import FlagSettings, ReadFlag, SetFlag, read_flag, set_flag

KEY = "release-001/switch"
ON = SetFlag(name="new_checkout", value="on")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "flags.json"
    found.write_text('{"flags": {"new_checkout": "off"}}')
    return found


@pytest.fixture
def settings(path: Path) -> FlagSettings:
    return FlagSettings(path=path, frozen_flags=("kill_switch",))


def call(settings: FlagSettings, **more: Any) -> ToolCall:
    return ToolCall("release-001", "switch", "releaser", Mode.LIVE, KEY, settings=settings, **more)


def flags(path: Path) -> dict[str, str]:
    return json.loads(path.read_text())["flags"]


def test_mock_and_dry_run_change_nothing(path, settings):
    before = path.read_bytes()
    assert set_flag.functions["mock"](ON, call(settings)) == {"name": "new_checkout", "value": "on", "was": None}
    said = set_flag.functions["dry_run"](ON, call(settings))
    assert said.effect == "Would set flag 'new_checkout' from 'off' to 'on'."
    assert said.observed == {"value": "off"}
    assert said.undo == "Set it back to 'off'."
    assert [path.read_bytes(), sorted(found.name for found in path.parent.iterdir())] == [before, ["flags.json"]]


def test_live_then_the_same_key_again_then_undo_twice(path, settings):
    first = call(settings, observed={"value": "off"})
    assert set_flag.live(ON, first) == {"name": "new_checkout", "value": "on", "was": "off"}
    assert flags(path) == {"new_checkout": "on"}
    written = path.read_bytes()

    again = call(settings, observed={"value": "off"}, attempt=2)
    assert set_flag.live(ON, again) == {"name": "new_checkout", "value": "on", "was": "off"}
    assert path.read_bytes() == written
    assert again.undo == first.undo

    for _ in range(2):
        assert set_flag.functions["compensate"](ON, call(settings, undo=first.undo)) is None
        assert flags(path) == {"new_checkout": "off"}


def test_undo_of_a_flag_that_was_not_there_removes_it(path, settings):
    new = SetFlag(name="beta", value="25%")
    set_flag.live(new, call(settings))
    assert flags(path)["beta"] == "25%"
    set_flag.functions["compensate"](new, call(settings))
    assert flags(path) == {"new_checkout": "off"}


def test_a_flag_that_moved_is_stale_and_nothing_is_written(path, settings):
    before = path.read_bytes()
    with pytest.raises(Stale, match="is 'off' now"):
        set_flag.live(ON, call(settings, observed={"value": "50%"}))
    assert path.read_bytes() == before


def test_undo_does_not_overwrite_another_writer(path, settings):
    set_flag.live(ON, call(settings))
    content = json.loads(path.read_text())
    content["flags"]["new_checkout"] = "50%"
    path.write_text(json.dumps(content))
    with pytest.raises(ToolFailed, match="another writer"):
        set_flag.functions["compensate"](ON, call(settings))
    assert flags(path) == {"new_checkout": "50%"}


@pytest.mark.parametrize("kind", ["live", "dry_run"])
def test_a_frozen_flag_is_refused_early_and_late(settings, kind):
    function = set_flag.live if kind == "live" else set_flag.functions[kind]
    with pytest.raises(ToolFailed, match="frozen by the operator"):
        function(SetFlag(name="kill_switch", value="on"), call(settings))


def test_probe_knows_both_ways(settings):
    probe = set_flag.functions["probe"]
    assert probe(ON, call(settings)).happened is False
    set_flag.live(ON, call(settings))
    asked = call(settings)
    assert probe(ON, asked).happened is True
    assert asked.undo == {"name": "new_checkout", "value": "on", "was": "off"}


def test_read_flag(settings):
    assert read_flag.live(ReadFlag(name="new_checkout"), call(settings)) == {"name": "new_checkout", "value": "off"}
    assert read_flag.live(ReadFlag(name="nothing"), call(settings))["value"] is None


def test_the_catalogue_offers_both_and_names_a_missing_setting(path):
    text = f'[catalogue]\nmodules = ["examples.my_tools"]\n[settings.flags]\npath = "{path}"\n'
    catalogue = load_catalogue(parse_config(text))
    assert catalogue.names == ("read_flag", "set_flag")
    contract = catalogue.contract("set_flag")
    assert (contract.has_dry_run, contract.has_compensate, contract.has_probe) == (True, True, True)
    assert contract.attempts(checked=True) == 3
    with pytest.raises(ConfigError, match=r"settings\.flags\.path.*AIRLOCK_SETTINGS__FLAGS__PATH"):
        load_catalogue(parse_config('[catalogue]\nmodules = ["examples.my_tools"]'))


async def test_as_a_worker_calls_it(path):
    """Mock, dry run, live, the same key again, probe and undo, through the activities a worker runs."""
    catalogue = Catalogue([set_flag], settings={"flags": {"path": str(path)}})
    toolbox = Toolbox(catalogue, Policy(agents={"*": AgentPolicy(permissions=("*",))}))
    step = Step(id="switch", agent="releaser", tool="set_flag", args=ON.model_dump(), confidence=0.9)
    contract = toolbox.contract_now(step)
    many = {"plan_id": "release-001", "steps": (step,), "contracts": {"c": contract}, "contract_of": {"switch": "c"}}
    one = {"plan_id": "release-001", "step": step, "contract": contract}
    env = ActivityEnvironment()
    env.info = replace(env.info, workflow_type=PLAN_WORKFLOW, workflow_id=plan_workflow_id("release-001"))

    mocked = await env.run(RehearseActivities(toolbox).rehearse, RehearsalRequest(**many))
    assert mocked.failures == ()
    previewed = (await env.run(PreviewActivities(toolbox).preview, RehearsalRequest(**many))).previews[0]
    assert isinstance(previewed, StepPreview)
    assert previewed.looked
    assert flags(path) == {"new_checkout": "off"}

    chain = ChainRequest(plan_id="release-001", calls=(CallRequest(step=step, contract=contract, preview=previewed),))
    live = (await env.run(CallActivities(toolbox).call, chain)).attempts[0]
    assert isinstance(live, CallSucceeded)
    assert live.matched is True
    assert flags(path) == {"new_checkout": "on"}
    written = path.read_bytes()
    again = (await env.run(CallActivities(toolbox).call, chain)).attempts[0]
    assert isinstance(again, CallSucceeded)
    assert (again.output, again.undo, path.read_bytes()) == (live.output, live.undo, written)

    answer = await env.run(CompensateActivities(toolbox).probe, MadeCall(**one))
    assert (answer.happened, answer.undo) == (True, live.undo)
    for _ in range(2):
        undone = await env.run(CompensateActivities(toolbox).compensate, MadeCall(**one, undo=live.undo))
        assert isinstance(undone, Undone)
        assert flags(path) == {"new_checkout": "off"}

    path.write_text('{"flags": {"new_checkout": "50%"}}')
    stale = (await env.run(CallActivities(toolbox).call, chain)).attempts[0]
    assert isinstance(stale, CallStale)
    assert flags(path) == {"new_checkout": "50%"}


async def test_a_value_that_is_not_known_yet_is_previewed_all_the_same(path):
    catalogue = Catalogue([set_flag], settings={"flags": {"path": str(path)}})
    toolbox = Toolbox(catalogue, Policy.model_validate({"agents": {"releaser": {"permissions": ["flags:write"]}}}))
    args = {"name": "new_checkout", "value": {"$ref": "share.result"}}
    step = Step(id="switch", agent="releaser", tool="set_flag", args=args, confidence=0.9)
    request = RehearsalRequest(
        plan_id="release-001", steps=(step,), contracts={"c": toolbox.contract_now(step)}, contract_of={"switch": "c"}
    )
    previewed = (await ActivityEnvironment().run(PreviewActivities(toolbox).preview, request)).previews[0]
    assert isinstance(previewed, StepPreview)
    assert previewed.effect == "Would set flag 'new_checkout' from 'off' to '(known after live)'."
