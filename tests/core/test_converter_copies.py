"""Copies of the data converter for each workflow and activity: what they share, and what they must not."""

from datetime import UTC, datetime

import pytest
from temporalio.converter import ActivitySerializationContext, DataConverter, WorkflowSerializationContext

from airlock.base.keyring import Demands
from airlock.temporal.connection import data_converter
from airlock.temporal.proof_converter import ProofConverter, _Question
from airlock.temporal.safe_converter import SafeDataConverter

WORKFLOW = WorkflowSerializationContext(namespace="default", workflow_id="plan-a")
ACTIVITY = ActivitySerializationContext(
    namespace="default", workflow_id="plan-a", workflow_type="plan", activity_id="a:live", activity_type="call",
    activity_task_queue="airlock-live", is_local=False,
)  # fmt: skip


@pytest.mark.parametrize("context", [WORKFLOW, ACTIVITY])
def test_a_copy_has_the_parts_that_the_sdk_would_give_it(context):
    base = data_converter()
    ours, theirs = base.with_context(context), DataConverter.with_context(base, context)
    assert type(ours) is type(theirs) is SafeDataConverter
    assert vars(ours).keys() - {"_few"} == vars(theirs).keys()
    assert ours.payload_codec == theirs.payload_codec
    assert ours.payload_codec.context == context
    assert base.payload_codec.context is None
    for made in (ours, theirs):
        assert made.payload_converter._inner_payload_converter._context == context
    assert base.payload_converter._inner_payload_converter._context is None


def test_two_workflow_instances_share_no_question():
    demands = Demands()
    first, second = ProofConverter(demands).fresh(), ProofConverter(demands).fresh()
    third = first.fresh()
    first._questions.latest["a:live"] = _Question("1:1", datetime.now(UTC))
    first._questions.times["a:live"] = 1
    for other in (second, third):
        assert not other._questions.latest
        assert not other._questions.times
    # but every copy for a context of the first asks and hears for it
    assert first.with_context(ACTIVITY)._questions is first._questions


def test_instances_of_one_worker_share_what_is_dear_to_make():
    made = data_converter().payload_converter_class
    assert made().converters is made().converters
    assert made()._questions is not made()._questions
