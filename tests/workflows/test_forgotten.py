"""A run that has left the cache of its worker leaves nothing in memory."""

import gc
from pathlib import Path
from weakref import ref

from temporalio import workflow

from airlock.temporal import seeds
from tests.replay.replay import read, replayer

HISTORIES = Path(__file__).resolve().parents[1] / "replay" / "histories_epoch_4"


async def test_nothing_holds_a_run_that_was_evicted(monkeypatch):
    instances = []

    class Seen(seeds.Seeds):
        def __init__(self):
            instances.append(ref(workflow._Runtime.current()))
            super().__init__()

    monkeypatch.setattr(seeds, "Seeds", Seen)
    kept = {path.name for path in sorted(HISTORIES.glob("*.json"))[:3]}
    for name in sorted(kept):
        await replayer().replay_workflow(read(HISTORIES / name))
    gc.collect()
    assert len(instances) >= len(kept)
    assert [found() for found in instances if found() is not None] == []
