"""Runs that a query has carried beyond their history: a worker forgets them before their next workflow task.

A query can reach a worker with events that no completed workflow task covers, after another worker was lost with the task.
The SDK applies these events to the run, answers, and keeps the run. The next workflow task then applies the remaining
events alone. A replay applies all of them together, messages first: it comes to other commands, and the run is wedged by
a nondeterminism error. No workflow can prevent that, because it does not see the order of the events in one task.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import GetWorkflowExecutionHistoryReverseRequest
from temporalio.client import Client
from temporalio.service import RPCError
from temporalio.worker import Worker

from airlock.base.errors import AirlockError
from airlock.worker.garbage import Garbage

_DIRECT = "legacy_query"
"""The id that the SDK gives to a query which comes without a workflow task."""
_LATEST = 50
"""The newest events among which the last completed workflow task is looked for."""
_PATIENCE = timedelta(seconds=2)


def forgetting(worker: Worker, client: Client) -> Worker:
    """Let a worker forget each run that a query has carried beyond its history, and return the worker.

    Raises:
        AirlockError: If this version of the SDK hands its workflows their tasks in another way.
    """
    # the SDK has no hook between its core and its workflows
    tasks: Any = worker._workflow_worker
    if tasks is not None:
        core = getattr(tasks, "_bridge_worker", None)
        if not callable(core) or not hasattr(worker._bridge_worker, "request_workflow_eviction"):
            raise AirlockError("this version of temporalio evicts runs in another way: pip install 'temporalio==1.35.*'")
        between = _Between(core, client, Garbage())
        tasks._bridge_worker = lambda: between
    return worker


class _Between:
    """The SDK's core, as the workflows of one worker see it.

    Args:
        core: Returns the core.
        client: Asked which workflow tasks Temporal has recorded.
        garbage: Told of each run that leaves the cache.
    """

    def __init__(self, core: Callable[[], Any], client: Client, garbage: Garbage) -> None:
        self._core = core
        self._client = client
        self._garbage = garbage
        self._sizes: dict[str, int] = {}
        """The bytes of history of each run in the cache."""
        self._workflows: dict[str, str] = {}
        self._unconfirmed: dict[str, int] = {}
        """The length of the history that was applied last and that may not be recorded as a workflow task, by run."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._core(), name)

    async def poll_workflow_activation(self) -> Any:
        """Return the next work of the workflows."""
        work = await self._core().poll_workflow_activation()
        self._note(work)
        return work

    async def complete_workflow_activation(self, done: Any) -> None:
        """Hand back the answer of the workflows; the run that answered a query is forgotten if it is ahead."""
        answered = [command.respond_to_query.query_id for command in done.successful.commands]
        if _DIRECT in answered and not await self._is_recorded(done.run_id):
            # before the answer is out: with it, the core may begin the next workflow task
            self._core().request_workflow_eviction(done.run_id)
        await self._core().complete_workflow_activation(done)

    def _note(self, work: Any) -> None:
        for job in work.jobs:
            if job.HasField("initialize_workflow"):
                self._workflows[work.run_id] = job.initialize_workflow.workflow_id
        if any(job.HasField("remove_from_cache") for job in work.jobs):
            self._garbage.add(self._sizes.pop(work.run_id, 0))
            self._workflows.pop(work.run_id, None)
            self._unconfirmed.pop(work.run_id, None)
            return
        self._sizes[work.run_id] = work.history_size_bytes
        if work.is_replaying or any(job.HasField("query_workflow") for job in work.jobs):
            return
        self._unconfirmed[work.run_id] = work.history_length

    async def _is_recorded(self, run_id: str) -> bool:
        """Return True if everything that was applied to a run belongs to completed workflow tasks."""
        length = self._unconfirmed.get(run_id)
        if length is None:
            return True
        run = WorkflowExecution(workflow_id=self._workflows.get(run_id, ""), run_id=run_id)
        request = GetWorkflowExecutionHistoryReverseRequest(
            namespace=self._client.namespace, execution=run, maximum_page_size=_LATEST
        )
        try:
            newest = await self._client.workflow_service.get_workflow_execution_history_reverse(request, timeout=_PATIENCE)
        except RPCError:
            return False
        for event in newest.history.events:
            if event.HasField("workflow_task_completed_event_attributes"):
                recorded = event.workflow_task_completed_event_attributes.started_event_id == length
                if recorded and self._unconfirmed.get(run_id) == length:
                    del self._unconfirmed[run_id]
                return recorded
        return False
