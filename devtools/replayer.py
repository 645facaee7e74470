"""Replay of histories with the code as it is, under everything that decides what a worker's workflows do."""

from typing import Any

from temporalio.client import Client
from temporalio.converter import DataConverter
from temporalio.worker import Replayer, _replayer
from temporalio.worker._workflow import _WorkflowWorker

from airlock.base.keyring import Keyring
from airlock.temporal.connection import keyring_of
from airlock.worker.roles import DEADLOCK_AFTER, runner
from airlock.workflows.interceptors import SafeSignals
from airlock.workflows.registry import WORKFLOWS
from airlock.workflows.resets import Resets


class _PatientWorker(_WorkflowWorker):
    """The worker of a replay, with the patience of Airlock's workers: a busy machine is no deadlock."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._deadlock_timeout_seconds = DEADLOCK_AFTER  # type: ignore[assignment]  # as in `airlock.worker.roles.patient`


_replayer._WorkflowWorker = _PatientWorker  # type: ignore[attr-defined]


def replayer(keyring: Keyring, namespace: str, converter: DataConverter) -> Replayer:
    """Return a replayer with the keys, the namespace and the converter that the histories were recorded with.

    Proofs are bound to the namespace: where keys check a history, it must be the one it was recorded in.
    """
    return Replayer(
        workflows=list(WORKFLOWS),
        data_converter=converter,
        namespace=namespace,
        workflow_runner=runner(),
        interceptors=[SafeSignals(), Resets(keyring.demands)],
    )


async def replay_everything(client: Client) -> dict[str, str]:
    """Replay every history of a namespace. Return what went wrong with each, empty if nothing, by workflow and run."""
    replay = replayer(keyring_of(client), client.namespace, client.data_converter)
    found = {}
    async for run in client.list_workflows():
        history = await client.get_workflow_handle(run.id, run_id=run.run_id).fetch_history()
        failure = (await replay.replay_workflow(history, raise_on_replay_failure=False)).replay_failure
        found[f"{run.id}, run {run.run_id}"] = str(failure or "")
    return found
