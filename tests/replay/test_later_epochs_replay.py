"""Histories of epochs 3 to 10, with keys: the short path, calls sent back, signatures, amendments, and others."""

import json
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import WorkflowHistory

from airlock.admission.admitted import TASK_EPOCH
from airlock.temporal.message_load import FLAG
from airlock.workflows.patches import ANNOUNCED_EARLY, ASKED_AFTER_A_FAILURE, KEPT_APART, RECALLED
from tests.replay import replay
from tests.replay.replay import KEYS, NAMESPACE
from tests.replay.test_replay import _decoded, _identities

FOLDERS = {epoch: replay.HISTORIES.parent / f"histories_epoch_{epoch}" for epoch in (3, 4, 5, 6, 7, 8, 9, 10)}
EPOCH_3 = {
    "completed": '"epoch":3',
    "handed-back-and-made": "the contract of put on this worker is not the one that was approved",
    "left-in-live": '"left_receipt"',
    "own-steps": '"follows":{"file:note.md":"draft"}',
    "own-steps-undone": '"follows":["draft"]',
    "rolled-back": '"epoch":3',
    "undone-after-the-end": '"epoch":3',
}
EPOCH_4 = {
    "completed": '"opening":[',
    "forged": "no worker of Airlock answered",
    "handed-back-by-another-setup": "another AIRLOCK_INDEX_KEY",
    "lasted-while-it-opened": '"lasts"',
    "lost-while-it-opened": "in_doubt",
    "no-worker-opened": "TIMEOUT_TYPE_SCHEDULE_TO_START",
    "only-read": "every step was read before the preview",
    "read-again": "its read failed: the target refused",
    "read-first": '"read":{"at":',
    "rolled-back": '"epoch":4',
}
EPOCH_5 = {
    "completed": '"epoch":5',
    "no-worker-opened": "TIMEOUT_TYPE_SCHEDULE_TO_START",
    "sent-back-and-locked": '"sent_back"',
}
EPOCH_6 = {
    "completed": '"epoch":6',
    "record-set-back": "TIMEOUT_TYPE_START_TO_CLOSE",
    "ruled": "still needs 1 approval of finance (rule big)",
}
EPOCH_7 = {
    "signed": '"kind":"passkey"',
    "signed-amendment": '"kind":"ssh"',
    "amended": '"earlier":[',
    "amended-and-read-again": "another name",
}
EPOCH_8 = {"signed": '"kind":"passkey"'}
EPOCH_9 = {
    "completed": '"epoch":9',
    "lost-chain": '"step":"c"',
    "own-release": "EVENT_TYPE_EXTERNAL_WORKFLOW_EXECUTION_SIGNALED",
    "released-by-an-activity": "EVENT_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_FAILED",
    "signed": '"kind":"passkey"',
}
EPOCH_10 = {
    "announced-early": ANNOUNCED_EARLY,
    "asked-after-a-failure": ASKED_AFTER_A_FAILURE,
    "asked-by-risk": "approval 1 of 2 counted",
    "signed-undo": '"previous":"',
    "unsigned-undo": "rollback: it must be signed",
    "proved-lock": '"gate":"gate-live"',
    "gate-resource": f"{RECALLED}, from event 3",
    "gate-tool": f"{RECALLED}, from event 3",
    "kept-apart": KEPT_APART,
    "undecoded-signals": f"[{FLAG}]",
}
SHOWS = {
    (epoch, name): words
    for epoch, found in zip(FOLDERS, (EPOCH_3, EPOCH_4, EPOCH_5, EPOCH_6, EPOCH_7, EPOCH_8, EPOCH_9, EPOCH_10), strict=True)
    for name, words in found.items()
}
"""Words that a history must hold, to be the one that its scene means."""
ALL = sorted(path for folder in FOLDERS.values() for path in folder.glob("*.json"))


def epoch_of(path: Path) -> int:
    return int(path.parent.name.rpartition("_")[2])


