"""Replays the committed histories with the code as it is; a process of its own, because of the hash seed.

PYTHONHASHSEED=1 python -m tests.replay.replay
PYTHONHASHSEED=2 python -m tests.replay.replay 2 1    every second of them, from the second on
"""

import asyncio
import json
import os
import sys
from functools import cache
from pathlib import Path

from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer

import devtools.replayer
from airlock.admission.admitted import EPOCH
from airlock.base.keyring import Keyring
from airlock.temporal.connection import data_converter
from tests.workflows.protected import keyring

HISTORIES = Path(__file__).parent / "histories"
"""Of workers without keys, before there were epochs."""
WITH_KEYS = Path(__file__).parent / "histories_with_keys"
"""Of workers with keys, before there were epochs."""
FOLDER = Path(__file__).parent / f"histories_epoch_{EPOCH}"
"""Of workers with keys, under the rules of today."""
NAMESPACE = "proved"
KEYS = keyring("k")
"""Namespace and keys of all histories with keys. They protect nothing else."""


@cache
def read(path: Path) -> WorkflowHistory:
    """Return a history, under the workflow id it was recorded with.

    The time-skipping server does not write it into the events. To parse it takes nearly as long as to replay it.
    """
    recorded = json.loads(path.read_text(encoding="utf-8"))
    return WorkflowHistory.from_json(recorded.pop("workflowId"), recorded)


def replayer(keyring: Keyring | None = None, namespace: str = "ReplayNamespace") -> Replayer:
    """Return a replayer for histories that were recorded with these keys, or with none."""
    return devtools.replayer.replayer(keyring or Keyring(), namespace, data_converter(keyring))


def keys_of(path: Path) -> Keyring | None:
    """Return the keys that a history was recorded with."""
    return None if path.parent == HISTORIES else KEYS


async def main(chosen: str = "histories*/*.json", parts: int = 1, part: int = 0) -> int:
    """0 when all that are chosen replay, or every so many of them, 1 otherwise; one line for each."""
    paths = sorted(HISTORIES.parent.glob(chosen))[part::parts]
    failures = 0
    for path in paths:
        result = await replayer(keys_of(path), NAMESPACE).replay_workflow(read(path), raise_on_replay_failure=False)
        failures += result.replay_failure is not None
        said = "replays" if result.replay_failure is None else repr(result.replay_failure)
        print(f"{path.parent.name}/{path.stem}: {said}")
    return 1 if failures or not paths else 0


if __name__ == "__main__":
    code = asyncio.run(main("histories*/*.json", *map(int, sys.argv[1:])))
    sys.stdout.flush()
    # the SDK's own threads abort the interpreter's end now and then (sdk-python issue 300)
    os._exit(code)
