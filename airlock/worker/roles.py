"""Temporal workers of one process, by role."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta

from temporalio.client import Client
from temporalio.worker import Worker
from temporalio.worker.workflow_sandbox import SandboxRestrictions
from temporalio.workflow import SandboxImportNotificationPolicy

from airlock.activities.admit import AdmitActivities
from airlock.activities.calls.call import CallActivities
from airlock.activities.calls.compensate import CompensateActivities
from airlock.activities.calls.read import ReadActivities
from airlock.activities.entry import EntryActivities
from airlock.activities.gates import GateActivities
from airlock.activities.monitor import MonitorActivities
from airlock.activities.policy import PolicyActivities
from airlock.activities.recover import RecoverActivities
from airlock.activities.rehearsals.look_at_undo import UndoLookActivities
from airlock.activities.rehearsals.prepare import PrepareActivities
from airlock.activities.rehearsals.preview import PreviewActivities
from airlock.activities.rehearsals.rehearse import RehearseActivities
from airlock.activities.toolbox import Toolbox
from airlock.base import names
from airlock.base.errors import AirlockError
from airlock.signing import passkey
from airlock.temporal.connection import keyring_of, records_build_ids
from airlock.temporal.silent_tasks import NoSilentTasks
from airlock.temporal.tracing import traced
from airlock.worker.ahead import forgetting
from airlock.workflows.interceptors import EndedPlans, SafeSignals
from airlock.workflows.registry import WORKFLOWS
from airlock.workflows.resets import Resets

ROLES = ("all", "orchestrate", "rehearse", "live")
HEARTBEAT_THROTTLE = timedelta(seconds=1)
"""Longest interval between heartbeats to Temporal; a stop reaches a running call with the next heartbeat."""
STICKY_TIMEOUT = timedelta(seconds=5)
"""Time that a workflow task waits for the worker that caches its run, before another worker gets it."""
ORCHESTRATIONS = 32
"""Activities on the workflows' queue at the same time in one process; they mostly wait for Temporal."""
ENTRIES = 16
"""Entries to LIVE that one process examines at the same time; they mostly wait for gates."""
DEADLOCK_AFTER = 30.0
"""Seconds after which a workflow task counts as hanging.

The SDK's two seconds are wall clock: on a busy machine, a task of a tenth of a second takes that long. A task that fails
for this reason is replayed from its beginning, which makes the machine busier. Temporal itself gives a task ten seconds
before it hands the task to another worker.
"""
SHUTDOWN_MARGIN = 15.0
"""Seconds that a shutdown waits for running calls beyond the longest timeout of the catalogue."""


@dataclass(frozen=True)
class Limits:
    """The amount of work that one worker process does at the same time."""

    calls: int = 50
    rehearsals: int = 20
    workflow_tasks: int = 50
    cached_workflows: int = 500


def runner() -> NoSilentTasks:
    """Return the sandbox for workflows.

    A module that is imported both inside and outside of it is an error: the two copies of a class are different types.
    """
    policy = (
        SandboxImportNotificationPolicy.RAISE_ON_UNINTENTIONAL_PASSTHROUGH
        | SandboxImportNotificationPolicy.WARN_ON_DYNAMIC_IMPORT
    )
    # cryptography imports its exceptions when it raises them; a sandbox that refuses the import aborts the process.
    # The files of the workflows import everything else that way already. Without a copy of their own, a run in the cache
    # takes half of the memory, and a small plan an eighth less time; ruff forbids what the sandbox would refuse there.
    with suppress(passkey.MissingExtra):
        passkey.ready()  # a workflow imports nothing; an older plan's policy may have passkeys that today's has not
    restrictions = SandboxRestrictions.default.with_passthrough_modules("cryptography", "webauthn", "airlock")
    if traced():
        restrictions = restrictions.with_passthrough_modules("opentelemetry")
    return NoSilentTasks(restrictions=restrictions.with_import_notification_policy(policy))


def build_workers(client: Client, toolbox: Toolbox, role: str = "all", limits: Limits | None = None) -> list[Worker]:
    """Return the Temporal workers of a role, for one event loop; `service` gives each role a loop of its own.

    Args:
        client: A client made by `airlock_client.connection`.
        toolbox: The operator's catalogue and policy.
        role: One of `ROLES`: `orchestrate` runs workflows and admission, `rehearse` mocks and dry runs, `live` live calls,
            compensations and the entry to LIVE.
        limits: The number of calls, rehearsals and workflow tasks at the same time.

    Raises:
        MissingExtra: If passkeys are registered, and what verifies them is not installed.
    """
    if toolbox.policy.passkeys:
        passkey.ready()  # otherwise each of their approvals would be refused one by one
    build = {"orchestrate": _orchestrating, "rehearse": _rehearsing, "live": _calling}
    chosen = [build[part] for part in parts_of(role)]
    return [worker for made in chosen for worker in made(client, toolbox, limits or Limits())]


