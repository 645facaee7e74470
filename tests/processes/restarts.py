"""Workers that are told to stop, that start before their server, or with a wrong configuration; servers that are killed."""

from datetime import UTC, datetime
from typing import Any

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest
from temporalio.api.workflowservice.v1 import DescribeWorkflowExecutionRequest

from airlock.plans.state import State
from tests.processes.harness import READY, Scene, until
from tests.processes.kills import STEPS, Onboarding
from tests.processes.registry import Stage, scenario


@scenario
async def told_to_stop_during_a_call(stage: Stage) -> None:
    """The call in flight ends, however long after the signal; the plan goes on elsewhere and nothing is repeated."""
    scene = stage.scene()
    scene.configure('modules = ["tests.processes.held_tools"]', "[contracts.ghl_create_contact]\ntimeout = 90")
    plan = Onboarding(scene)
    await plan.live_until("contact", "live_before")
    second = await scene.worker()
    plan.first.terminate()
    told = datetime.now(UTC)
    await plan.first.says("airlock worker stopping")
    other = Onboarding(scene, f"{plan.id}-other")
    other.handle = await scene.submit(other.document)
    await scene.approve(other.handle)
    await other.completed()
    # longer than the heartbeat timeout: a worker that stops goes on to say that its call is alive
    await until(lambda: beaten_since(plan, told, seconds=11), "no heartbeats while stopping")
    assert plan.first.running
    assert plan.times("contact", "live_after") == 0
    scene.release()
    assert await plan.first.code() == 0
    assert "airlock worker stopped" in plan.first.said()
    await plan.completed()
    assert [plan.times(step, "live_before") for step in STEPS] == [1, 1, 1, 1, 1]
    live = {(line["plan"], line["step"]): line["pid"] for line in scene.log() if line["moment"] == "live_before"}
    made_by = [live[plan.id, step] for step in STEPS]
    # what had begun was ended, and what had not was left to others: even the next call of the same activity
    assert made_by == [plan.first.pid, plan.first.pid, second.pid, second.pid, second.pid]
    assert {line["pid"] for line in scene.log() if line["plan"] == other.id} == {second.pid}
    audit = await plan.handle.audit()
    assert not [entry for entry in audit.entries if entry.what == "in_doubt"]


async def beaten_since(plan: Onboarding, since: datetime, seconds: float) -> bool:
    """Return True if the running call's last heartbeat came so many seconds after a moment."""
    request = DescribeWorkflowExecutionRequest(
        namespace=plan.scene.name, execution=WorkflowExecution(workflow_id=plan.handle.workflow.id)
    )
    client = await plan.scene.client()
    described = await client.workflow_service.describe_workflow_execution(request)
    assert described.pending_activities, "the call is not running any more"
    beats = [info.last_heartbeat_time.ToDatetime(tzinfo=UTC) for info in described.pending_activities]
    return all((beat - since).total_seconds() >= seconds for beat in beats)


@scenario
async def told_to_stop_while_nothing_runs(stage: Stage) -> None:
    """It stops at once."""
    scene = stage.scene()
    # so long it would wait for calls if there were any
    scene.configure('modules = ["tests.processes.held_tools"]', "[contracts.file_write]\ntimeout = 3600")
    worker = await scene.worker()
    worker.terminate()
    assert await worker.code() == 0


@scenario
async def told_to_stop_before_there_is_a_server(stage: Stage) -> None:
    """It stops at once, and not as if something were wrong."""
    worker = stage.scene(stage.own_server()).launch()
    await worker.says("Trying again")
    worker.terminate()
    assert await worker.code() == 0


@scenario
async def told_to_stop_while_a_tool_never_returns(stage: Stage) -> None:
    """A thread cannot be stopped; its call has timed out long ago, and does not hold up the worker."""
    scene = stage.scene()
    scene.configure('modules = ["tests.processes.held_tools"]', "[contracts.file_write]\ntimeout = 10\nmax_attempts = 1")
    plan = Onboarding(scene)
    await plan.live_until("note", "live_before")
    status = await scene.status(plan.handle, State.LOCKED)
    assert status.parked == ("note",), status
    plan.first.terminate()
    assert await plan.first.code() == 0
    scene.release()
    await scene.worker()
    await scene.signal(plan.handle, "resolve", step="note", outcome="did_not_happen", reason="there is no file")
    await plan.rolled_back()


