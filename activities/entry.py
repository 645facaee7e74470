"""The entry to LIVE, on the workers that make live calls: they examine the approval themselves, and mint the permit."""

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta

from temporalio import activity

from airlock.activities.admit import resource_hash
from airlock.activities.calls.permitted import root_objection
from airlock.activities.gates import GateActivities, interruptible
from airlock.activities.proven_input import unproven_input
from airlock.activities.server_time import server_time
from airlock.activities.toolbox import Toolbox
from airlock.base import names
from airlock.base.keyring import Channel, Keyring
from airlock.gates.answers import AcquireDenied, AcquireGranted, AcquireResult
from airlock.gates.protocol import EntryRefused
from airlock.plans.outcome import EarlyRead
from airlock.run.decisions.evidence import EntryRequest, Evidence
from airlock.run.decisions.permission import AGAIN, STALE, Permission, examine, lane_objection
from airlock.run.live.read_lane import old_reads, other_reads, read_leaf
from airlock.run.permit import Permits, Root, leaf_of
from airlock.run.sealing.sealed import SealedStep

ASKED_FOR = 30.0
"""Seconds for the answer of the gates while the first calls of a run wait in the same activity."""
LONGEST_PASS = timedelta(hours=1)
"""Time after which a stay in LIVE asks the gates again before its next call."""


@dataclass(frozen=True)
class PermittedReads:
    """The reads before a preview that this worker lets be made, with the permit that they show."""

    steps: dict[str, SealedStep]
    receipt: str
    tokens: dict[str, str]
    permit_pass: str


class EntryActivities:
    """The activity `acquire` for runs that want to go LIVE, on the queue of the live role."""

    def __init__(self, toolbox: Toolbox, keyring: Keyring | None = None) -> None:
        self._toolbox = toolbox
        self._gates = GateActivities(toolbox)
        self._policy = toolbox.policy.digest()
        self._keyring = keyring or Keyring()
        self._permits = Permits(self._keyring)

    @activity.defn(name="acquire")
    async def acquire(self, request: EntryRequest) -> AcquireResult:
        """Examine the evidence under this worker's own policy and catalogue, then ask the gates. Safe to repeat.

        Raises:
            ApplicationError: If the holder is not the workflow that runs this activity.
        """
        return await interruptible(self.enter(request))

    async def enter(self, request: EntryRequest) -> AcquireResult:
        """Examine the evidence, then ask the gates; see `acquire`."""
        self._gates.require(request.plan_id, request.holder)
        now = server_time()
        if why := unproven_input(self._keyring.demands):
            return self._denied(AGAIN, why)
        tokens: dict[str, str] = {}
        if request.evidence is None:
            root = self._permits.read(request.receipt)
            why = "no live worker with these keys made it" if root is None else root_objection(root, self._policy, now)
            if root is None or why:
                return self._denied(AGAIN, f"the receipt of its evidence does not hold: {why}")
        else:
            if why := self._other_index(request.evidence):
                return self._denied(AGAIN, why)
            answer = await asyncio.to_thread(
                examine,
                request.evidence,
                self._toolbox.policy,
                self._toolbox.catalogue,
                request.holder,
                now,
                activity.info().namespace,
            )
            if isinstance(answer, EntryRefused):
                return AcquireDenied(held=request.held, refusal=answer)
            if why := self._unproven_read(request.evidence):
                return self._denied(STALE, why)
            root = self._root(request.evidence, answer, now)
            tokens = self._permits.tokens(root, _leaves(request.evidence, answer))
        # the live gate is asked each time: that it granted a slot is not the run's to say
        held = tuple(slot for slot in request.held if slot.gate != names.LIVE_GATE)
        result = await self._gates.ask(activity.client(), request.model_copy(update={"held": held}))
        found = {"receipt": self._permits.receipt(root), "tokens": tokens}
        if isinstance(result, AcquireGranted):
            fences = [(slot.gate, slot.fence) for slot in result.held]
            found["permit_pass"] = self._permits.entry(root, request.request, fences, _expiry(root, now))
        return result.model_copy(update=found)

    def permit_reads(self, evidence: Evidence, holder: str, request: str) -> PermittedReads | str:
        """Return the permit of reads before a preview, or the reason why this worker lets none be made.

        Args:
            evidence: The seal of these reads alone.
            holder: The workflow id of the plan.
            request: The name of the request at the live gate.
        """
        now = server_time()
        if why := unproven_input(self._keyring.demands):
            return why
        answer = examine(evidence, self._toolbox.policy, self._toolbox.catalogue, holder, now, activity.info().namespace)
        if isinstance(answer, EntryRefused):
            return answer.why
        if why := lane_objection(answer.steps, evidence, self._toolbox.policy, self._toolbox.catalogue):
            return why
        root = self._root(evidence, answer, now)
        return PermittedReads(
            steps={step.id: step for step in answer.steps},
            receipt=self._permits.receipt(root),
            tokens=self._permits.tokens(root, _leaves(evidence, answer)),
            permit_pass=self._permits.entry(root, request, (), _expiry(root, now)),
        )

    def signed(self, step: SealedStep, read: EarlyRead, epoch: int) -> EarlyRead:
        """Return a read with its receipt, if this worker makes receipts."""
        proof = self._permits.read_receipt(_place(), step.id, read_leaf(step, read.contract, epoch), read)
        return read.model_copy(update={"proof": proof})

    def _unproven_read(self, evidence: Evidence) -> str:
        """Return the reason why a seal shows something that was not read for this run; empty if there is none."""
        if old := old_reads(evidence.sealed):
            return f"what step {min(old)!r} returned was read before this plan was submitted"
        if other := other_reads(evidence.sealed):
            return f"what the preview shows of step {other[0]!r} is not what its read returned"
        if not self._keyring.demands.due(Channel.LIVE, server_time()):
            return ""
        for step in evidence.sealed.steps:
            leaf = step.read and read_leaf(step, step.read.contract, evidence.epoch)
            if step.read and leaf and not self._permits.is_of_read(_place(), step.id, leaf, step.read):
                return f"what the preview shows of step {step.id!r} has no receipt of a live read"
        return ""

    def _denied(self, kind: str, why: str) -> AcquireDenied:
        return AcquireDenied(refusal=EntryRefused(kind=kind, why=why, policy=self._policy))

    def _root(self, evidence: Evidence, answer: Permission, now: datetime) -> Root:
        info = activity.info()
        return Root(
            namespace=info.namespace,
            workflow_id=info.workflow_id or "",
            run_id=info.workflow_run_id or "",
            digest=evidence.digest,
            policy=self._policy,
            checked_at=now.isoformat(),
            until=answer.until.isoformat() if answer.until else "",
        )

    def _other_index(self, evidence: Evidence) -> str:
        """Return a sentence if this worker names the gates of resources otherwise than the worker that admitted the plan."""
        if not evidence.resource:
            return ""
        key = self._toolbox.index_key
        same = resource_hash(key, evidence.resource) in evidence.resource_index if key else not evidence.resource_index
        return "" if same else "this worker's AIRLOCK_INDEX_KEY is not that of the orchestrating worker: give both the same"


