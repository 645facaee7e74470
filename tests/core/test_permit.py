"""Permits: what the live role made verifies, and nothing else does."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airlock.base.keyring import Channel, Key, Keyring
from airlock.run.permit import Permits, Root, leaf_of
from tests.core.build import preview

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
ROOT = Root("ns", "plan-p", "run-1", "d" * 64, "p" * 64, NOW.isoformat(), "")
LEAF = {
    "tool": "write",
    "agent": "bot",
    "args": {"key": "a"},
    "contract": "c" * 64,
    "preview": preview("a", args={"key": "a"}),
}
LEAF |= {"dedupe_key": None, "undone": 0}


def permits(*letters: str, channel: Channel = Channel.LIVE) -> Permits:
    return Permits(Keyring(tuple(Key(channel, letter.encode() * 32) for letter in letters)))


LIVE = permits("L")
STRANGERS = [permits("M"), permits("L", channel=Channel.RUN), permits()]
"""Another live key, the orchestrators' key with the same secret, and no key."""


def changed(**fields: Any) -> Root:
    return Root(**(vars(ROOT) | fields))


def test_what_the_live_role_made_is_read_by_every_worker_with_its_key():
    for reader in (LIVE, permits("N", "L")):
        root = reader.read(LIVE.receipt(ROOT))
        assert root == ROOT
        entry = reader.read_entry(root, LIVE.entry(ROOT, "1", [("gate-live", 7)], NOW))
        assert entry is not None
        assert (entry.stay, entry.expires) == ("1", NOW)
        assert reader.fits(ROOT, "a", leaf_of(**LEAF), LIVE.tokens(ROOT, {"a": leaf_of(**LEAF)})["a"])


@pytest.mark.parametrize("stranger", STRANGERS)
def test_what_another_worker_made_is_not_read(stranger):
    assert LIVE.read(stranger.receipt(ROOT)) is None
    assert LIVE.read_entry(ROOT, stranger.entry(ROOT, "1", [], NOW)) is None
    assert not LIVE.fits(ROOT, "a", leaf_of(**LEAF), stranger.tokens(ROOT, {"a": leaf_of(**LEAF)}).get("a", ""))
    place = ("ns", "plan-p")
    assert not LIVE.is_of_output(place, "a", 0, 1, stranger.output_receipt(place, "a", 0, 1))


def test_a_receipt_with_another_field_is_not_read():
    text = json.loads(LIVE.receipt(ROOT))
    for position in range(len(text)):
        other = [*text[:position], text[position] + "x", *text[position + 1 :]]
        assert LIVE.read(json.dumps(other)) is None, position


@pytest.mark.parametrize("junk", ["", "x", "[]", "null", "1", '["permit/1"]', "[" * 500, json.dumps(["permit/1"] + [1] * 8)])
@pytest.mark.parametrize("reader", [LIVE, permits()])
def test_junk_is_not_read(junk, reader):
    assert reader.read(junk) is None
    assert reader.read_entry(ROOT, junk) is None


@pytest.mark.parametrize(
    "other",
    [
        {"namespace": "other"}, {"workflow_id": "plan-q"}, {"run_id": "run-2"}, {"digest": "e" * 64}, {"policy": "q" * 64},
        {"checked_at": ""}, {"until": NOW.isoformat()},
    ],
)  # fmt: skip
def test_tokens_and_passes_fit_one_root_only(other):
    token = LIVE.tokens(ROOT, {"a": leaf_of(**LEAF)})["a"]
    assert not LIVE.fits(changed(**other), "a", leaf_of(**LEAF), token)
    assert LIVE.read_entry(changed(**other), LIVE.entry(ROOT, "1", [], NOW)) is None


@pytest.mark.parametrize(
    "other",
    [
        {"tool": "order"}, {"agent": "bob"}, {"args": {"key": "b"}}, {"args": {}}, {"contract": "d" * 64}, {"undone": 1},
        {"dedupe_key": "k"}, {"preview": None}, {"preview": preview("a", args={"key": "b"})},
        {"preview": preview("a", args={"key": "a"}, observed=None)},
    ],
)  # fmt: skip
def test_a_token_fits_one_call_only(other):
    token = LIVE.tokens(ROOT, {"a": leaf_of(**LEAF)})["a"]
    assert not LIVE.fits(ROOT, "a", leaf_of(**LEAF | other), token)
    assert not LIVE.fits(ROOT, "b", leaf_of(**LEAF), token)


def test_a_receipt_of_an_output_fits_one_output_of_one_call_only():
    place = ("ns", "plan-p")
    receipt = LIVE.output_receipt(place, "a", 0, {"id": 1})
    assert LIVE.is_of_output(place, "a", 0, {"id": 1}, receipt)
    for other in [(("no", "plan-p"), "a", 0, {"id": 1}), (("ns", "plan-q"), "a", 0, {"id": 1}), (place, "b", 0, {"id": 1})]:
        assert not LIVE.is_of_output(*other, receipt)
    assert not LIVE.is_of_output(place, "a", 1, {"id": 1}, receipt)
    assert not LIVE.is_of_output(place, "a", 0, {"id": 2}, receipt)
    assert not LIVE.is_of_output(place, "a", 0, {"id": 1}, "")


def test_a_receipt_of_states_fits_what_one_call_left_and_is_no_receipt_of_an_output():
    place, states = ("ns", "plan-p"), {"flag:x": {"value": "on"}}
    receipt = LIVE.left_receipt(place, "a", 0, states)
    assert LIVE.is_of_left(place, "a", 0, states, receipt)
    assert not LIVE.is_of_left(("ns", "plan-q"), "a", 0, states, receipt)
    assert not LIVE.is_of_left(place, "b", 0, states, receipt)
    assert not LIVE.is_of_left(place, "a", 1, states, receipt)
    assert not LIVE.is_of_left(place, "a", 0, {"flag:x": {"value": "off"}}, receipt)
    assert not LIVE.is_of_left(place, "a", 0, states, LIVE.output_receipt(place, "a", 0, states))
    assert not LIVE.is_of_output(place, "a", 0, states, receipt)


def test_without_a_key_the_texts_remind_and_prove_nothing():
    keyless = permits()
    assert not keyless.proven
    assert keyless.read(keyless.receipt(ROOT)) == ROOT
    later = NOW + timedelta(hours=1)
    entry = keyless.read_entry(ROOT, keyless.entry(ROOT, "2", [], later))
    assert entry is not None
    assert entry.expires == later
    assert keyless.tokens(ROOT, {"a": "x"}) == {}
    assert keyless.output_receipt(("ns", "plan-p"), "a", 0, 1) == ""
