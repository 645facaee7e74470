"""The times at which an activity sends heartbeats."""

import pytest

from airlock.activities.heartbeat import SILENCES, Beats

INTERVAL = 2.0


def sent_at(stored: list[float], until: float) -> list[float]:
    """Return the times of the clock's heartbeats until a time, if records were stored at these times."""
    beats, sent, stored = Beats(0.0), [], [*stored, until]
    for record in stored:
        while (due := beats.due(INTERVAL)) <= record:
            sent.append(due)
            beats.give(due)
        beats.store(record)
    return sent


@pytest.mark.parametrize(
    ("stored", "until", "expected"),
    [
        ([], 1.9, []),
        ([], 6.5, [2.0, 4.0, 6.0]),
        ([1.5, 3.0, 4.5], 5.5, []),
        ([1.5], 6.0, [3.5, 5.5]),
    ],
    ids=["short", "one long call", "a record makes the next heartbeat needless", "a record, then a long call"],
)
def test_the_clock_sends_a_heartbeat_only_after_an_interval_without_one(stored, until, expected):
    assert sent_at(stored, until) == expected


def test_the_sdk_gets_a_heartbeat_of_its_own_however_many_records_go_out():
    records = [float(second) for second in range(1, 20)]
    sent = sent_at(records, 20.0)
    assert sent == [SILENCES * INTERVAL * number for number in range(1, 4)]


def test_records_are_sent_directly_alone_until_the_sdk_was_given_a_heartbeat():
    beats = Beats(0.0)
    beats.store(1.0)
    assert not beats.given
    beats.give(2.0)
    assert beats.given