def parts_of(role: str) -> tuple[str, ...]:
    """Return the roles that a role consists of."""
    return ROLES[1:] if role == "all" else (role,)


def grace_of(toolbox: Toolbox) -> float:
    """Return the seconds that a shutdown waits for running calls."""
    return toolbox.catalogue.longest_timeout() + SHUTDOWN_MARGIN


def _orchestrating(client: Client, toolbox: Toolbox, limits: Limits) -> list[Worker]:
    gates = GateActivities(toolbox, keyring_of(client))
    monitors, policy = MonitorActivities(toolbox), PolicyActivities(toolbox)
    worker = Worker(
        client,
        task_queue=names.WORKFLOW_QUEUE,
        workflows=list(WORKFLOWS),
        activities=[
            RecoverActivities(toolbox).recover,
            AdmitActivities(toolbox).admit,
            policy.policy_now,
            policy.stored_at,
            gates.acquire,
            gates.leave,
            gates.look,
            gates.recall,
            monitors.alarm,
            monitors.lock_wish,
        ],
        max_concurrent_activities=ORCHESTRATIONS,
        max_concurrent_workflow_tasks=limits.workflow_tasks,
        max_cached_workflows=limits.cached_workflows,
        # a run sees without a question that the policy is still the one it was admitted under
        build_id=names.build_id(toolbox.policy.digest(), toolbox.setup) if records_build_ids(client) else None,
        sticky_queue_schedule_to_start_timeout=STICKY_TIMEOUT,
        workflow_runner=runner(),
        interceptors=[SafeSignals(), Resets(keyring_of(client).demands), EndedPlans()],
        graceful_shutdown_timeout=timedelta(seconds=SHUTDOWN_MARGIN),
    )
    return [forgetting(patient(worker), client)]


def _rehearsing(client: Client, toolbox: Toolbox, limits: Limits) -> list[Worker]:
    rehearse, preview = RehearseActivities(toolbox), PreviewActivities(toolbox)
    activities = [
        PrepareActivities(toolbox, rehearse, preview).prepare,
        rehearse.rehearse,
        preview.preview,
        UndoLookActivities(toolbox).look_at_undo,
    ]
    return [_activity_worker(client, names.REHEARSE_QUEUE, activities, limits.rehearsals, grace_of(toolbox))]


def _calling(client: Client, toolbox: Toolbox, limits: Limits) -> list[Worker]:
    keyring, grace = keyring_of(client), grace_of(toolbox)
    compensations = CompensateActivities(toolbox, keyring)
    entry = EntryActivities(toolbox, keyring)
    calls = CallActivities(toolbox, keyring, entry)
    read = ReadActivities(toolbox, entry, calls, keyring).read
    return [
        _activity_worker(client, names.LIVE_QUEUE, [calls.call, read], limits.calls, grace),
        _activity_worker(client, names.UNDO_QUEUE, [compensations.compensate, compensations.probe], limits.calls, grace),
        # slots of their own: an entry never waits behind calls
        _activity_worker(client, names.PERMIT_QUEUE, [entry.acquire], ENTRIES, SHUTDOWN_MARGIN),
    ]


def patient(worker: Worker) -> Worker:
    """Set a worker's deadlock detector to `DEADLOCK_AFTER` seconds, and return the worker.

    Raises:
        AirlockError: If this version of the SDK has another detector.
    """
    # the SDK has no such setting, only a debug mode without a detector that runs one task at a time
    tasks = worker._workflow_worker
    if tasks is not None:
        if not hasattr(tasks, "_deadlock_timeout_seconds"):
            raise AirlockError("this version of temporalio has another deadlock detector: pip install 'temporalio==1.35.*'")
        tasks._deadlock_timeout_seconds = DEADLOCK_AFTER  # type: ignore[assignment]  # declared int, used as a number
    return worker


def _activity_worker(client: Client, queue: str, activities: Sequence[object], slots: int, grace: float) -> Worker:
    return Worker(
        client,
        task_queue=queue,
        activities=list(activities),  # type: ignore[arg-type]  # bound methods with @activity.defn
        max_concurrent_activities=slots,
        max_heartbeat_throttle_interval=HEARTBEAT_THROTTLE,
        default_heartbeat_throttle_interval=HEARTBEAT_THROTTLE,
        graceful_shutdown_timeout=timedelta(seconds=grace),
    )