@scenario
async def server_killed(stage: Stage) -> None:
    """The server comes back with its database: plans that waited and plans whose calls were running go on to their end.

    While it is away, no call that asks before its effect has one.
    """
    server = stage.own_server()
    waiting = Onboarding(stage.scene(server))
    first = waiting.scene.launch()
    await first.says("Trying again")  # started before its server
    assert READY not in first.said()
    await server.start()
    await first.says(READY)
    early, refusing, late = (
        Onboarding(waiting.scene, f"{waiting.id}-{when}") for when in ("released-early", "refusing", "released-late")
    )
    for plan in (waiting, early, refusing, late):
        plan.handle = await plan.scene.submit(plan.document)
    await waiting.scene.status(waiting.handle, State.AWAITING_APPROVAL)
    # two in the middle of a chain: the next call needs the server's record of one that took effect, and one that did not
    # yet asks the server first whether it is still its own
    for plan, step, moment in (
        (early, "contact", "live_after"), (refusing, "contact", "live_before"), (late, "note", "live_before"),
    ):  # fmt: skip
        plan.scene.hold(plan.id, step, moment)
        await plan.scene.approve(plan.handle)
        await plan.scene.reached(plan.id, step, moment)
    server.kill()
    early.scene.release(early.id)
    # whether a call is still this worker's cannot be asked: nothing is created now, and nothing after it begins
    refusing.scene.release(refusing.id)
    await refusing.scene.reached(refusing.id, "contact", "live_refused")
    assert refusing.scene.outside.contacts(refusing.email) == []
    assert [plan.times("account", "live_before") for plan in (early, refusing)] == [0, 0]
    assert len(early.scene.outside.contacts(early.email)) == 1
    await server.start()
    late.scene.release(late.id)
    await waiting.scene.approve(waiting.handle)
    for plan in (waiting, early, refusing, late):
        await plan.completed()
        assert plan.times("mail", "live_before") == 1
    assert first.running


async def refused(scene: Scene, *words: str) -> None:
    """A worker that ends with code 1 and says why, without a traceback."""
    worker = scene.launch()
    assert await worker.code() == 1, worker.said()
    said = worker.said()
    assert "Traceback" not in said, said
    # the lines before it say what is not protected without keys
    first = next(line for line in said.splitlines() if not line.startswith("airlock worker: NOT PROTECTED"))
    assert first == "airlock worker cannot start:", said
    assert READY not in said
    for word in words:
        assert word in said, (word, said)


@scenario
async def wrong_configuration(stage: Stage) -> None:
    """The worker does not start, and names the key."""
    scene = stage.scene()
    ours = 'modules = ["tests.processes.held_tools"]'
    scene.configure(ours, "[policy]\napproval_timeot = '1h'")
    await refused(scene, "policy.approval_timeot", "fix:")
    scene.configure(ours, "[contracts.send_email]\napproval_required = false")
    await refused(scene, "contracts.send_email", "approval_required")
    scene.configure(ours, "[contracts.send_mail]\ntimeout = 3")
    await refused(scene, "contracts.send_mail", "send_email")
    scene.configure('modules = ["tools_of_nobody"]')
    await refused(scene, "catalogue.modules", "'tools_of_nobody'")
    scene.configure(ours, "[settings.smtp]\nhosst = 'x'")
    await refused(scene, "settings.smtp.hosst")
    scene.config.write_text("[policy\n")
    await refused(scene, "airlock.toml", "TOML")
    scene.config.unlink()
    await refused(scene, "airlock.toml", "--config")


@scenario
async def search_attribute_of_another_type(stage: Stage) -> None:
    """The worker does not start, and changes nothing."""
    scene = stage.scene()
    client = await scene.client()
    wrong: dict[str, Any] = {"AirlockState": IndexedValueType.INDEXED_VALUE_TYPE_INT}
    await client.operator_service.add_search_attributes(
        AddSearchAttributesRequest(namespace=scene.name, search_attributes=wrong)
    )
    await refused(scene, "AirlockState is INDEXED_VALUE_TYPE_INT", repr(scene.name), "wrong type")
