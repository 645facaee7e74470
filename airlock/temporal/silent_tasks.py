"""Sandbox whose workflows leave no two workflow tasks in a row without a trace in the history.

The SDK's core takes such tasks for heartbeats. A worker that has the run in its cache has processed each of them by itself.
A worker that reads the history hands them to the workflow together with an update that follows, and there updates come
first: a timer that fired before the update is seen after it. Once the update is in the history, a replay sees the timer
first again, commands something else, and the run is stuck (ADR 0013).
"""

from collections.abc import Iterable
from typing import Any, Final

from temporalio.bridge.proto.workflow_activation import WorkflowActivation
from temporalio.bridge.proto.workflow_commands import WorkflowCommand
from temporalio.bridge.proto.workflow_completion import WorkflowActivationCompletion
from temporalio.worker import WorkflowInstance, WorkflowInstanceDetails
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner
from temporalio.workflow import Info

from airlock.temporal.message_load import MessageLoad, mark

FLAG: Final = 41_001
"""The mark of a history that has such traces, kept by Temporal beside the SDK's own flags, which count from 1."""
IN_SANDBOX: Final = "__temporal_in_sandbox"
"""The SDK's own name of a sandbox's content; it is private, so a test watches that it is there."""
_NO_MEMO: Final = "airlock"
"""A field of the memo that is deleted again and again, because Temporal accepts no command that names no field."""
_TOLD = (
    "initialize_workflow", "signal_workflow", "fire_timer", "resolve_activity", "resolve_child_workflow_execution_start",
    "resolve_child_workflow_execution", "resolve_signal_external_workflow", "resolve_request_cancel_external_workflow",
    "resolve_nexus_operation_start", "resolve_nexus_operation", "cancel_workflow",
)  # fmt: skip
"""Jobs of an activation that are events of the history. An update that is rejected is none, and a question neither."""


class NoSilentTasks(SandboxedWorkflowRunner):
    """Sandbox that adds a command without effect to the second of two silent answers.

    Histories of older workers, which have no such commands, replay as they are.
    """

    def create_instance(self, det: WorkflowInstanceDetails) -> WorkflowInstance:
        """Return the instance of a workflow."""
        return OutspokenInstance(super().create_instance(det))


class OutspokenInstance(WorkflowInstance):
    """Instance of a workflow that adds a command without effect where two tasks in a row would leave no trace.

    Args:
        inner: The instance that runs the workflow.
    """

    def __init__(self, inner: WorkflowInstance) -> None:
        self._inner = inner
        self._bare = _without_sandbox(inner)
        self._load = MessageLoad()
        self._silent = True  # nothing comes before the first task
        self._task = 0

    def activate(self, act: WorkflowActivation) -> WorkflowActivationCompletion:
        """Handle an activation, and return what the workflow commands."""
        lightened = self._load.lighten(act)
        completion = self._inner.activate(act)
        if lightened:
            mark(completion)
        answered_before, self._task = act.history_length == self._task, act.history_length
        if leaves_traces(completion.successful.commands) or _resolves_locally(act):
            self._silent = False
        elif not answered_before and _is_told(act) and completion.HasField("successful"):
            self._silent = not (self._silent and _break_silence(act, completion))
        return completion

    def get_serialization_context(self, command_info: Any) -> Any:
        """Return the context in which the values of a command are written."""
        return self._bare.get_serialization_context(command_info)

    def get_external_store_context(self, command_info: Any) -> Any:
        """Return the context in which large values of a command are stored."""
        return self._bare.get_external_store_context(command_info)

    def get_info(self) -> Info:
        """Return what Temporal says of the run."""
        return self._inner.get_info()

    def get_thread_id(self) -> int | None:
        """Return the thread that runs the workflow now; None if none does."""
        return self._inner.get_thread_id()


def _without_sandbox(instance: WorkflowInstance) -> Any:
    """Return what a sandbox contains; the instance itself if it has no sandbox of the kind that this SDK makes.

    The SDK asks for a context three or four times for each payload. Its sandbox compiles code for each question and replaces
    the imports meanwhile, which took a fifth of a worker's time. No code of a workflow runs to answer it.
    """
    return getattr(instance, "globals_and_locals", {}).get(IN_SANDBOX, instance)


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


def _resolves_locally(act: WorkflowActivation) -> bool:
    """Return True if a local activity has answered, of which the history gets a marker.

    Its answer may come in a later task than its command, and in a replay comes in the same.
    """
    return any(job.HasField("resolve_activity") and job.resolve_activity.is_local for job in act.jobs)


def _is_told(act: WorkflowActivation) -> bool:
    """Return True if a replay has this activation too, whatever the workflow answers."""
    return any(job.WhichOneof("variant") in _TOLD for job in act.jobs)


def _break_silence(act: WorkflowActivation, completion: WorkflowActivationCompletion) -> bool:
    """Add a command that changes nothing; return False if the history that is replayed has none."""
    if act.is_replaying and FLAG not in act.available_internal_flags:
        return False
    completion.successful.used_internal_flags.append(FLAG)
    memo = completion.successful.commands.add().modify_workflow_properties.upserted_memo
    memo.fields[_NO_MEMO].metadata["encoding"] = b"binary/null"
    return True
