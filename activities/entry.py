"""The entry to LIVE, on the workers that make live calls: they examine the approval themselves, and mint the permit."""

import asyncio
from datetime import datetime, timedelta

from temporalio import activity

from airlock.activities.admit import resource_hash
from airlock.activities.gates import GateActivities, interruptible
from airlock.activities.permitted import root_objection
from airlock.activities.proven_input import unproven_input
from airlock.activities.server_time import server_time
from airlock.activities.toolbox import Toolbox
from airlock.base import names
from airlock.base.keyring import Keyring
from airlock.gates.answers import AcquireDenied, AcquireGranted, AcquireResult
from airlock.gates.protocol import EntryRefused
from airlock.run.decisions.evidence import EntryRequest, Evidence
from airlock.run.decisions.permission import AGAIN, Permission, examine
from airlock.run.permit import Permits, Root, leaf_of

ASKED_FOR = 30.0
"""Seconds for the answer of the gates while the first calls of a run wait in the same activity."""
LONGEST_PASS = timedelta(hours=1)
"""Time after which a stay in LIVE asks the gates again before its next call."""


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
                examine, request.evidence, self._toolbox.policy, self._toolbox.catalogue, request.holder, now
            )
            if isinstance(answer, EntryRefused):
                return AcquireDenied(held=request.held, refusal=answer)
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
