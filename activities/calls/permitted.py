"""The permit of a chain of calls: shown with every call, checked before anything else happens."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from pydantic import JsonValue
from temporalio import activity

from airlock.activities.proven_input import unproven_input
from airlock.activities.server_time import server_time
from airlock.base.keyring import Channel, Keyring
from airlock.plans.outcome import Attempt, CallSucceeded
from airlock.plans.refs import referenced_steps
from airlock.run.live.call_messages import CallRequest, ChainRequest, LeftStates
from airlock.run.permit import Permits, Root, leaf_of


class Permitted:
    """The permit that one chain of calls shows.

    Without a key of the channel `live`, or before proofs are demanded, it proves nothing; where it is shown, its policy and
    its end are looked at all the same.

    Args:
        request: The chain.
        keyring: The keys of this worker.
        policy: The digest of this worker's policy.
    """

    def __init__(self, request: ChainRequest, keyring: Keyring, policy: str) -> None:
        self._request = request
        self._keyring = keyring
        self._policy = policy
        self._permits = Permits(keyring)
        self._demanded = keyring.demands.due(Channel.LIVE, datetime.now(UTC))
        self._returned: set[str] = set()

    def objection(self, call: CallRequest) -> str:
        """Return the reason why a call must not be made under this permit; empty if it may."""
        if why := unproven_input(self._keyring.demands):
            return why
        if not self._demanded and not self._request.receipt:
            return ""  # asked by a worker of a version without permits
        now = server_time()
        root = self._permits.read(self._request.receipt)
        if root is None:
            return "it shows no permit of a live worker"
        if why := root_objection(root, self._policy, now):
            return f"its permit does not hold: {why}"
        entry = self._permits.read_entry(root, self._request.entry)
        if entry is None:
            return "it shows no pass of a live worker: not every gate let the plan in"
        if now >= entry.expires:
            return "its pass has expired: the gates are asked again"
        if self._demanded and not self._permits.fits(root, call.step.id, leaf(call), call.token):
            return "no permit was given for this very call"
        return ""

    def unreceipted(self, call: CallRequest, shown: Mapping[str, Any], outputs: Mapping[str, Any]) -> str:
        """Return the reason why an argument that no approver saw may not be used: it comes from no live call.

        Args:
            call: The call.
            shown: Its arguments, with all values known.
            outputs: The outputs that it reads.
        """
        if not self._demanded:
            return ""
        approved = call.preview.args if call.preview else {}
        unseen = {name for name, value in shown.items() if name not in approved or approved[name] != value}
        for step in referenced_steps({name: call.step.args.get(name) for name in unseen}):
            receipt = call.receipts.get(step)
            if step in self._returned or (
                receipt is not None
                and self._permits.is_of_output(_place(), step, receipt.undone, outputs.get(step), receipt.proof)
            ):
                continue
            return f"an argument that was not approved comes from the output of {step!r}, which no live call returned"
        return ""

    def returned(self, attempt: Attempt, undone: int) -> Attempt:
        """Return an attempt with the receipt of its output, if this worker makes receipts."""
        if not isinstance(attempt, CallSucceeded) or attempt.broken:
            return attempt
        self._returned.add(attempt.step)
        proof = self._permits.output_receipt(_place(), attempt.step, undone, attempt.output)
        return attempt.model_copy(update={"receipt": proof}) if proof else attempt

    def left(self, step: str, undone: int, states: Mapping[str, JsonValue]) -> str:
        """Return the receipt of the states that a call left; empty if this worker makes none."""
        return self._permits.left_receipt(_place(), step, undone, states)

    def is_left(self, step: str, left: LeftStates) -> bool:
        """Return True if a call may compare with these states: a live call left them, or nothing must be proven."""
        proven = self._permits.is_of_left(_place(), step, left.undone, left.states, left.proof)
        return proven or not self._demanded


def root_objection(root: Root, policy: str, now: datetime) -> str:
    """Return the reason why a permit does not hold for the run of this activity; empty if it does.

    Args:
        root: The content of the permit's receipt.
        policy: The digest of this worker's policy.
        now: UTC.
    """
    info = activity.info()
    if (root.namespace, root.workflow_id, root.run_id) != (info.namespace, info.workflow_id, info.workflow_run_id):
        return "it was given to another run"
    if root.policy != policy:
        return "the policy is another one by now"
    if root.until and now >= datetime.fromisoformat(root.until):
        return "the approval, or the plan's deadline, has ended"
    return ""


def _place() -> tuple[str, str]:
    info = activity.info()
    return info.namespace, info.workflow_id or ""


def leaf(call: CallRequest) -> str:
    """Return the digest of everything about a call that a token vouches for."""
    return leaf_of(
        tool=call.step.tool, agent=call.step.agent, args=call.step.args, contract=call.contract.digest(),
        preview=call.preview, dedupe_key=call.step.dedupe_key, undone=call.undone, may_drift=call.may_drift,
        epoch=call.epoch,
    )  # fmt: skip
