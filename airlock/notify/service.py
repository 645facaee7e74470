"""The process behind `airlock notify run`: it looks at what stands, and starts one workflow for each message that is due."""

import asyncio
import logging
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta

from temporalio.client import Client
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError
from temporalio.worker import Worker
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

from airlock.admission.configuration.config import Config
from airlock.alerts.alert import FOR_APPROVERS, Alert
from airlock.alerts.asked import asks
from airlock.alerts.calendar import zone_problems
from airlock.alerts.routing import Delivery, deliveries
from airlock.base import names
from airlock.base.errors import AirlockError, ConfigError, Problem
from airlock.notify.attempts import Attempts, Told
from airlock.notify.delivery import QUEUE, NotifyWorkflow, receiver_queue
from airlock.notify.sending import Sender
from airlock.notify.standing import Standing
from airlock.tools.mail import SmtpSettings

AT_ONCE = 5
"""Attempts for one receiver at the same time."""
_GRACE = timedelta(seconds=15)

logger = logging.getLogger(__name__)


class Notifier:
    """Looks at what stands, and starts the deliveries that are due.

    It remembers what it has started only to save questions: Temporal refuses a second workflow of one id.

    Args:
        client: A connected client.
        config: The operator's file.
        told: Called with each delivery that has ended or failed, and how.
    """

    def __init__(self, client: Client, config: Config, told: Told) -> None:
        self._client = client
        self._config = config
        self._told = told
        self._standing = Standing(client)
        self._started: set[str] = set()
        self._unasked: set[str] = set()

    def workers(self) -> list[Worker]:
        """Return the workers that carry out deliveries: one for the workflows, and one for each receiver."""
        sender = Sender(smtp_settings(self._config))
        # a reader of its own: the look at what stands does not wait for one that an attempt takes
        attempts = Attempts(Standing(self._client), self._config.notify, self._config.policy, sender, self._told)
        orchestrating = Worker(self._client, task_queue=QUEUE, workflows=[NotifyWorkflow], workflow_runner=runner())
        sending = [
            Worker(
                self._client,
                task_queue=receiver_queue(name),
                activities=[attempts.deliver],
                max_concurrent_activities=AT_ONCE,
                graceful_shutdown_timeout=_GRACE,
            )
            for name in self._config.notify
        ]
        return [orchestrating, *sending]

    async def look(self, now: datetime | None = None) -> tuple[Delivery, ...]:
        """Look once, start what is due, and return what was started.

        Args:
            now: The time, UTC; now unless given.

        Raises:
            AirlockError: If the namespace has no Airlock search attributes yet.
        """
        now = now or datetime.now(UTC)
        alerts = await self._standing.read()
        planned = deliveries(alerts, self._config.notify, self._config.policy)
        self._report_unasked(alerts, planned)
        due = [each for each in planned if each.due <= now]
        self._started &= {each.id for each in planned}
        started = [each for each in due if each.id not in self._started and await start(self._client, each)]
        self._started |= {each.id for each in due}
        return tuple(started)

    async def run(self, every: float) -> None:
        """Look at intervals of so many seconds, until cancelled. A look that fails is one line of the log."""
        while True:
            try:
                await self.look()
            except (AirlockError, RPCError, TimeoutError) as error:
                logger.warning("what stands cannot be looked up: %s", error)
            await asyncio.sleep(every)

    def _report_unasked(self, alerts: Iterable[Alert], planned: Iterable[Delivery]) -> None:
        asked = {each.plan_id for each in planned}
        receivers = self._config.notify.values()
        # a digest does not name its plans; without a receiver that asks, the operator wants no such messages
        silent = any(each.digest is not None for each in receivers) or not any(asks(each) for each in receivers)
        waiting = {alert.plan_id for alert in alerts if alert.kind in FOR_APPROVERS}
        unasked = set() if silent else waiting - asked
        for plan in sorted(unasked - self._unasked):
            logger.warning("plan %s waits for approval, and no receiver is asked: see `people` and `events`", plan)
        self._unasked = unasked


def runner() -> SandboxedWorkflowRunner:
    """Return the sandbox for the workflow of a delivery."""
    return SandboxedWorkflowRunner(restrictions=SandboxRestrictions.default.with_passthrough_modules("airlock"))


async def start(
    client: Client, delivery: Delivery, reuse: WorkflowIDReusePolicy = WorkflowIDReusePolicy.REJECT_DUPLICATE
) -> bool:
    """Start the workflow of a delivery. Return False if Temporal has one of that id already."""
    try:
        await client.start_workflow(
            names.NOTIFY_WORKFLOW,
            delivery,
            id=delivery.id,
            task_queue=QUEUE,
            id_reuse_policy=reuse,
            id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
            static_summary=f"`{delivery.kind}` to `{delivery.receiver}`",
        )
    except WorkflowAlreadyStartedError:
        return False
    return True


async def serve(client: Client, config: Config, every: float, told: Told, is_up: Callable[[], None] = lambda: None) -> None:
    """Carry out deliveries and look at intervals, until cancelled.

    Raises:
        ConfigError: If the receivers cannot be used.
    """
    require_usable(config)
    notifier = Notifier(client, config, told)
    async with AsyncExitStack() as stack:
        for worker in notifier.workers():
            await stack.enter_async_context(worker)
        is_up()
        await notifier.run(every)


def require_usable(config: Config) -> None:
    """Require receivers that this machine can serve.

    Raises:
        ConfigError: If there is none, or one of them cannot be used.
    """
    if not config.notify:
        fix = "write a section for each, such as [notify.oncall]"
        raise ConfigError([Problem(where="notify", message="there is no receiver", fix=fix)])
    problems = list(zone_problems(config.notify))
    if any(receiver.kind == "email" for receiver in config.notify.values()):
        settings = smtp_settings(config)
        missing = [key for key in ("host", "sender") if not getattr(settings, key)]
        problems += [
            Problem(where=f"settings.smtp.{key}", message="is not set, and a receiver takes mail", fix="set it")
            for key in missing
        ]
    if problems:
        raise ConfigError(problems)


def smtp_settings(config: Config) -> SmtpSettings:
    """Return the mail server of the operator's file."""
    return SmtpSettings.model_validate(config.settings.get(SmtpSettings.section, {}))
