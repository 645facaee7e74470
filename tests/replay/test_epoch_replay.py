"""Histories of workers with keys and permits: they replay with their keys, and a proof that is wrong does not pass."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import WorkflowHistory

from airlock.base.keyring import Keyring
from tests.replay import replay
from tests.replay.replay import KEYS, NAMESPACE
from tests.replay.test_replay import OTHERS, OUTCOMES, _decoded, _identities
from tests.workflows.protected import keyring

FOLDER = replay.HISTORIES.parent / "histories_epoch_1"
CLOSED = "EVENT_TYPE_WORKFLOW_EXECUTION_"
ENDS = {
    **dict.fromkeys(OUTCOMES, f"{CLOSED}COMPLETED"),
    **dict.fromkeys(("continued-as-new-1", "continued-as-new-2"), f"{CLOSED}CONTINUED_AS_NEW"),
    **OTHERS,
    "aged-at-the-gate": f"{CLOSED}COMPLETED",
    "aged-without-a-worker": f"{CLOSED}COMPLETED",
    "entry-refused": f"{CLOSED}COMPLETED",
    "forged": f"{CLOSED}COMPLETED",
    "left-out-for-a-claim-in-doubt": f"{CLOSED}COMPLETED",
    "permit-renewed": f"{CLOSED}COMPLETED",
    "quorum-signed": f"{CLOSED}COMPLETED",
    "quorum-signed-in-parts": f"{CLOSED}COMPLETED",
    "rolled-back-with-a-failed-undo": f"{CLOSED}COMPLETED",
    "sent-after-the-claim-was-freed": f"{CLOSED}COMPLETED",
    "settled-by-a-person": f"{CLOSED}FAILED",
    "terminated": f"{CLOSED}TERMINATED",
    "undo-denied": f"{CLOSED}COMPLETED",
    "undo-locked-and-unlocked": f"{CLOSED}COMPLETED",
    "undo-settled": f"{CLOSED}COMPLETED",
}
"""The last event of each history; None for a run that was open when it was recorded."""
SHOWS = {
    "entry-refused": "today's policy: the approval by 'alice' does not count",
    "left-out-for-a-claim-in-doubt": "it is in doubt whether plan-replay-settled-by-a-person-0 made this call",
    "quorum-signed": "approval 1 of 2 counted",
    "settled-by-a-person": "says op: the outbox is empty",
    "undo-settled": "I looked",
}
"""Words that a history must hold, in whatever payload, to be the one that its scene means."""
ANSWERS = [
    ("completed", "admit"), ("completed", "rehearse"), ("completed", "preview"), ("completed", "acquire"),
    ("completed", "call"), ("aged-at-the-gate", "acquire"), ("quorum-signed", "acquire"), ("permit-renewed", "acquire"),
    ("undo-locked-and-unlocked", "recover"), ("undo-locked-and-unlocked", "look_at_undo"),
    ("undo-locked-and-unlocked", "compensate"), ("rolled-back", "compensate"),
]  # fmt: skip
"""The history and the activity whose first answer is tampered with."""


def document(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    return found


async def replays(recorded: dict[str, Any], keys: Keyring | None = KEYS, namespace: str = NAMESPACE) -> bool:
    history = WorkflowHistory.from_json(recorded["workflowId"], {"events": recorded["events"]})
    result = await replay.replayer(keys, namespace).replay_workflow(history, raise_on_replay_failure=False)
    return result.replay_failure is None


def answers(recorded: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield activity, task queue and payload of each answer."""
    asked = {event["eventId"]: event.get("activityTaskScheduledEventAttributes") for event in recorded["events"]}
    for event in recorded["events"]:
        if (answer := event.get("activityTaskCompletedEventAttributes")) is not None:
            question = asked[answer["scheduledEventId"]]
            (payload,) = answer["result"]["payloads"]
            yield question["activityType"]["name"], question["taskQueue"]["name"], payload


def test_every_way_is_there_and_ended_as_its_scene_says():
    assert {path.stem for path in FOLDER.glob("*.json")} == set(ENDS)
    for name, end in ENDS.items():
        assert end is None or document(name)["events"][-1]["eventType"] == end, name
    for name, words in SHOWS.items():
        assert any(words in text for text in _texts(document(name))), name


