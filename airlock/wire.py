"""What the workflow and the activities say to each other: one object in, one out."""

from datetime import datetime
from typing import Any

from pydantic import Field

from airlock.base.model import WireModel, WorkerMessage
from airlock.monitoring.outbox import Outbox
from airlock.plans.contract import Contract
from airlock.plans.outcome import MockFailed, PreviewOutcome
from airlock.plans.plan import Plan, Step
from airlock.run.state import Run
from airlock.run.undo import Undoing


class PlanStart(WireModel, WorkerMessage):
    """What a PlanWorkflow is started with: a plan, or the run that a continue-as-new carries on.

    With `undo` it undoes that plan, which has ended, under the workflow id `undo-<plan_id>`. `outbox` goes with `run`.
    """

    plan: Plan | None = None
    run: Run | None = None
    undo: Undoing | None = None
    outbox: Outbox | None = None


class AdmitRequest(WireModel, WorkerMessage):
    """A plan to be judged by the operator's catalogue and policy."""

    plan: Plan


class RehearsalRequest(WireModel, WorkerMessage):
    """Steps to mock or to preview, each after all it depends on.

    `outputs` are actual where a step is live; for a preview they are predicted where it was previewed before.
    """

    plan_id: str
    steps: tuple[Step, ...]
    contracts: dict[str, Contract]
    contract_of: dict[str, str]
    outputs: dict[str, Any] = Field(default_factory=dict)


class RehearseResult(WireModel, WorkerMessage):
    """Which mocks failed; all others worked."""

    failures: tuple[MockFailed, ...] = ()


class PreviewResult(WireModel, WorkerMessage):
    """What the dry runs said. `remaining` steps did not fit into one payload and are asked for again."""

    previews: tuple[PreviewOutcome, ...] = ()
    remaining: tuple[str, ...] = ()


class RecoverRequest(WireModel, WorkerMessage):
    """Which ended plan is to be undone; `previous` as in `Undoing`."""

    plan_id: str
    previous: str = ""


class Recovered(WireModel, WorkerMessage):
    """The run of an ended plan as it really ended, or why it cannot be undone. `quiet_at` as in `Undoing`."""

    run: Run | None = None
    refused: str = ""
    quiet_at: datetime | None = None
