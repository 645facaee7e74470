"""A worker that is stopped by SIGSTOP in the middle of a call, counts as lost, and wakes up when others have gone on."""

import os
import signal

from airlock.client.live_gate import LiveGate
from airlock.gates.lock_proof import ProvedExcept
from airlock.plans.state import State
from airlock.worker.watchdog import FROZEN
from tests.processes.harness import Process
from tests.processes.kills import Onboarding
from tests.processes.registry import Stage, scenario


async def _thawed(worker: Process) -> None:
    """Let a worker go on; it ends itself instead."""
    os.kill(worker.pid, signal.SIGCONT)
    assert await worker.code() == FROZEN, worker.said()
    assert "airlock worker ends: the process " in worker.said()


def _effects(plan: Onboarding) -> tuple[int, int, int]:
    rows, files = plan.scene.rows(plan.email), plan.scene.written(plan.id)
    return len(rows), len(files), len(plan.scene.outside.contacts(plan.email))


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
        # a later step may have been handed to the frozen worker too, once the first one was made by the other worker
        order = [each.id for each in status.steps]
        assert status.parked, status
        assert all(order.index(parked) >= order.index(step) for parked in status.parked), status
    before = _effects(plan)
    assert max(before) <= 1, (before, status)
    await _thawed(plan.first)
    after = _effects(plan)
    assert after == before, (before, after, status)
    assert plan.times(step, "live_after") <= 1, status


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