@pytest.mark.parametrize("name", ["aged-at-the-gate", "aged-without-a-worker", "entry-refused"])
def test_a_plan_that_asked_again_was_previewed_and_approved_twice(name):
    recorded = document(name)
    for asked in ("preview", "acquire"):
        assert sum(kind == asked for kind, _, _ in answers(recorded)) == 2
    approvals = [event for event in recorded["events"] if "workflowExecutionUpdateAcceptedEventAttributes" in event]
    assert len(approvals) == 2


def _texts(recorded: dict[str, Any]) -> list[str]:
    return [json.dumps(recorded), *_decoded(recorded)]


def test_they_are_what_no_older_history_is():
    queues = {name: {queue for _, queue, _ in answers(document(name))} for name in ENDS}
    live = {name for name, end in queues.items() if "airlock-live" in end}
    assert len(live) > 20
    assert all("airlock-permit" in queues[name] for name in live), "a plan made a call without a permit"
    undos = {name for name in ENDS if document(name)["workflowId"].startswith("undo-")}
    assert undos == {"undo-denied", "undo-locked-and-unlocked", "undo-settled", "undone-after-the-end"}
    for path in FOLDER.glob("*.json"):
        recorded = document(path.stem)
        proved = [payload for kind, _, payload in answers(recorded) if path.stem != "forged"]
        assert all("airlock-proof" in payload["metadata"] for payload in proved), path.name
        assert all(identity in ("recorded", "mallory", "", "history-service") for identity in _identities(recorded))
    admitted = [json.loads(text) for text in _decoded(document("completed")) if '"epoch":' in text]
    assert {each["epoch"] for text in admitted for each in [text.get("admitted") or text] if "epoch" in each} == {1}


@pytest.mark.parametrize("keys", [keyring("n", "k"), keyring("k", "o")], ids=["rotated", "with an older one"])
async def test_they_replay_after_a_rotation(keys):
    for name in ("completed", "quorum-signed", "undo-locked-and-unlocked", "settled-by-a-person", "continued-as-new-2"):
        assert await replays(document(name), keys), name


@pytest.mark.parametrize(("name", "kind"), ANSWERS)
async def test_one_answer_with_a_wrong_proof_does_not_pass(name, kind):
    changed, without = document(name), document(name)
    payload = next(payload for found, _, payload in answers(changed) if found == kind)
    proof = bytearray(base64.b64decode(payload["metadata"]["airlock-proof"]))
    proof[-1] ^= 1
    payload["metadata"]["airlock-proof"] = base64.b64encode(bytes(proof)).decode()
    del next(payload for found, _, payload in answers(without) if found == kind)["metadata"]["airlock-proof"]
    assert await replays(document(name))
    assert not await replays(changed)
    assert not await replays(without)


async def test_the_proof_of_another_answer_does_not_pass():
    """Both are proofs of a genuine worker, and of the same question in two runs."""
    recorded, other = document("undo-locked-and-unlocked"), document("undo-denied")
    payload = next(payload for kind, _, payload in answers(recorded) if kind == "recover")
    payload.update(next(payload for kind, _, payload in answers(other) if kind == "recover"))
    assert not await replays(recorded)


async def test_they_fit_neither_another_key_nor_another_namespace():
    for name in ("quorum-signed", "permit-renewed", "aged-at-the-gate", "undo-settled"):
        assert not await replays(document(name), keyring("x")), name
        assert not await replays(document(name), KEYS, "elsewhere"), name


def test_they_name_no_machine():
    forbidden = ("/home/", "/root/", "/work/", "/tmp/", "/Users/", "site-packages", '.py"')
    for path in FOLDER.glob("*.json"):
        found = [word for text in _texts(document(path.stem)) for word in forbidden if word in text]
        assert not found, (path.name, found)


def test_every_folder_is_one_that_a_test_replays():
    later = {replay.HISTORIES.parent / f"histories_epoch_{epoch}" for epoch in (3, 4, 5, 6, 7, 8, 9)}
    known = {replay.HISTORIES, replay.WITH_KEYS, FOLDER, *later, replay.FOLDER}
    assert {path for path in Path(replay.HISTORIES.parent).glob("histories*") if path.is_dir()} <= known
