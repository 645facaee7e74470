"""Histories replay whatever keys a worker has: those from before there were keys, and those recorded with some."""

import base64
import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from airlock.base.keyring import Keyring
from airlock.temporal.connection import data_converter
from tests.replay import replay
from tests.replay.replay import KEYS, NAMESPACE
from tests.workflows.protected import LONG_AGO, keyring

BEFORE_KEYS = sorted(replay.HISTORIES.glob("*.json"))
WITH_KEYS = sorted(replay.WITH_KEYS.glob("*.json"))
NOW = datetime.now(UTC)


async def failures(paths: list[Path], keys: Keyring | None, namespace: str = NAMESPACE) -> dict[str, str]:
    found = {}
    for path in paths:
        replayer = replay.replayer(keys, namespace)
        result = await replayer.replay_workflow(replay.read(path), raise_on_replay_failure=False)
        if result.replay_failure is not None:
            found[path.stem] = str(result.replay_failure)
    return found


@pytest.mark.parametrize(
    "keys",
    [
        keyring("k", demanded=NOW),
        keyring("new", "k", demanded=NOW),
        keyring("k", demanded=None),
    ],
    ids=["demanded from now", "rotated", "made and not demanded"],
)
async def test_histories_from_before_there_were_keys_replay_with_them(keys):
    assert len(BEFORE_KEYS) == 31
    assert await failures(BEFORE_KEYS, keys) == {}


async def test_a_key_that_claims_to_be_older_than_a_history_does_not_replay_it():
    """The tests above would pass even if nothing was checked; this one would not."""
    assert len(await failures(BEFORE_KEYS[:6], keyring("k", demanded=LONG_AGO))) >= 4


@pytest.mark.parametrize(
    "keys", [KEYS, keyring("n", "k"), keyring("k", "o")], ids=["its keys", "rotated", "with an older one"]
)
async def test_histories_with_proofs_replay_with_their_keys_also_after_a_rotation(keys):
    assert {path.stem for path in WITH_KEYS} == {"completed", "forged", "rehearsed-twice", "gate-live"}
    assert await failures(WITH_KEYS, keys) == {}


async def test_without_keys_only_a_history_in_which_something_was_refused_does_not_replay():
    assert set(await failures(WITH_KEYS, None)) == {"forged"}


async def test_proofs_fit_neither_another_key_nor_another_namespace():
    plans = [path for path in WITH_KEYS if path.stem != "gate-live"]  # the gate asked no activity
    for keys, namespace in ((keyring("x"), NAMESPACE), (KEYS, "elsewhere")):
        assert set(await failures(plans, keys, namespace)) == {path.stem for path in plans}


async def test_a_key_that_was_revoked_before_the_question_proves_nothing():
    revoked = Keyring(KEYS.keys, KEYS.demanded, tuple((key.id, LONG_AGO) for key in KEYS.keys))
    later = Keyring(KEYS.keys, KEYS.demanded, tuple((key.id, NOW) for key in KEYS.keys))
    (path,) = [path for path in WITH_KEYS if path.stem == "completed"]
    assert await failures([path], later) == {}
    assert set(await failures([path], revoked)) == {"completed"}


def _stamped(value: Any) -> int:
    if isinstance(value, dict):
        here = int("airlock-proof" in value.get("metadata", {})) if isinstance(value.get("metadata", {}), dict) else 0
        return here + sum(_stamped(inner) for inner in value.values())
    return sum(_stamped(inner) for inner in value) if isinstance(value, list) else 0


def test_the_recorded_histories_hold_proofs_and_name_no_machine():
    for path in WITH_KEYS:
        text = path.read_text(encoding="utf-8")
        assert _stamped(json.loads(text)) > 0, path.name
        assert not re.search(r"/home/|/root/|/work/|/tmp/|site-packages|\d@\w", text), path.name
    assert data_converter(KEYS).payload_codec is not None
    assert base64.b64encode(KEYS.keys[0].secret).decode() not in text
