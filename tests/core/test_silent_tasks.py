"""Silent answers of workflow tasks: which commands leave a trace, and which answers get one."""

import inspect
from typing import Any

import pytest
from temporalio.bridge.proto.workflow_activation import WorkflowActivation
from temporalio.bridge.proto.workflow_commands import WorkflowCommand
from temporalio.bridge.proto.workflow_completion import WorkflowActivationCompletion
from temporalio.worker import WorkflowInstance
from temporalio.worker.workflow_sandbox import _runner as sandbox_runner
from temporalio.worker.workflow_sandbox._in_sandbox import InSandbox
from temporalio.workflow import Info

from airlock.temporal.silent_tasks import FLAG, IN_SANDBOX, OutspokenInstance, leaves_traces


def command(kind: str, seq: int = 1, **fields: Any) -> WorkflowCommand:
    made = WorkflowCommand()
    part = getattr(made, kind)
    part.SetInParent()
    if hasattr(part, "seq"):
        part.seq = seq
    for name in fields:
        getattr(part, name).SetInParent()
    return made


@pytest.mark.parametrize(
    ("commands", "expected"),
    [
        ([], False),
        ([command("start_timer")], True),
        ([command("cancel_timer")], True),
        ([command("start_timer"), command("cancel_timer")], False),
        ([command("start_timer", 1), command("start_timer", 2), command("cancel_timer", 1)], True),
        ([command("respond_to_query")], False),
        ([command("update_response", rejected=True)], False),
        ([command("update_response", accepted=True)], True),
        ([command("update_response", rejected=True), command("schedule_activity")], True),
        ([command("set_patch_marker")], True),
    ],
)
def test_which_commands_leave_a_trace(commands, expected):
    assert leaves_traces(commands) is expected


class Scripted(WorkflowInstance):
    """Answers each activation with the commands that the test gave it."""

    def __init__(self) -> None:
        self.says: list[WorkflowCommand] = []
        self.fails = False

    def activate(self, act: WorkflowActivation) -> WorkflowActivationCompletion:
        completion = WorkflowActivationCompletion()
        if self.fails:
            completion.failed.SetInParent()
        else:
            completion.successful.SetInParent()
            completion.successful.commands.extend(self.says)
        return completion

    def get_serialization_context(self, command_info: Any) -> Any:
        return None

    def get_external_store_context(self, command_info: Any) -> Any:
        return None

    def get_info(self) -> Info:
        raise NotImplementedError


class Sandboxed(Scripted):
    """An instance in a sandbox as the SDK makes it: what it contains answers for itself."""

    def __init__(self, content: Any) -> None:
        super().__init__()
        self.globals_and_locals = {IN_SANDBOX: content}

    def get_serialization_context(self, command_info: Any) -> Any:
        raise AssertionError("the sandbox was entered")

    get_external_store_context = get_serialization_context


class Content:
    """The content of a sandbox."""

    def get_serialization_context(self, command_info: Any) -> Any:
        return ("values", command_info)

    def get_external_store_context(self, command_info: Any) -> Any:
        return ("large values", command_info)


def test_a_context_is_read_without_entering_the_sandbox():
    instance = OutspokenInstance(Sandboxed(Content()))
    assert instance.get_serialization_context(7) == ("values", 7)
    assert instance.get_external_store_context(None) == ("large values", None)


def test_the_sandbox_of_this_sdk_has_its_content_where_it_is_looked_for():
    made = inspect.getsource(sandbox_runner._Instance)
    assert f"{IN_SANDBOX} = InSandbox(" in made
    for name in ("get_serialization_context", "get_external_store_context"):
        assert f"{IN_SANDBOX}.{name}(" in made
        assert callable(getattr(InSandbox, name))


class Run:
    """A run, and a way to give its tasks one by one."""

    def __init__(self) -> None:
        self.inner = Scripted()
        self.instance = OutspokenInstance(self.inner)
        self.length = 0

    def task(
        self,
        job: str,
        *says: WorkflowCommand,
        same: bool = False,
        replaying: bool = False,
        flags: tuple[int, ...] = (),
        is_local: bool = False,
    ) -> bool:
        """Give one task; return True if its answer has a command that the workflow did not give."""
        self.length += 0 if same else 3
        act = WorkflowActivation(history_length=self.length, is_replaying=replaying, available_internal_flags=flags)
        getattr(act.jobs.add(), job).SetInParent()
        if is_local:
            act.jobs[0].resolve_activity.is_local = True
        self.inner.says = list(says)
        answer = self.instance.activate(act)
        added = len(answer.successful.commands) - len(says)
        assert added == list(answer.successful.used_internal_flags).count(FLAG)
        return added == 1


def begun() -> Run:
    """A run whose first task scheduled something."""
    run = Run()
    assert not run.task("initialize_workflow", command("schedule_activity"))
    return run


def test_the_first_task_leaves_a_trace():
    run = Run()
    assert run.task("initialize_workflow")
    assert not run.task("signal_workflow")
    assert run.task("fire_timer")


def test_one_silent_task_is_left_alone_and_every_second_one_is_not():
    run = begun()
    assert [run.task("signal_workflow") for _ in range(6)] == [False, True] * 3


@pytest.mark.parametrize("job", ["signal_workflow", "fire_timer", "resolve_activity", "resolve_signal_external_workflow"])
def test_whatever_comes_second_gets_a_trace(job):
    run = begun()
    assert not run.task("signal_workflow")
    assert run.task(job)


def test_a_command_between_them_is_trace_enough():
    run = begun()
    assert not run.task("signal_workflow")
    assert not run.task("do_update", command("update_response", accepted=True))
    assert not run.task("fire_timer")
    assert run.task("resolve_activity")


def test_rejected_updates_and_questions_count_for_nothing():
    run = begun()
    assert not run.task("signal_workflow")
    assert not run.task("do_update", command("update_response", rejected=True))
    assert not run.task("query_workflow", command("respond_to_query"), same=True)
    assert run.task("fire_timer")


def test_a_second_activation_of_a_task_that_left_a_trace_is_not_silent():
    run = begun()
    assert not run.task("signal_workflow")
    assert not run.task("resolve_activity", command("request_cancel_activity"))
    assert not run.task("resolve_activity", same=True)
    assert not run.task("signal_workflow")
    assert run.task("signal_workflow")


@pytest.mark.parametrize("same", [True, False], ids=["in the same task", "in a later one"])
def test_the_answer_of_a_local_activity_is_a_trace_in_whichever_task_it_comes(same):
    run = begun()
    assert not run.task("signal_workflow", command("schedule_local_activity"))
    assert not run.task("resolve_activity", is_local=True, same=same)
    assert not run.task("signal_workflow")
    assert run.task("signal_workflow")


def test_a_history_of_an_older_worker_replays_as_it_is():
    run = begun()
    assert not any(run.task("signal_workflow", replaying=True) for _ in range(3))
    assert run.task("signal_workflow")


def test_a_history_with_traces_replays_with_them():
    run = begun()
    assert [run.task("signal_workflow", replaying=True, flags=(1, FLAG)) for _ in range(4)] == [False, True] * 2


def test_a_task_that_failed_is_not_touched():
    run = begun()
    assert not run.task("signal_workflow")
    run.inner.fails = True
    act = WorkflowActivation(history_length=99)
    act.jobs.add().fire_timer.SetInParent()
    assert run.instance.activate(act).HasField("failed")
