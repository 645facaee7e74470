"""Histories of epoch 3, with keys: calls that were handed back, and plans that see their own steps."""

import json
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import WorkflowHistory

from tests.replay import replay
from tests.replay.replay import KEYS, NAMESPACE
from tests.replay.test_replay import _decoded, _identities

FOLDER = replay.HISTORIES.parent / "histories_epoch_3"
SHOWS = {
    "completed": '"epoch":3',
    "handed-back-and-made": "the contract of put on this worker is not the one that was approved",
    "left-in-live": '"left_receipt"',
    "own-steps": '"follows":{"file:note.md":"draft"}',
    "own-steps-undone": '"follows":["draft"]',
    "rolled-back": '"epoch":3',
    "undone-after-the-end": '"epoch":3',
}
"""Words that a history must hold, to be the one that its scene means."""


def texts(path: Path) -> str:
    recorded: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return json.dumps(recorded) + "\n".join(_decoded(recorded))


def test_every_way_is_there_and_holds_what_its_scene_means() -> None:
    assert {path.stem for path in FOLDER.glob("*.json")} == set(SHOWS)
    for name, words in SHOWS.items():
        assert words in texts(FOLDER / f"{name}.json"), name


@pytest.mark.parametrize("name", sorted(SHOWS))
async def test_it_replays_with_its_keys_and_with_no_others(name: str) -> None:
    recorded = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    history = WorkflowHistory.from_json(recorded["workflowId"], {"events": recorded["events"]})
    found = await replay.replayer(KEYS, NAMESPACE).replay_workflow(history, raise_on_replay_failure=False)
    assert found.replay_failure is None, found.replay_failure
    elsewhere = await replay.replayer(KEYS, "elsewhere").replay_workflow(history, raise_on_replay_failure=False)
    assert elsewhere.replay_failure is not None


def test_they_name_no_machine() -> None:
    for path in FOLDER.glob("*.json"):
        found = [
            word
            for word in ("/home/", "/root/", "/work/", "/tmp/", "/Users/", "site-packages", '.py"')
            if word in texts(path)
        ]
        assert not found, (path.name, found)
        identities = _identities(json.loads(path.read_text(encoding="utf-8")))
        assert all(each in ("recorded", "", "history-service") for each in identities), path.name
