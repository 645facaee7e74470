"""Scenes of workers with keys, under rules that each scene chooses: permits, quorums, undos, settled claims.

Every scene runs its own workers, and says under which names the runs are kept that it leaves behind.
"""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from temporalio.client import WorkflowHandle

from airlock.admission.call_digest import call_digest
from airlock.base import names
from airlock.base.keys import read_private_key
from airlock.client import PlanHandle
from airlock.client.undo import undo
from airlock.plans.state import State
from airlock.run.decisions.signature import sign
from airlock.run.messages import Approve
from tests.replay.scenes import submit, tree
from tests.workflows.attacker import plain
from tests.workflows.conftest import approved, awaiting, signal, step, until
from tests.workflows.protected import Place
from tests.workflows.world import WORLD

Runs = dict[str, WorkflowHandle[Any, Any]]
Scene = Callable[[Place, str], Awaitable[Runs]]
SCENES: dict[str, Scene] = {}
"""By name."""
SIGNERS = {name: Ed25519PrivateKey.from_private_bytes(name[0].encode() * 32) for name in ("alice", "bob")}
"""The keys of the people who sign here. They protect nothing else."""
VALID = 8
"""Seconds for which an approval is valid where it gets too old."""


def scene(play: Scene) -> Scene:
    """Register a scene; its name with dashes names its first history."""
    SCENES[play.__name__.replace("_", "-")] = play
    return play


def under(where: Place, **policy: object) -> Place:
    """Return a place whose workers have other rules."""
    return replace(where, policy=where.policy.model_validate(where.policy.model_dump() | policy))


async def this_run(where: Place, workflow_id: str) -> WorkflowHandle[Any, Any]:
    """Return the latest run under an id, and never a later one."""
    client = where.airlock.client
    return client.get_workflow_handle(workflow_id, run_id=(await client.get_workflow_handle(workflow_id).describe()).run_id)


async def ended(handle: PlanHandle, outcome: str) -> None:
    result = await handle.result()
    assert result.outcome == outcome, result


async def asked_again(handle: PlanHandle, digest: str) -> None:
    async def new_seal() -> bool:
        status = await handle.status()
        return status.state is State.AWAITING_APPROVAL and status.digest != digest

    await until(new_seal)


@scene
async def forged(where: Place, plan_id: str) -> Runs:
    """An attacker answers admission, the call and what its entry was granted; the plan parks and is settled."""
    where.holding.hold("prepare", "acquire", "call")
    async with where.working():
        handle = await submit(where.airlock, plan_id, step("a", "once", key="a", value=1))
        await where.answered_for("prepare", plain({"admission": {"admitted": None, "problems": []}}))
        await approved(handle)
        lie = {"attempts": [{"kind": "live", "step": "a", "output": {"key": "k", "step": "a"}}]}
        await where.answered_for("call", plain(lie))
        await where.answered_for("acquire", plain({"granted": True, "problems": []}))
        status = await handle.wait_for(State.LOCKED)
        assert status.parked == ("a",)
        said = {"by": "op", "step": "a", "outcome": "did_not_happen", "reason": "it is not there"}
        assert (await handle.decide("resolve", **said)).accepted
        await ended(handle, "aborted")
    return {"forged": handle.workflow}


@scene
async def aged_at_the_gate(where: Place, plan_id: str) -> Runs:
    """An approved plan waits for its turn until its approval is too old, asks again, and is approved again."""
    other = f"{plan_id}-other"
    hold = WORLD.hold(other, "a")
    async with under(where, max_live_escalations=1, approval_valid_for=f"{VALID}s").working():
        first = await submit(where.airlock, other, step("a", "linger", key="a"))
        await approved(first)
        await until(lambda: (other, "a") in WORLD.running)
        handle = await submit(where.airlock, plan_id, *tree())
        digest = (await awaiting(handle)).digest
        await approved(handle)
        await asked_again(handle, digest)
        assert (await handle.status()).steps[0].status == "waiting"
        hold.set()
        await ended(first, "completed")
        await approved(handle)
        await ended(handle, "completed")
    return {"aged-at-the-gate": handle.workflow}


@scene
async def aged_without_a_worker(where: Place, plan_id: str) -> Runs:
    """No worker takes the call while its approval is valid."""
    aged = under(where, approval_valid_for=f"{VALID}s")
    async with aged.working("orchestrate", "rehearse", "entries"):
        handle = await submit(where.airlock, plan_id, step("a", "put", key="a"), step("b", "put", ("a",), key="b"))
        digest = (await awaiting(handle)).digest
        await approved(handle)
        await asked_again(handle, digest)
    async with aged.working():
        await approved(handle)
        await ended(handle, "completed")
    return {"aged-without-a-worker": handle.workflow}


