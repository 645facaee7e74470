"""Start of monitors, reports and queries to them, and their questions to the operator's policy."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from functools import reduce

from temporalio import activity
from temporalio.client import Client, WorkflowQueryFailedError, WorkflowQueryRejectedError
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from airlock.activities.toolbox import Toolbox
from airlock.admission.policy import Policy
from airlock.admission.reliability import PRIOR_CALLS, Reliability
from airlock.base import names
from airlock.monitoring.messages import (
    MAX_ASKED_TOOLS,
    MAX_REPORTS,
    AlarmAnswer,
    AlarmRequest,
    AutoLock,
    MonitorStart,
    ReliabilityAnswer,
    ReliabilityQuestion,
    Reports,
    ToolTallies,
    WishAnswer,
)
from airlock.monitoring.report import Report
from airlock.temporal.history import described, is_open
from airlock.temporal.proof_converter import UnprovenAnswer

QUERY_TIMEOUT = timedelta(seconds=5)
_TRIES = 8
_CLOSING = (RPCStatusCode.ABORTED, RPCStatusCode.FAILED_PRECONDITION, RPCStatusCode.RESOURCE_EXHAUSTED)


class MonitorActivities:
    """Monitoring activities of the operator's worker, on the workflows' queue."""

    def __init__(self, toolbox: Toolbox) -> None:
        self._toolbox = toolbox

    @activity.defn(name="alarm")
    async def alarm(self, request: AlarmRequest) -> AlarmAnswer:
        """Return whether the operator's policy wants the live gate locked for an anomaly."""
        severity = self._toolbox.policy.auto_lock_severity
        return AlarmAnswer(lock=severity is not None and request.anomaly.severity >= severity)

    @activity.defn(name="lock_wish")
    async def lock_wish(self, asked: AutoLock) -> WishAnswer:
        """Return the lock that a monitor wants, asked for by the live gate.

        Raises:
            ApplicationError: If the named workflow is not a running monitor.
        """
        client = activity.client()
        found = await described(client, asked.monitor)
        if found is None or not is_open(found) or found.type.name != names.MONITOR_WORKFLOW:
            raise ApplicationError(f"{asked.monitor} is no monitor that runs", type="NoMonitor", non_retryable=True)
        answer: WishAnswer = await client.get_workflow_handle(asked.monitor).query(
            "lock_wish", result_type=WishAnswer, rpc_timeout=QUERY_TIMEOUT
        )
        return answer


async def start_monitors(client: Client, policy: Policy) -> None:
    """Start the monitors that are not running.

    Raises:
        RPCError: If Temporal does not answer.
    """
    for shard in range(policy.monitor_shards):
        await client.start_workflow(
            names.MONITOR_WORKFLOW,
            MonitorStart(),
            id=names.monitor_id(shard),
            task_queue=names.WORKFLOW_QUEUE,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            static_summary="health and learning signals",
        )


async def send_reports(client: Client, monitor: str, reports: Sequence[Report]) -> None:
    """Send reports to a monitor in signals that start it if it is not running. Safe to repeat.

    Raises:
        RPCError: If Temporal does not answer, or refuses further signals to the monitor's run.
    """
    for first in range(0, len(reports), MAX_REPORTS):
        await _send(client, monitor, Reports(reports=tuple(reports[first : first + MAX_REPORTS])))


async def _send(client: Client, monitor: str, reports: Reports) -> None:
    """Send one signal; retry while Temporal refuses signals to a run that is continuing as new."""
    for attempt in range(_TRIES):
        try:
            await client.start_workflow(
                names.MONITOR_WORKFLOW,
                MonitorStart(),
                id=monitor,
                task_queue=names.WORKFLOW_QUEUE,
                id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                start_signal="report",
                start_signal_args=[reports],
                static_summary="health and learning signals",
            )
        except RPCError as error:
            if attempt + 1 == _TRIES or error.status not in _CLOSING:
                raise
            await asyncio.sleep(min(0.05 * 2**attempt, 2.0))
        else:
            return


async def reliability(client: Client, policy: Policy, tools: Sequence[str]) -> dict[str, Reliability] | None:
    """Return the reliability of tools over all monitors; None if one of them does not answer: a part is not the whole.

    The last day counts where it has at least `PRIOR_CALLS` calls of a tool, so that one that was fixed is not blamed for
    ever; else everything.
    """
    question = ReliabilityQuestion(tools=tuple(sorted(set(tools))[:MAX_ASKED_TOOLS]))
    shards = [names.monitor_id(shard) for shard in range(policy.monitor_shards)]
    try:
        answers = await asyncio.gather(*(_asked(client, shard, question) for shard in shards))
    except (RPCError, UnprovenAnswer, WorkflowQueryFailedError, WorkflowQueryRejectedError) as error:
        activity.logger.warning("the monitors could not be asked how reliable tools are: %s", error)
        return None
    found: dict[str, Reliability] = {}
    for tool in question.tools:
        each = [answer.tools.get(tool, ToolTallies()) for answer in answers]
        day = reduce(lambda one, other: one + other, (tallies.day for tallies in each))
        every = reduce(lambda one, other: one + other, (tallies.all for tallies in each))
        used = day if day.calls >= PRIOR_CALLS else every
        found[tool] = Reliability(ok=used.ok, calls=used.calls)
    return found


async def _asked(client: Client, monitor: str, question: ReliabilityQuestion) -> ReliabilityAnswer:
    answer: ReliabilityAnswer = await client.get_workflow_handle(monitor).query(
        "reliability", question, result_type=ReliabilityAnswer, rpc_timeout=QUERY_TIMEOUT
    )
    return answer
