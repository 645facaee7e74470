"""Plans on a schedule: a real schedule of Temporal, whose runs are plans of their own."""

import asyncio
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleHandle,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleSpec,
    WorkflowFailureError,
)

from airlock.activities.toolbox import Toolbox
from airlock.base import names
from airlock.client import Airlock, PlanHandle
from airlock.client.undo import undo
from airlock.plans.catalogue import Catalogue
from airlock.plans.state import State
from airlock.tools.files.file_writing import file_write
from airlock.worker.roles import build_workers
from tests.docs.fences import ROOT
from tests.running import running
from tests.workflows.conftest import POLICY, approved, awaiting, binary, namespace, step, until, working
from tests.workflows.world import WORLD

GUIDE = ROOT / "docs" / "guides" / "schedules.md"


@pytest.fixture
async def client(dev_server) -> Client:
    return await namespace(dev_server.client, f"schedules-{uuid4().hex[:8]}")


async def runs_of(client: Client, schedule: str) -> list[str]:
    """Return the workflow ids that a schedule started, oldest first."""
    info = (await client.get_schedule_handle(schedule).describe()).info
    return [action.action.workflow_id for action in info.recent_actions]


async def triggered(client: Client, schedule: str) -> str:
    """Trigger a schedule and return the plan id of the run."""
    before = await runs_of(client, schedule)
    last = max(map(names.occasion_of, before), default="")
    # two runs of one second would have one id
    await until(lambda: f"{datetime.now(UTC):-%Y-%m-%dT%H:%M:%SZ}" > last)
    await client.get_schedule_handle(schedule).trigger()

    async def new() -> str:
        return next(iter(set(await runs_of(client, schedule)) - set(before)), "")

    return names.plan_id_of(await until(new))


async def scheduled(client: Client, plan: dict[str, Any]) -> ScheduleHandle:
    return await client.create_schedule(
        f"schedule-of-{plan['plan_id']}",
        Schedule(
            action=ScheduleActionStartWorkflow(
                names.PLAN_WORKFLOW, {"plan": plan}, id=f"plan-{plan['plan_id']}", task_queue=names.WORKFLOW_QUEUE
            ),
            spec=ScheduleSpec(),
            policy=SchedulePolicy(overlap=ScheduleOverlapPolicy.ALLOW_ALL),
        ),
    )


def code(kind: str) -> str:
    """Return the first example of a kind in the guide."""
    return GUIDE.read_text(encoding="utf-8").split(f"```{kind}\n")[1].split("```")[0]


async def test_the_guide_does_what_it_says(client, tmp_path: Path):
    tools = Catalogue([file_write], settings={"files": {"root": str(tmp_path / "files")}})
    (tmp_path / "files").mkdir()
    (tmp_path / "weekly-note.json").write_text(code("json"), encoding="utf-8")
    target = {
        "TEMPORAL_ADDRESS": client.service_client.config.target_host,
        "TEMPORAL_NAMESPACE": client.namespace,
        "PATH": f"{Path(binary('temporal')).parent}{os.pathsep}{os.environ['PATH']}",
    }
    made = await asyncio.create_subprocess_exec(
        "sh", "-c", code("sh"), cwd=tmp_path, env=os.environ | target, stdout=asyncio.subprocess.PIPE
    )
    await asyncio.wait_for(made.communicate(), 60)
    assert made.returncode == 0
    async with running(build_workers(client, Toolbox(tools, POLICY))):
        airlock = Airlock(client)
        first = airlock.plan(await triggered(client, "weekly-note"))
        second = airlock.plan(await triggered(client, "weekly-note"))
        digests = {(await awaiting(handle)).digest for handle in (first, second)}
        assert len(digests) == 2
        assert (await first.status()).plan_id == first.plan_id
        assert names.occasion_of(first.plan_id)
        await approved(first)
        assert (await first.result()).outcome == "completed"
        assert (tmp_path / "files" / "notes" / "week.md").read_text() == "Nothing happened.\n"
        # the approval of one run is none for the other
        assert (await second.status()).state is State.AWAITING_APPROVAL
        assert (await second.decide("deny", by="alice", reason="once is enough")).accepted
        assert (await second.result()).outcome == "denied"


async def test_each_run_has_its_own_approval_and_claim_and_can_be_undone(client, plan):
    document = plan(step("mail", "send", to="jo"), step("one", "once", key="a", value=1))
    async with working(client) as airlock:
        schedule = await scheduled(client, document)
        handles: list[PlanHandle] = []
        for _ in range(2):
            handle = airlock.plan(await triggered(client, schedule.id))
            await approved(handle)
            result = await handle.result()
            assert (result.outcome, result.plan_id) == ("completed", handle.plan_id)
            assert WORLD.effects[f"{handle.plan_id}/mail"] == 1
            assert handle.plan_id == document["plan_id"] + names.occasion_of(handle.plan_id)
            handles.append(handle)
        first, second = (handle.plan_id for handle in handles)
        assert first != second
        undoing = await undo(client, first, by="carol", reason="wrong")
        await approved(undoing)
        assert (await undoing.result()).undone == ("one",)
        assert (WORLD.state[first].get("a"), WORLD.state[second].get("a")) == (None, 1)


@pytest.mark.parametrize("ending", ["-2026-02-30", "-2026-11-28T15:00:00", "-2026-11-28T15:00:00Z-"])
async def test_a_workflow_id_that_no_schedule_makes_is_refused(airlock, plan, ending):
    document = plan(step("one", "put", key="a", value=1))
    with pytest.raises(WorkflowFailureError) as caught:
        await airlock.client.execute_workflow(
            names.PLAN_WORKFLOW,
            {"plan": document},
            id=f"plan-{document['plan_id']}{ending}",
            task_queue=names.WORKFLOW_QUEUE,
        )
    assert "must run as workflow" in str(caught.value.cause)


async def test_a_plan_that_names_a_time_itself_is_refused(airlock, plan):
    document = plan(step("mail", "send", to="jo"))
    document["plan_id"] += "-2026-11-28T15:00:00Z"
    with pytest.raises(WorkflowFailureError) as caught:
        await airlock.client.execute_workflow(
            names.PLAN_WORKFLOW, {"plan": document}, id=f"plan-{document['plan_id']}", task_queue=names.WORKFLOW_QUEUE
        )
    assert "only a schedule appends" in str(caught.value.cause)
