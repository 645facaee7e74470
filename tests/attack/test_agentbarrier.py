"""AgentBarrier's suite, as its authors wrote it, against Airlock: what took effect is read from its own journal."""

import pytest
from agentbarrier import RunnerOptions, ScenarioStatus, SuiteRunner
from agentbarrier.scenarios import DEFAULT_SCENARIOS

from airlock.activities.toolbox import Toolbox
from airlock.client import Airlock
from airlock.worker.roles import build_workers
from tests import running
from tests.attack.barrier import AirlockAdapter, catalogue
from tests.workflows.conftest import POLICY, dev_server, namespace, patience, renewed_server  # noqa: F401  # fixtures

NOT_OFFERED = {"outcome_reconciliation"}


@pytest.mark.timeout(600)
@pytest.mark.parametrize("scenario", [scenario.scenario_id for scenario in DEFAULT_SCENARIOS])
async def test_a_scenario_of_agentbarrier(dev_server, scenario):  # noqa: F811
    client = await namespace(dev_server.client, f"barrier-{scenario.replace('_', '-')}")
    options = RunnerOptions(settle_seconds=0.3, operation_timeout_seconds=90.0, scenarios=(scenario,))
    async with running.running(build_workers(client, Toolbox(catalogue(), POLICY))):
        (result,) = (await SuiteRunner(options).verify(AirlockAdapter(Airlock(client)))).results
    expected = ScenarioStatus.SKIPPED if scenario in NOT_OFFERED else ScenarioStatus.PASSED
    assert result.status is expected, (result.detail, result.finding, result.events)
