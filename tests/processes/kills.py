"""`kill -9` of the only worker at every stage of a plan."""

from itertools import pairwise
from typing import Any

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import DescribeWorkflowExecutionRequest

from airlock.client import PlanHandle
from airlock.plans.state import State
from airlock.temporal.connection import DATA_CONVERTER
from tests.processes.harness import Scene, until
from tests.processes.registry import Stage, scenario

STEPS = ("find", "contact", "account", "note", "mail")


def onboarding(plan_id: str, **more: Any) -> dict[str, Any]:
    """Five steps one after the other; the first three share an activity when live."""
    email = f"{plan_id}@acme.test"
    ref = {"$ref": "contact.contact.id"}
    steps = [
        ("find", "ghl_search", {"query": email}),
        ("contact", "ghl_create_contact", {"email": email, "name": "Jo"}),
        ("account", "database_write", {"table": "accounts", "row": {"contact_id": ref, "email": email}}),
        ("note", "file_write", {"path": f"{plan_id}/note.txt", "content": email}),
        ("mail", "send_email", {"to": email, "subject": "Welcome", "body": "Hello"}),
    ]
    after = {step: [before] for (before, *_), (step, *_) in pairwise(steps)}
    return {
        "plan_id": plan_id, "goal": "onboard", "requested_by": "rita",
        "steps": [
            {"id": step, "agent": "ops", "tool": tool, "args": args, "confidence": 0.95, "after": after.get(step, [])}
            for step, tool, args in steps
        ],
        **more,
    }  # fmt: skip


class Onboarding:
    """One onboarding in a scene, and what the world must look like when it has ended."""

    def __init__(self, scene: Scene, plan_id: str = "") -> None:
        self.scene, self.id = scene, plan_id or scene.name
        self.email = f"{self.id}@acme.test"
        self.document = onboarding(self.id)
        self.handle: PlanHandle

    async def submitted(self, step: str, moment: str) -> None:
        """Submitted to a first worker that waits at this moment."""
        self.scene.hold(self.id, step, moment)
        self.first = await self.scene.worker()
        self.handle = await self.scene.submit(self.document)

    async def killed(self) -> None:
        """The only worker is gone; another one takes over, and nothing is held any more."""
        self.first.kill()
        self.scene.release()
        await self.scene.worker()

    async def live_until(self, step: str, moment: str) -> None:
        await self.submitted(step, moment)
        await self.scene.approve(self.handle)
        await self.scene.reached(self.id, step, moment)

    def times(self, step: str, moment: str) -> int:
        return self.scene.times(self.id, step, moment)

    async def completed(self) -> None:
        """It ended as planned, and every effect is there once."""
        result = await self.scene.result(self.handle)
        assert (result.outcome, result.live) == ("completed", STEPS), result
        outside = self.scene.outside
        (contact,) = outside.contacts(self.email)
        (row,) = self.scene.rows(self.email)
        assert (row["contact_id"], row["email"]) == (contact["id"], self.email)
        assert self.scene.written(self.id) == {"note.txt": self.email}
        assert len(outside.mails(self.email)) == 1
        created = outside.crm_log(f"{self.id}/contact")
        assert [request["effect_status"] for request in created if not request["replayed"]] == [201]
        assert self.times("mail", "live_after") <= 1

    async def rolled_back(self) -> None:
        """It was aborted, and the world is as it was before."""
        result = await self.scene.result(self.handle)
        assert (result.outcome, result.kept, result.not_settled) == ("aborted", (), ()), result
        assert result.live in ((), ("find",)), result
        outside = self.scene.outside
        found = (
            outside.contacts(self.email),
            self.scene.rows(self.email),
            self.scene.written(self.id),
            outside.mails(self.email),
        )
        assert found == ([], [], {}, [])
        assert not (self.scene.files / self.id).exists()

    async def in_doubt(self) -> None:
        status = await self.scene.status(self.handle, State.LOCKED)
        assert status.parked == ("mail",), status
        assert status.why.startswith("step 'mail' is in doubt"), status.why


@scenario
async def killed_in_mock(stage: Stage) -> None:
    """The mocks are made again, and nothing is noticed."""
    plan = Onboarding(stage.scene())
    await plan.submitted("account", "mock")
    await plan.scene.reached(plan.id, "account", "mock")
    await plan.killed()
    await plan.scene.approve(plan.handle)
    await plan.completed()
    assert plan.times("account", "mock") == 2


