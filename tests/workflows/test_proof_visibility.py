"""Runs that visibility does not show yet: resets in quick succession let nothing be made twice."""

import itertools
from datetime import UTC, datetime, timedelta

import pytest
from temporalio.common import WorkflowIDConflictPolicy

from airlock.base import names
from airlock.plans.state import State
from airlock.temporal import history
from tests.workflows.attacker import plain
from tests.workflows.attacker_starts import finished_tasks, latest_run, plainly, set_back
from tests.workflows.conftest import approved, awaiting, step, until
from tests.workflows.protected import keyring, place
from tests.workflows.test_proof_calls import running, times
from tests.workflows.test_proof_deputies import of_type
from tests.workflows.world import WORLD

_NUMBERS = itertools.count(1)
LAG = timedelta(seconds=5)


@pytest.fixture
def lagging(monkeypatch: pytest.MonkeyPatch) -> None:
    """Visibility shows a run some seconds after it began, as a busy search index does."""
    shown = history.runs_by_visibility

    async def later(client, workflow_id):
        found = await shown(client, workflow_id)
        return [run for run in found if datetime.now(UTC) - run.start_time.ToDatetime(UTC) > LAG]

    monkeypatch.setattr(history, "runs_by_visibility", later)


@pytest.mark.usefixtures("lagging")
async def test_two_resets_of_one_run_make_no_call_twice_before_visibility_shows_the_first(dev_server, plan):
    """A run knows the one that it was reset from, but not another one that was reset from it and terminated since."""
    waived = {"approval_waived_for": ("LOW", "MEDIUM")}
    where = await place(dev_server.client, f"visibility{next(_NUMBERS)}", keyring("k"), **waived)
    document = plan(step("a", "once", key="a", value=1))
    workflow_id, client = names.plan_workflow_id(document["plan_id"]), where.attacker.client
    hold = WORLD.hold(document["plan_id"], "a")
    async with where.working():
        where.holding.hold("prepare", "admit")
        handle = await where.airlock.submit(document)
        await where.holding.begun("admit")
        first = await latest_run(client, workflow_id)
        (asked, *_) = finished_tasks(await where.attacker.events(workflow_id, first))
        where.holding.let_go("admit")  # it fails for good: this run makes no call
        await until(lambda: ended(where, workflow_id, first))
        await set_back(client, workflow_id, asked, first, forget=True)
        await until(lambda: (document["plan_id"], "a") in WORLD.running)
        await set_back(client, workflow_id, asked, first, forget=True)

        async def answered():
            status = await handle.status()
            return times(document, "a") > 1 or status.parked or status.state.closed

        await until(answered)
        hold.set()
        await until(lambda: not WORLD.running)
        assert times(document, "a") == 1
        assert (await handle.status()).parked == ("a",)
        await handle.workflow.terminate()


@pytest.mark.usefixtures("lagging")
async def test_a_claim_stands_that_a_client_replaced_before_visibility_shows_it(dev_server, plan):
    where = await place(dev_server.client, f"visibility{next(_NUMBERS)}", keyring("k"))
    first, second = (plan(step("mail", "send", to="x@acme.test", body="the same")) for _ in range(2))
    client = where.attacker.client
    async with where.working():
        other = await where.airlock.submit(second)
        await awaiting(other)
        handle, hold = await running(where, first, "mail")
        (claim,) = await until(lambda: of_type(where, names.CLAIM_WORKFLOW))
        await plainly(
            client, names.CLAIM_WORKFLOW, claim, plain({}), id_conflict_policy=WorkflowIDConflictPolicy.TERMINATE_EXISTING
        )
        await approved(other)
        await other.wait_for(State.COMPLETED, State.LOCKED, State.ABORTED)
        assert (times(first, "mail"), times(second, "mail")) == (1, 0)
        hold.set()
        await handle.result()


async def ended(where, workflow_id: str, run_id: str) -> bool:
    found = await where.attacker.client.get_workflow_handle(workflow_id, run_id=run_id).describe()
    return found.close_time is not None
