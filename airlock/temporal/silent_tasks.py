"""Sandbox whose workflows leave no two workflow tasks in a row without a trace in the history.

The SDK's core takes such tasks for heartbeats. A worker that has the run in its cache has processed each of them by itself.
A worker that reads the history hands them to the workflow together with an update that follows, and there updates come
first: a timer that fired before the update is seen after it. Once the update is in the history, a replay sees the timer
first again, commands something else, and the run is stuck (`find_end_index_of_next_wft_seq` in core's `history_update.rs`).
"""

from collections.abc import Iterable
from typing import Any, Final

from temporalio.bridge.proto.workflow_activation import WorkflowActivation
from temporalio.bridge.proto.workflow_commands import WorkflowCommand
from temporalio.bridge.proto.workflow_completion import WorkflowActivationCompletion
from temporalio.worker import WorkflowInstance, WorkflowInstanceDetails
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner
from temporalio.workflow import Info

FLAG: Final = 41_001
"""The mark of a history that has such traces, kept by Temporal beside the SDK's own flags, which count from 1."""
_NO_MEMO: Final = "airlock"
"""A field of the memo that is deleted again and again, because Temporal accepts no command that names no field."""
_SEEN_BY_THE_WORKFLOW = (
    "initialize_workflow", "signal_workflow", "fire_timer", "resolve_activity", "resolve_child_workflow_execution_start",
    "resolve_child_workflow_execution", "resolve_signal_external_workflow", "resolve_request_cancel_external_workflow",
    "resolve_nexus_operation_start", "resolve_nexus_operation", "cancel_workflow",
)  # fmt: skip
"""The jobs of an activation that the history tells of, whatever the workflow answers; not so the update that is rejected."""


class NoSilentTasks(SandboxedWorkflowRunner):
    """Sandbox that adds a command without effect to the second of two silent answers.

    Histories of older workers, which have no such commands, replay as they are.
    """

    def create_instance(self, det: WorkflowInstanceDetails) -> WorkflowInstance:
        """Return the instance of a workflow."""
        return _Instance(super().create_instance(det))


class _Instance(WorkflowInstance):
    def __init__(self, inner: WorkflowInstance) -> None:
        self._inner = inner
        self._silent = True  # nothing comes before the first task
        self._task = 0

    def activate(self, act: WorkflowActivation) -> WorkflowActivationCompletion:
        completion = self._inner.activate(act)
        same_task, self._task = act.history_length == self._task, act.history_length
        if not completion.HasField("successful") or not any(job.WhichOneof("variant") in _SEEN_BY_THE_WORKFLOW for job in act.jobs):
            self._silent = self._silent and not leaves_traces(completion.successful.commands)
            return completion
        if leaves_traces(completion.successful.commands):
            self._silent = False
        elif not same_task:
            self._silent = not (self._silent and _break_silence(act, completion))
        return completion

    def get_serialization_context(self, command_info: Any) -> Any:
        return self._inner.get_serialization_context(command_info)

    def get_external_store_context(self, command_info: Any) -> Any:
        return self._inner.get_external_store_context(command_info)

    def get_info(self) -> Info:
        return self._inner.get_info()

    def get_thread_id(self) -> int | None:
        return self._inner.get_thread_id()


def leaves_traces(commands: Iterable[WorkflowCommand]) -> bool:
    """Return True if Temporal writes an event for any of these commands."""
    timers: set[int] = set()
    for command in commands:
        match command.WhichOneof("variant"):
            case "start_timer":
                timers.add(command.start_timer.seq)
            case "cancel_timer" if command.cancel_timer.seq in timers:  # core drops both
                timers.discard(command.cancel_timer.seq)
            case "respond_to_query":
                pass
            case "update_response" if command.update_response.HasField("rejected"):
                pass
            case _:
                return True
    return bool(timers)


def _break_silence(act: WorkflowActivation, completion: WorkflowActivationCompletion) -> bool:
    """Add a command that changes nothing; return False if the history that is replayed has none."""
    if act.is_replaying and FLAG not in act.available_internal_flags:
        return False
    completion.successful.used_internal_flags.append(FLAG)
    memo = completion.successful.commands.add().modify_workflow_properties.upserted_memo
    memo.fields[_NO_MEMO].metadata["encoding"] = b"binary/null"
    return True