@scenario
async def killed_in_dry_run(stage: Stage) -> None:
    """A step that was previewed and reported is not previewed again."""
    plan = Onboarding(stage.scene())
    await plan.submitted("account", "dry")
    await plan.scene.reached(plan.id, "account", "dry")
    await until(lambda: reported(plan, 2), "two previews are not reported")
    await plan.killed()
    await plan.scene.approve(plan.handle)
    await plan.completed()
    looked = [plan.times(step, "dry") for step in STEPS]
    assert looked == [1, 1, 2, 1, 1]


async def reported(plan: Onboarding, previews: int) -> bool:
    """Return True if the server knows of so many finished previews."""
    request = DescribeWorkflowExecutionRequest(
        namespace=plan.scene.name, execution=WorkflowExecution(workflow_id=plan.handle.workflow.id)
    )
    client = await plan.scene.client()
    described = await client.workflow_service.describe_workflow_execution(request)
    details = [info.heartbeat_details.payloads for info in described.pending_activities]
    decoded = await DATA_CONVERTER.decode(details[0]) if details and details[0] else []
    return bool(decoded) and sum("step" in each for each in decoded[0]) == previews


@scenario
async def killed_while_waiting_for_approval(stage: Stage) -> None:
    """The approval is given while no worker runs, and counts when there is one."""
    plan = Onboarding(stage.scene())
    first = await plan.scene.worker()
    plan.handle = await plan.scene.submit(plan.document)
    status = await plan.scene.status(plan.handle, State.AWAITING_APPROVAL)
    first.kill()
    await plan.scene.signal(plan.handle, "approve", digest=status.digest)
    assert plan.times("find", "live_before") == 0
    await plan.scene.worker()
    await plan.completed()
    assert [plan.times(step, "live_before") for step in STEPS] == [1] * 5


@scenario
async def killed_before_the_effect_of_a_repeatable_call(stage: Stage) -> None:
    """The call is made again; those before it are not."""
    plan = Onboarding(stage.scene())
    await plan.live_until("note", "live_before")
    assert plan.scene.written(plan.id) == {}
    await plan.killed()
    await plan.completed()
    assert [plan.times(step, "live_before") for step in STEPS] == [1, 1, 1, 2, 1]


@scenario
async def killed_after_the_effect_of_a_repeatable_call(stage: Stage) -> None:
    """The call is repeated under its key and has no second effect."""
    plan = Onboarding(stage.scene())
    await plan.live_until("account", "live_after")
    assert len(plan.scene.rows(plan.email)) == 1
    await plan.killed()
    await plan.completed()
    assert [plan.times(step, "live_before") for step in STEPS] == [1, 1, 2, 1, 1]
    keys = {line["key"] for line in plan.scene.log() if line["step"] == "account" and "live" in line["moment"]}
    assert keys == {f"{plan.id}/account"}


@scenario
async def killed_in_a_chain(stage: Stage) -> None:
    """Three calls share an activity and the second one hangs: the first is not made again, nor is the second twice."""
    plan = Onboarding(stage.scene())
    await plan.live_until("contact", "live_after")
    assert len(plan.scene.outside.contacts(plan.email)) == 1
    await plan.killed()
    await plan.completed()
    assert [plan.times(step, "live_before") for step in STEPS] == [1, 2, 1, 1, 1]


@scenario
async def killed_before_the_mail_was_sent(stage: Stage) -> None:
    """In doubt, so a human is asked; it did not happen, and everything is undone."""
    plan = Onboarding(stage.scene())
    await plan.live_until("mail", "live_before")
    await plan.killed()
    await plan.in_doubt()
    assert plan.scene.outside.mails(plan.email) == []
    await plan.scene.signal(plan.handle, "resolve", step="mail", outcome="did_not_happen", reason="not in the mail log")
    await plan.rolled_back()
    assert plan.times("mail", "live_before") == 1


@scenario
async def killed_after_the_mail_was_sent(stage: Stage) -> None:
    """In doubt, so a human is asked; it happened, and the plan goes on without sending it again."""
    plan = Onboarding(stage.scene())
    await plan.live_until("mail", "live_after")
    await plan.killed()
    await plan.in_doubt()
    assert len(plan.scene.outside.mails(plan.email)) == 1
    await plan.scene.signal(plan.handle, "resolve", step="mail", outcome="happened", reason="it is in the mail log")
    await plan.completed()
    assert plan.times("mail", "live_before") == 1


@scenario
async def killed_in_a_compensation(stage: Stage) -> None:
    """Another worker takes the rest back; what was taken back is not taken back again."""
    plan = Onboarding(stage.scene())
    plan.scene.fail(plan.id, "note")
    await plan.live_until("contact", "undo_after")
    await plan.killed()
    await plan.rolled_back()
    assert [plan.times(step, "undo_before") for step in STEPS] == [0, 2, 1, 0, 0]