@scene
async def quorum_signed(where: Place, plan_id: str) -> Runs:
    """Two people must sign; votes that do not count come in between, as updates and as signals."""
    people = [f"{_public(name)} {name}" for name in SIGNERS]
    async with under(where, approvals_required=2, signature_required="always", authorized_keys=people).working():
        handle = await submit(where.airlock, plan_id, *tree())
        digest = (await awaiting(handle)).digest
        assert not (await handle.decide("approve", by="alice", digest=digest)).accepted
        assert not (await handle.decide("approve", **signed("bob", "another-plan", digest))).accepted
        assert (await handle.decide("approve", **signed("alice", plan_id, digest))).accepted
        await signal(handle, "approve", signed("alice", plan_id, digest))
        await signal(handle, "approve", signed("bob", plan_id, digest))
        await ended(handle, "completed")
    return {"quorum-signed": handle.workflow}


@scene
async def quorum_signed_in_parts(where: Place, plan_id: str) -> Runs:
    """The votes of two people meet in some steps only."""
    people = [f"{_public(name)} {name}" for name in SIGNERS]
    chosen = ("find", "put-b", "put-d")
    async with under(where, approvals_required=2, signature_required="always", authorized_keys=people).working():
        handle = await submit(where.airlock, plan_id, *tree())
        digest = (await awaiting(handle)).digest
        for name, steps in (("alice", ("find", "put-b", "put-c", "put-d")), ("bob", chosen)):
            await handle.decide("approve", **signed(name, plan_id, digest, steps))
        status = await handle.status()
        if status.state is State.AWAITING_APPROVAL:
            await handle.decide("approve", **signed("alice", plan_id, digest, chosen))
        await ended(handle, "partial")
    return {"quorum-signed-in-parts": handle.workflow}


def _public(name: str) -> str:
    return SIGNERS[name].public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


def signed(name: str, plan_id: str, digest: str, steps: tuple[str, ...] | None = None) -> dict[str, Any]:
    """Return an approval of a person with its signature."""
    key = SIGNERS[name].private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    said: dict[str, Any] = {"by": name, "digest": digest} | ({} if steps is None else {"steps": list(steps)})
    return {**said, "signature": sign(read_private_key(key), plan_id, Approve.model_validate(said), digest)}


@scene
async def entry_refused(where: Place, plan_id: str) -> Runs:
    """The live worker's policy is stricter than the one that the plan was admitted under; its people are asked again."""
    async with where.working("orchestrate", "rehearse"):
        handle = await submit(where.airlock, plan_id, *tree())
        digest = (await awaiting(handle)).digest
        await approved(handle)
        await handle.wait_for(State.LIVE)
        async with under(where, approvers=["bob"]).working("live"):
            await asked_again(handle, digest)
        async with where.working("live"):
            await approved(handle)
            await ended(handle, "completed")
    return {"entry-refused": handle.workflow}


@scene
async def permit_renewed(where: Place, plan_id: str) -> Runs:
    """The policy changes between two calls of one stay, to one that still accepts the votes."""
    hold = WORLD.hold(plan_id, "a")
    async with where.working("live"):
        async with where.working("orchestrate", "rehearse"):
            handle = await submit(
                where.airlock, plan_id, step("a", "once", key="a", value=1), step("b", "send", ("a",), to="x", body=plan_id)
            )
            await approved(handle)
            await until(lambda: (plan_id, "a") in WORLD.running)
        hold.set()
        await until(lambda: not WORLD.running)
    async with where.working("orchestrate", "rehearse"), under(where, approvers=["alice", "bob"]).working("live"):
        await ended(handle, "completed")
    return {"permit-renewed": handle.workflow}


@scene
async def undo_locked_and_unlocked(where: Place, plan_id: str) -> Runs:
    """A second undo after a denied one: locked before and after its approval, unlocked, and approved again."""
    hold = WORLD.hold(plan_id, "join")
    async with where.working():
        done = await submit(where.airlock, plan_id, *tree())
        await approved(done)
        await until(lambda: (plan_id, "join") in WORLD.running)
        hold.set()
        await ended(done, "completed")
        denied = await undo(where.airlock.client, plan_id, by="olga", reason="not wanted after all")
        await awaiting(denied)
        assert (await denied.decide("deny", by="alice", reason="it is wanted")).accepted
        await ended(denied, "denied")
        before = await this_run(where, denied.workflow.id)
        handle = await undo(where.airlock.client, plan_id, by="olga", reason="it is not")
        digest = (await awaiting(handle)).digest
        assert (await handle.decide("lock", by="lena", reason="stop")).accepted
        assert not (await handle.decide("approve", by="alice", digest=digest)).accepted
        assert (await handle.decide("unlock", by="lena", reason="go on")).accepted
        await asked_again(handle, digest)
        await approved(handle)
        await ended(handle, "aborted")
    return {"undo-locked-and-unlocked": handle.workflow, "undo-denied": before}


