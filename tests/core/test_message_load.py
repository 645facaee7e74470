"""The load of signals in one moment: which are decoded, which are not, and that a replay leaves the same ones."""

import zlib

import pytest
from temporalio.api.common.v1 import Payload
from temporalio.bridge.proto.workflow_activation import WorkflowActivation
from temporalio.bridge.proto.workflow_completion import WorkflowActivationCompletion

from airlock.base.incoming import LIGHT, TOO_MUCH
from airlock.temporal.codec import undecodable
from airlock.temporal.converter import MAX_MESSAGE_BYTES
from airlock.temporal.message_load import FLAG, LIGHT_BYTES, READ_BYTES, MessageLoad, mark

LOCK = Payload(metadata={"encoding": b"json/plain"}, data=b'{"by": "op", "reason": "stop"}')
PLAIN = Payload(metadata={"encoding": b"json/plain"}, data=b'"' + b"x" * 499_998 + b'"')
SMALL = Payload(metadata={"encoding": b"binary/airlock-zlib"}, data=zlib.compress(PLAIN.SerializeToString(), 9))
UNREAD = undecodable(TOO_MUCH)
FEW = READ_BYTES // MAX_MESSAGE_BYTES


LARGE = Payload(metadata={"encoding": b"json/plain"}, data=b'"' + b"x" * 20_000_000 + b'"')


def activation(
    *signals: Payload, second: int = 1, replaying: bool = False, flags: tuple[int, ...] = ()
) -> WorkflowActivation:
    act = WorkflowActivation(is_replaying=replaying, available_internal_flags=flags)
    act.timestamp.seconds = second
    for payload in signals:
        act.jobs.add().signal_workflow.input.append(payload)
    return act


def left(act: WorkflowActivation) -> int:
    return sum(list(job.signal_workflow.input) == [UNREAD] for job in act.jobs)


@pytest.mark.parametrize("heavy", [PLAIN, SMALL], ids=["plain", "compressed"])
def test_so_many_heavy_signals_are_decoded_in_one_moment_and_no_more(heavy: Payload) -> None:
    load, act = MessageLoad(), activation(*[heavy] * 100)
    assert load.lighten(act)
    assert left(act) == 100 - FEW
    assert [list(job.signal_workflow.input) for job in act.jobs[:FEW]] == [[heavy]] * FEW


def test_a_part_of_the_same_task_has_the_same_moment_and_a_later_task_another() -> None:
    load = MessageLoad()
    assert not load.lighten(activation(*[PLAIN] * FEW))
    assert load.lighten(part := activation(PLAIN, LOCK))
    assert left(part) == 1
    assert not load.lighten(activation(*[PLAIN] * FEW, second=2))


def test_a_light_signal_is_decoded_whatever_else_arrives() -> None:
    light = Payload(metadata={"encoding": b"json/plain"}, data=b" " * LIGHT_BYTES)
    act = activation(*[SMALL] * 50, *[light] * 500, LOCK)
    assert MessageLoad().lighten(act)
    assert left(act) == 50 - FEW


@pytest.mark.parametrize(
    "data", [b"[[]" + b",[]" * LIGHT + b"]", b'{"a":{}' + b',"a":{}' * LIGHT + b"}", b" " * (LIGHT_BYTES + 1)]
)
def test_what_becomes_many_lists_or_is_longer_is_not_light(data: bytes) -> None:
    act = activation(*[SMALL] * FEW, Payload(metadata={"encoding": b"json/plain"}, data=data))
    assert MessageLoad().lighten(act)
    assert left(act) == 1


def test_a_signal_that_is_refused_for_its_size_takes_no_part_of_what_is_read() -> None:
    act = activation(LARGE, LARGE, *[PLAIN] * FEW)
    assert not MessageLoad().lighten(act)


def test_a_signal_of_many_values_has_the_weight_of_all() -> None:
    act = activation(*[PLAIN] * FEW)
    act.jobs.add().signal_workflow.input.extend([LOCK] * 20_000)
    assert MessageLoad().lighten(act)


def test_what_is_no_signal_is_left_alone() -> None:
    act = activation(*[PLAIN] * FEW)
    act.jobs.add().do_update.input.append(PLAIN)
    act.jobs.add().initialize_workflow.arguments.append(PLAIN)
    act.jobs.add().query_workflow.arguments.append(PLAIN)
    assert not MessageLoad().lighten(act)


@pytest.mark.parametrize(("replaying", "flags", "expected"), [(False, (), True), (True, (), False), (True, (1, FLAG), True)])
def test_a_history_in_which_everything_was_decoded_is_replayed_so(
    replaying: bool, flags: tuple[int, ...], expected: bool
) -> None:
    act = activation(*[PLAIN] * 20, replaying=replaying, flags=flags)
    assert MessageLoad().lighten(act) is expected
    assert (left(act) > 0) is expected


def test_a_moment_that_two_tasks_share_has_one_load_also_in_a_replay() -> None:
    """The server's clock may stand still, from one host to another: nothing was left in the first task."""
    for replaying in (False, True):
        load = MessageLoad()
        assert not load.lighten(activation(*[PLAIN] * FEW, replaying=replaying))
        assert load.lighten(later := activation(PLAIN, replaying=replaying, flags=(FLAG,) if replaying else ()))
        assert left(later) == 1


def test_only_an_answer_that_temporal_records_gets_the_mark() -> None:
    good, bad = WorkflowActivationCompletion(), WorkflowActivationCompletion()
    good.successful.SetInParent()
    bad.failed.SetInParent()
    for answer in (good, bad):
        mark(answer)
    assert list(good.successful.used_internal_flags) == [FLAG]
    assert not bad.HasField("successful")
