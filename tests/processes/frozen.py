"""A worker that is stopped by SIGSTOP in the middle of a call, counts as lost, and wakes up when others have gone on."""

import os
import signal
from typing import Any

from airlock.client.live_gate import LiveGate
from airlock.gates.lock_proof import ProvedExcept
from airlock.plans.state import State
from airlock.run.presentation.views import StatusView
from airlock.worker.watchdog import FROZEN
from tests.processes.harness import Process
from tests.processes.kills import STEPS, Onboarding
from tests.processes.registry import Stage, scenario


async def _thawed(worker: Process) -> None:
    """Let a worker go on; it ends itself instead."""
    os.kill(worker.pid, signal.SIGCONT)
    assert await worker.code() == FROZEN, worker.said()
    assert "airlock worker ends: the process " in worker.said()


def _effects(plan: Onboarding) -> dict[str, list[Any]]:
    """Return what each step did, in a form that a second effect changes, even one that leaves equal content."""
    outside, folder = plan.scene.outside, plan.scene.files / plan.id
    created = outside.crm_log(f"{plan.id}/contact")
    return {
        "find": [],
        "contact": [request["effect_status"] for request in created if not request["replayed"]],
        "account": [sorted(row.items()) for row in plan.scene.rows(plan.email)],
        # a file is replaced, never written into: another write is another inode
        "note": [(path.name, path.stat().st_ino, path.stat().st_mtime_ns) for path in folder.rglob("*") if path.is_file()],
        "mail": outside.mails(plan.email),
    }


def _locked_rightly(plan: Onboarding, status: StatusView, frozen_in: str) -> None:
    """A call that was handed to the frozen worker is in doubt; all before it were made once, and none after it has begun.

    Which call that is, Temporal decides: it hands later calls to the open polls of the frozen worker as well.
    """
    (parked,) = status.parked
    position = STEPS.index(parked)
    assert position >= STEPS.index(frozen_in), status
    assert status.why.startswith(f"step {parked!r} is in doubt"), status.why
    told = [step.status for step in status.steps]
    assert told == ["live"] * position + ["in_doubt"] + ["waiting"] * (len(STEPS) - position - 1), status
    effects = _effects(plan)
    assert [len(effects[step]) for step in STEPS[1:position]] == [1] * (position - 1)
    assert len(effects[parked]) <= 1
    assert not any(effects[step] for step in STEPS[position + 1 :])
    assert not any(plan.times(step, "live_before") for step in STEPS[position + 1 :])


async def _frozen_in(stage: Stage, step: str) -> None:
    plan = Onboarding(stage.scene())
    await plan.live_until(step, "live_before")
    os.kill(plan.first.pid, signal.SIGSTOP)
    plan.scene.release()
    await plan.scene.worker()
    # Temporal may hand the next attempts to the open polls of the frozen worker, until the last one is lost as well
    status = await plan.scene.status(plan.handle, State.COMPLETED, State.ABORTED, State.LOCKED)
    if status.state is State.COMPLETED:
        await plan.completed()
    if status.state is State.LOCKED:
        _locked_rightly(plan, status, step)
    before = _effects(plan)
    assert max(map(len, before.values())) <= 1, (before, status)
    await _thawed(plan.first)
    # a tool that wakes up may come to its end, as one that finds its work done does; it must not do it again
    after = _effects(plan)
    assert after == before, (before, after, status)


@scenario
async def frozen_before_a_row_is_written(stage: Stage) -> None:
    """The row is written once, or the plan says that it is not; the frozen worker ends."""
    await _frozen_in(stage, "account")


@scenario
async def frozen_before_a_file_is_written(stage: Stage) -> None:
    """The file is written once, or the plan is in doubt; the frozen worker ends."""
    await _frozen_in(stage, "note")


@scenario
async def frozen_before_a_contact_is_created(stage: Stage) -> None:
    """The contact is created once, or the plan is in doubt; the frozen worker ends."""
    await _frozen_in(stage, "contact")


@scenario
async def frozen_before_a_mail_is_sent(stage: Stage) -> None:
    """The plan says that the mail is in doubt, a lock proves all but that, and the frozen worker sends nothing."""
    plan = Onboarding(stage.scene())
    await plan.live_until("mail", "live_before")
    os.kill(plan.first.pid, signal.SIGSTOP)
    plan.scene.release()
    await plan.scene.worker()
    gate = LiveGate(await plan.scene.client())
    assert (await gate.lock("olga", "stop")).accepted
    proofs = [proof async for proof in gate.barrier(within=120)]
    value = proofs[-1].value
    assert isinstance(value, ProvedExcept), value
    assert [(call.plan, call.step) for call in value.calls] == [(plan.id, "mail")]
    assert (await plan.scene.status(plan.handle, State.LOCKED)).parked == ("mail",)
    await _thawed(plan.first)
    assert plan.scene.outside.mails(plan.email) == []
    assert (await plan.handle.status()).parked == ("mail",)