@scene
async def undo_settled(where: Place, plan_id: str) -> Runs:
    """A call in doubt and a compensation that fails, both of a terminated plan; a person settles them in its undo."""
    hold = WORLD.hold(plan_id, "o")
    WORLD.undo_trouble[(plan_id, "a")] = 2
    async with where.working():
        lost = await submit(where.airlock, plan_id, step("a", "put", key="a"), step("o", "once", ("a",), key="o", value=1))
        await approved(lost)
        await until(lambda: (plan_id, "o") in WORLD.running)
        await lost.workflow.terminate("operator")
        hold.set()
        await until(lambda: not WORLD.running)
        handle = await undo(where.airlock.client, plan_id, by="olga", reason="it was ended half way")
        digest = (await awaiting(handle)).digest
        assert (await handle.decide("lock", by="lena", reason="all plans")).accepted
        assert (await handle.decide("unlock", by="lena", reason="go on")).accepted
        await asked_again(handle, digest)
        await approved(handle)
        for outcomes in ("did_not_happen", "retry", "retry"):
            status = await until(lambda: parked(handle))
            for name in status.parked:
                outcome = outcomes if name == "o" else "retry"
                said = {"by": "op", "step": name, "outcome": outcome, "reason": "I looked"}
                assert (await handle.decide("resolve", **said)).accepted
            if await until(lambda: ended_or_parked(handle)) == "ended":
                break
        await ended(handle, "aborted")
    return {"undo-settled": handle.workflow, "terminated": lost.workflow}


async def parked(handle: PlanHandle) -> Any:
    status = await handle.status()
    return status if status.state is State.LOCKED and status.parked and not status.in_flight else None


async def ended_or_parked(handle: PlanHandle) -> str:
    if await handle.ended():
        return "ended"
    return "parked" if await parked(handle) else ""


@scene
async def rolled_back_with_a_failed_undo(where: Place, plan_id: str) -> Runs:
    """Three compensations, one of which fails until a person says what to do."""
    WORLD.undo_trouble[(plan_id, "b")] = 1_000
    hold = WORLD.hold(plan_id, "c")
    steps = [step(name, "put", after, key=name) for name, after in (("a", ()), ("b", ("a",)), ("c", ("b",)))]
    async with where.working():
        handle = await submit(where.airlock, plan_id, *steps)
        await approved(handle)
        await until(lambda: (plan_id, "c") in WORLD.running)
        assert (await handle.decide("rollback", by="olga", reason="wrong customer")).accepted
        hold.set()
        await until(lambda: parked(handle))
        said = {"by": "op", "step": "b", "outcome": "compensated", "reason": "by hand"}
        assert (await handle.decide("resolve", **said)).accepted
        await ended(handle, "aborted")
    return {"rolled-back-with-a-failed-undo": handle.workflow}


@scene
async def settled_by_a_person(where: Place, plan_id: str) -> Runs:
    """A mail in doubt stands in the way of a plan, until a person frees its claim; the next plan sends the mail."""
    mail = {"to": "jo@acme.test", "body": plan_id}
    plans = [f"{plan_id}-{number}" for number in range(3)]
    hold = WORLD.hold(plans[0], "mail")
    async with where.working():
        lost, refused, sent = [
            await submit(where.airlock, each, step("a", "put", key="a"), step("mail", "send", ("a",), **mail))
            for each in plans
        ]
        for handle in (lost, refused, sent):
            await awaiting(handle)
        await approved(lost)
        await until(lambda: (plans[0], "mail") in WORLD.running)
        await lost.workflow.terminate("operator")
        hold.set()
        await until(lambda: not WORLD.running)
        await approved(refused)
        await ended(refused, "partial")
        claim = await this_run(where, names.claim_id("send", call_digest("send", mail, None)))
        await claim.signal("settle", {"by": "op", "outcome": "maybe", "reason": "I have not looked"})
        await claim.signal("settle", {"holder": names.plan_workflow_id(plans[0]), "outcome": "free"})
        await claim.signal("settle", {"by": "op", "outcome": "free", "reason": "the outbox is empty"})
        await approved(sent)
        await ended(sent, "completed")
    return {
        "settled-by-a-person": claim, "left-out-for-a-claim-in-doubt": refused.workflow,
        "sent-after-the-claim-was-freed": sent.workflow,
    }  # fmt: skip
