"""The identifiers that Airlock shares with Temporal: ids, queues, search attributes."""

import re

PLAN_PREFIX = "plan-"
UNDO_PREFIX = "undo-"
PLAN_WORKFLOW = "PlanWorkflow"
GATE_WORKFLOW = "GateWorkflow"
CLAIM_WORKFLOW = "ClaimWorkflow"
MONITOR_WORKFLOW = "MonitorWorkflow"
NOTIFY_WORKFLOW = "NotifyWorkflow"
NOTIFY_PREFIX = "notify-"
RESOURCE_GATE_PREFIX = "gate-resource-"
LIVE_GATE = "gate-live"
"""The gate that every plan passes before it goes LIVE. The system lock closes it."""
RESERVED_PREFIXES = (PLAN_PREFIX, UNDO_PREFIX)
"""Prefixes that no plan id may have: it would name the workflow of another plan."""
MONITOR = "monitor"
"""The author of a lock by which a monitor closed the live gate."""
MONITOR_PREFIX = "monitor-"
OWN_PREFIXES = (PLAN_PREFIX, UNDO_PREFIX, "gate-", "claim-", MONITOR_PREFIX, NOTIFY_PREFIX)
"""Prefixes of the workflow ids of Airlock's own workflows."""
RESERVED = ("airlock", MONITOR, "policy", "temporal")
"""Names in the audit that are not people: Airlock itself, a monitor, the policy, a cancelled workflow."""

WORKFLOW_QUEUE = "airlock"
REHEARSE_QUEUE = "airlock-rehearse"
LIVE_QUEUE = "airlock-live"
UNDO_QUEUE = "airlock-undo"
PERMIT_QUEUE = "airlock-permit"
"""The queue of entries to LIVE, which the live role serves: they never wait behind calls."""

ATTRIBUTE_STATE = "AirlockState"
LASTS = "lasts"
"""The signal with which a live worker tells a plan that its first calls take a while."""
SENT_BACK = "sent_back"
"""The signal with which a live worker tells a plan that it began calls of which Temporal does not know any more."""
ATTRIBUTE_SINCE = "AirlockSince"
ATTRIBUTE_RISK = "AirlockRisk"
ATTRIBUTE_OUTCOME = "AirlockOutcome"
ATTRIBUTE_AGENTS = "AirlockAgents"
ATTRIBUTE_RESOURCES = "AirlockResources"

_OCCASION = r"-\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z"
"""The time in UTC, to the second, that Temporal appends to the workflow id of each run that a schedule starts."""
OCCASION = re.compile(rf"{_OCCASION}\Z")
PLAN_ID = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._-]{{0,127}}({_OCCASION})?")
"""A person writes the id without the time, which only a schedule appends."""
STEP_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


_BUILD = re.compile(r"airlock-2-(?P<setup>[0-9a-f]+)-policy-")


def build_id(policy_hash: str, setup: str) -> str:
    """Return the build id of an orchestrating worker. Temporal records it with every workflow task that a worker ends.

    Code before the short path (docs/adr/0011) named the policy alone: `airlock-policy-<hash>`.

    Args:
        policy_hash: The digest of its policy.
        setup: The digest of all by which it admits plans, in hexadecimal digits.
    """
    return f"airlock-2-{setup}-policy-{policy_hash}"


def is_under_policy(build: str, policy_hash: str) -> bool:
    """Return True if a build id is that of a worker under a policy."""
    return build.startswith("airlock-") and build.endswith(f"policy-{policy_hash}")


def setup_of(build: str) -> str:
    """Return the setup that a build id names; empty for that of an earlier version, or of no worker of Airlock."""
    found = _BUILD.match(build)
    return found["setup"] if found else ""


def plan_workflow_id(plan_id: str) -> str:
    """Return the workflow id of a plan."""
    return PLAN_PREFIX + plan_id


def plan_id_of(workflow_id: str) -> str:
    """Return the plan id of a workflow id; a plan id is returned unchanged."""
    return workflow_id.removeprefix(PLAN_PREFIX)


def occasion_of(plan_id: str) -> str:
    """Return the time that a schedule appended to the id of a plan or of its workflow; empty for any other plan."""
    found = OCCASION.search(plan_id)
    return found[0] if found else ""


def undo_workflow_id(plan_id: str) -> str:
    """Return the workflow id of the run that undoes a plan after its end."""
    return UNDO_PREFIX + plan_id


def is_of_plan(workflow_id: str) -> bool:
    """Return True if a workflow id can be that of a plan, or of its undo: any client can start one under other letters.

    Commands that people paste, subjects of mails and links hold these ids.
    """
    for prefix in RESERVED_PREFIXES:
        if workflow_id.startswith(prefix):
            return PLAN_ID.fullmatch(workflow_id.removeprefix(prefix)) is not None
    return False


def workflow_id_of(name: str) -> str:
    """Return the workflow id of a plan, or of its undo, from its plan id or from either workflow id."""
    return name if name.startswith(RESERVED_PREFIXES) else plan_workflow_id(name)


def resource_gate_id(key: str) -> str:
    """Return the id of a resource's gate; `key` is the keyed hash of its name, because workflow ids are not encrypted."""
    return RESOURCE_GATE_PREFIX + key


def tool_gate_id(tool: str) -> str:
    """Return the id of a tool's gate, which enforces `max_concurrent` and `rate_limit`."""
    return f"gate-tool-{tool}"


def monitor_id(shard: int) -> str:
    """Return the workflow id of one monitor; shards count from 0."""
    return f"{MONITOR_PREFIX}{shard}"


def claim_id(tool: str, digest: str) -> str:
    """Return the workflow id of the claim of one irreversible call."""
    return f"claim-{tool}-{digest}"


def idempotency_key(plan_id: str, step_id: str, undone: int = 0) -> str:
    """Return the key of one live call: the same on every attempt, retry and reset of the run.

    The key changes only after the call was undone. A target that remembers the first key would otherwise answer the
    repeated call without making it.

    Args:
        plan_id: The plan.
        step_id: The step.
        undone: The number of times this call was made and compensated before, 0 or more.
    """
    return f"{plan_id}/{step_id}" if undone == 0 else f"{plan_id}/{step_id}/{undone}"