@pytest.mark.parametrize("path", [path for path in ALL if epoch_of(path) >= TASK_EPOCH], ids=lambda path: path.stem)
def test_no_run_asks_by_a_local_activity(path: Path) -> None:
    """While a question is answered, such a run reports an answer whose effect a replay sees a task earlier (ADR 0021)."""
    assert "core_local_activity" not in path.read_text(encoding="utf-8")


def texts(path: Path) -> str:
    recorded: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return json.dumps(recorded) + "\n".join(_decoded(recorded))


def test_every_way_is_there_and_holds_what_its_scene_means() -> None:
    assert {path.stem for path in FOLDERS[3].glob("*.json")} == set(EPOCH_3)
    assert len(list(FOLDERS[4].glob("*.json"))) > 40
    assert {path.stem for path in FOLDERS[5].glob("*.json")} == set(EPOCH_5)
    assert {path.stem for path in FOLDERS[6].glob("*.json")} == set(EPOCH_6)
    assert {path.stem for path in FOLDERS[7].glob("*.json")} >= {*EPOCH_7, "signed-gate"}
    assert {path.stem for path in FOLDERS[8].glob("*.json")} >= {*EPOCH_8, "signed-gate"}
    assert {path.stem for path in FOLDERS[9].glob("*.json")} >= {*EPOCH_9, "own-release-gate", "signed-gate"}
    assert {path.stem for path in FOLDERS[10].glob("*.json")} >= {*EPOCH_10, "proved-lock-gate"}
    for (epoch, name), words in SHOWS.items():
        assert words in texts(FOLDERS[epoch] / f"{name}.json"), (epoch, name)


@pytest.mark.parametrize("path", ALL, ids=lambda path: f"{path.parent.name}-{path.stem}")
async def test_it_replays_with_its_keys(path: Path) -> None:
    assert await replays(path, NAMESPACE)


@pytest.mark.parametrize(("epoch", "name"), SHOWS)
async def test_it_replays_in_no_other_namespace(epoch: int, name: str) -> None:
    assert not await replays(FOLDERS[epoch] / f"{name}.json", "elsewhere")


async def test_signals_are_left_undecoded_where_the_history_says_so() -> None:
    """A worker of an older release decoded a denial, which ended the plan."""
    recorded = json.loads((FOLDERS[10] / "undecoded-signals.json").read_text(encoding="utf-8"))
    assert await goes_through(recorded, NAMESPACE)
    told = [event["workflowTaskCompletedEventAttributes"].get("sdkMetadata", {}) for event in completed_tasks(recorded)]
    marked = [flags for flags in (each.get("langUsedFlags", []) for each in told) if FLAG in flags]
    assert marked
    for flags in marked:
        flags.remove(FLAG)
    assert not await goes_through(recorded, NAMESPACE)


def completed_tasks(recorded: dict[str, Any]) -> list[dict[str, Any]]:
    return [event for event in recorded["events"] if event["eventType"] == "EVENT_TYPE_WORKFLOW_TASK_COMPLETED"]


async def replays(path: Path, namespace: str) -> bool:
    return await goes_through(json.loads(path.read_text(encoding="utf-8")), namespace)


async def goes_through(recorded: dict[str, Any], namespace: str) -> bool:
    history = WorkflowHistory.from_json(recorded["workflowId"], {"events": recorded["events"]})
    found = await replay.replayer(KEYS, namespace).replay_workflow(history, raise_on_replay_failure=False)
    return found.replay_failure is None


def test_they_name_no_machine() -> None:
    for path in ALL:
        found = [
            word
            for word in ("/home/", "/root/", "/work/", "/tmp/", "/Users/", "site-packages", '.py"')
            if word in texts(path)
        ]
        assert not found, (path.name, found)
        identities = _identities(json.loads(path.read_text(encoding="utf-8")))
        assert all(each in ("recorded", "mallory", "", "history-service") for each in identities), path.name
