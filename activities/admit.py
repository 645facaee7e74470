"""Admission of a plan by the operator's catalogue and policy, with the conflicts with other plans."""

import asyncio
import hashlib
import hmac

from temporalio import activity
from temporalio.client import Client
from temporalio.service import RPCError

from airlock.activities.calls.claimed_calls import in_any_spelling
from airlock.activities.functions.secrets import Secrets
from airlock.activities.heartbeat import run_to_completion
from airlock.activities.monitor import reliability
from airlock.activities.other_plans import others
from airlock.activities.toolbox import Toolbox
from airlock.admission.admitted import Admission, Admitted
from airlock.admission.call_digest import known_digest
from airlock.admission.conflicts.conflict import Conflict
from airlock.admission.examination import examine
from airlock.admission.needed_secrets import absent_secrets
from airlock.base.names import occasion_of
from airlock.gates.protocol import ClaimWanted
from airlock.plans.catalogue import Catalogue
from airlock.plans.plan import Plan
from airlock.temporal import claims
from airlock.wire import AdmitRequest

_MAX_INDEXED = 50
"""Resources of a plan by which other plans can find it."""
_MAX_CLAIMS = 200
"""Irreversible calls of a plan whose claims are read at admission; at LIVE the claim of every call is taken."""
_ABSENT = 100
"""Places with a missing secret that a refusal names."""
_LOOK_SECONDS = 10.0
"""Seconds for reading the claims, or the plans, of others; the results are only hints here."""


class AdmitActivities:
    """Admission activity of the operator's worker, on the workflows' queue."""

    def __init__(self, toolbox: Toolbox) -> None:
        self._toolbox = toolbox

    @activity.defn(name="admit")
    async def admit(self, request: AdmitRequest) -> Admission:
        """Freeze the contracts and the policy that apply to a plan, or return the reasons of a refusal.

        Other plans are looked at too: calls they made are left out, resources they touch are told to the approver. That
        this cannot be looked at is no reason to refuse a plan; gates and claims decide at LIVE.
        """
        return await run_to_completion(self.judge(request.plan), lambda: None, lambda: None)

    async def judge(self, plan: Plan) -> Admission:
        """Return what admission says of the plan of this activity's run; see `admit`."""
        own, client = activity.info().workflow_id or "", activity.client()
        catalogue, policy = self._toolbox.catalogue, self._toolbox.policy
        known = None
        if policy.calibrated_confidence:
            known = await reliability(client, policy, [step.tool for step in plan.steps])
        examination = await asyncio.to_thread(examine, plan, catalogue, policy, reliability=known)
        if examination.admitted is None:
            return examination.admission
        if self._toolbox.live and (absent := absent_secrets(plan, examination.admitted, Secrets().has)):
            return Admission(problems=absent[:_ABSENT])
        standing = await _standing(client, own, plan, examination.admitted, catalogue)
        examination = await asyncio.to_thread(examination.with_standing, standing)
        if examination.admitted is None or not self._toolbox.index_key:
            return examination.admission
        touched = _touched(examination.admitted, self._toolbox.index_key)
        beside = await _beside(client, own, touched)
        found = {"resource_index": tuple(touched), "conflicts": (*examination.admitted.conflicts, *beside)}
        return Admission(admitted=examination.admitted.model_copy(update=found))


def resource_hash(key: str, resource: str) -> str:
    """Return the keyed hash of a resource name for the search attribute, which Temporal does not encrypt.

    32 hex characters.
    """
    return hmac.new(key.encode(), resource.encode(), hashlib.sha256).hexdigest()[:32]


def _touched(admitted: Admitted, key: str) -> dict[str, tuple[str, str]]:
    """Return the resources that the plan may change live, with their first step, by the hash of the resource."""
    first: dict[str, str] = {}
    for step in admitted.live_candidates:
        row = admitted.steps[step]
        if not row.contract.read_only:
            for name in row.resources:
                first.setdefault(name, step)
    return {resource_hash(key, name): (name, first[name]) for name in sorted(first)[:_MAX_INDEXED]}


async def _standing(client: Client, own: str, plan: Plan, admitted: Admitted, catalogue: Catalogue) -> dict[str, str]:
    """Return, by step, why another plan's claim stands in the way of an irreversible call."""
    by_id = {step.id: admitted.step(step) for step in plan.steps}
    known = [
        ClaimWanted(step=step, tool=by_id[step].tool, digest=digest, args=by_id[step].claimed_args)
        for step in admitted.live_candidates
        if (digest := known_digest(by_id[step], admitted.contract(step), {}, occasion_of(plan.plan_id))) is not None
    ]
    wanted = [in_any_spelling(catalogue, each, plan.plan_id) for each in known[:_MAX_CLAIMS]]
    if not wanted:
        return {}
    try:
        async with asyncio.timeout(_LOOK_SECONDS):
            return await claims.standing(client, wanted, own)
    except (RPCError, TimeoutError) as error:
        activity.logger.warning("claims of other plans could not be looked at: %s", error)
        return {}


async def _beside(client: Client, own: str, touched: dict[str, tuple[str, str]]) -> tuple[Conflict, ...]:
    """Return the conflicts with other open plans that touch the same resources."""
    try:
        async with asyncio.timeout(_LOOK_SECONDS):
            return await others(client, own, touched)
    except (RPCError, TimeoutError) as error:
        activity.logger.warning("other open plans could not be looked at: %s", error)
        return ()