def _place() -> tuple[str, str]:
    info = activity.info()
    return info.namespace, info.workflow_id or ""


def _expiry(root: Root, now: datetime) -> datetime:
    longest = now + LONGEST_PASS
    return min(longest, datetime.fromisoformat(root.until)) if root.until else longest


def _leaves(evidence: Evidence, answer: Permission) -> dict[str, str]:
    return {
        step.id: leaf_of(
            tool=step.tool, agent=step.agent, args=step.args, contract=step.contract_hash, preview=step.preview,
            dedupe_key=step.dedupe_key, undone=evidence.undone.get(step.id, 0), may_drift=step.may_drift,
            epoch=evidence.epoch,
        )
        for step in answer.steps
    }  # fmt: skip


async def entered_in_time(entry: EntryActivities, request: EntryRequest) -> AcquireResult | None:
    """Return the answer of the gates to a run whose first calls wait in the same activity; None if it must ask again.

    The run asks on its own then, without a worker of live calls waiting, and gets the slots that it may have got here.
    """
    asking = asyncio.ensure_future(entry.enter(request))
    shutdown = asyncio.ensure_future(activity.wait_for_worker_shutdown())
    try:
        await asyncio.wait((asking, shutdown), timeout=ASKED_FOR, return_when=asyncio.FIRST_COMPLETED)
        if not asking.done():
            asking.cancel()
        return await asking
    except asyncio.CancelledError:
        return None
    except Exception as error:  # noqa: BLE001  # the gates do not answer: nothing was called, and the run asks again
        activity.logger.warning("the gates were not asked: %s", error)
        return None
    finally:
        shutdown.cancel()
