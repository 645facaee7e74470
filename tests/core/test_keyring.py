"""Keys: parsed strictly, never shown, and a proof fits one text under one key of one channel."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airlock.base.keyring import (
    FORMAT,
    SECRET_BYTES,
    Channel,
    Demands,
    Key,
    Keyring,
    KeyringError,
    key_line,
    keyring_text,
    parse_keyring,
)

NOW = datetime(2028, 12, 1, 12, tzinfo=UTC)
SECRET = bytes(range(32))
SECRETS = st.binary(min_size=SECRET_BYTES, max_size=SECRET_BYTES)


def ring(*letters: str) -> Keyring:
    return Keyring(tuple(Key(Channel.RUN, letter.encode() * 32) for letter in letters))


@given(run=SECRETS, live=SECRETS, demanded=st.booleans())
def test_what_is_written_is_what_is_read(run, live, demanded):
    text = keyring_text({Channel.RUN: run, Channel.LIVE: live}, NOW, NOW if demanded else None)
    read = parse_keyring(text)
    assert [(key.channel, key.secret, key.signs_since) for key in read.keys] == [
        (Channel.RUN, run, NOW), (Channel.LIVE, live, NOW),
    ]  # fmt: skip
    assert read.demanded == (NOW if demanded else None)


def test_comments_blank_lines_and_revocations_are_read():
    line = key_line(Channel.RUN, SECRET, NOW)
    text = f"# ours\n\n{FORMAT}\n{line}  # made by hand\nrevoked abc123abc123 2028-12-24T00:00:00Z\n"
    read = parse_keyring(text)
    assert read.revoked == (("abc123abc123", datetime(2028, 12, 24, tzinfo=UTC)),)
    assert [key.secret for key in read.keys] == [SECRET]


GOOD = key_line(Channel.RUN, SECRET, NOW).split()[1]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("run short", "line 2: a secret is 32 bytes"),
        (f"run {GOOD}!", "line 2: a secret is 32 bytes"),
        (f"run {GOOD}AAAA", "line 2: a secret is 32 bytes"),
        (f"walk {GOOD}", "line 2 cannot be understood"),
        (f"run {GOOD} yesterday", "line 2: write the time"),
        (f"run {GOOD} 2028-12-01T12:00:00", "line 2: write the time"),
        (f"run {GOOD} 2028-12-01T12:00:00Z more", "line 2 cannot be understood"),
        ("demanded soon", "line 2: write the time"),
        (f"run {GOOD}\nrun {GOOD}", "stands there twice"),
        ("demanded 2028-12-01T12:00:00Z\ndemanded 2028-12-01T12:00:00Z", "line 3 cannot be understood"),
        ("revoked abc", "line 2 cannot be understood"),
        ("# nothing", "holds no key"),
    ],
)
def test_a_line_that_cannot_be_understood_is_named_and_no_secret_is_shown(line, said):
    with pytest.raises(KeyringError, match=said) as caught:
        parse_keyring(f"{FORMAT}\n{line}\n")
    assert GOOD not in str(caught.value)


@pytest.mark.parametrize("text", ["", "airlock-keys/2\n", f"run {GOOD}\n{FORMAT}\n"])
def test_the_format_stands_first(text):
    with pytest.raises(KeyringError, match="first line"):
        parse_keyring(text)


def test_neither_a_key_nor_a_keyring_shows_a_secret():
    for shown in (repr(ring("s").keys[0]), repr(ring("s")), str(ring("s").demands)):
        assert "sss" not in shown


def test_one_secret_has_another_id_in_each_channel():
    ids = {Key(channel, SECRET).id for channel in Channel}
    assert len(ids) == 3
    assert all(len(one) == 12 for one in ids)


@given(text=st.binary(), other=st.binary())
def test_a_proof_fits_its_text_alone(text, other):
    proof = ring("k").sign(Channel.RUN, text)
    assert proof is not None
    assert (ring("k").check(Channel.RUN, other, proof) == "") is (text == other)
    assert ring("new", "k").check(Channel.RUN, text, proof) == ""
    assert "no key" in ring("x").check(Channel.RUN, text, proof)
    assert "no key" in ring("k").check(Channel.LIVE, text, proof)


@given(st.text())
def test_any_text_as_a_proof_is_refused_without_raising(proof):
    assert ring("k").check(Channel.RUN, b"text", proof) != ""
    assert ring("k").check(Channel.RUN, b"text", f"{ring('k').keys[0].id}.{proof}") != ""


def test_the_first_key_signs_and_without_one_nothing_is_signed():
    proof = ring("new", "old").sign(Channel.RUN, b"text")
    assert proof is not None
    assert proof.startswith(ring("new").keys[0].id)
    assert Keyring().sign(Channel.RUN, b"text") is None


def test_what_is_demanded_begins_at_a_moment_and_only_where_there_is_a_key():
    demands = Keyring(ring("k").keys, NOW).demands
    assert demands.due(Channel.RUN, NOW)
    assert not demands.due(Channel.RUN, NOW - timedelta(seconds=1))
    assert not demands.due(Channel.REHEARSE, NOW)
    assert not ring("k").demands.due(Channel.RUN, NOW)
    assert not Demands().due(Channel.RUN, NOW)


def test_a_revoked_key_proves_what_was_asked_before():
    demands = Demands(revoked=(("abc", NOW),))
    assert not demands.revokes("abc", NOW)
    assert demands.revokes("abc", NOW + timedelta(seconds=1))
    assert not demands.revokes("abd", NOW + timedelta(seconds=1))
