"""The size at which a message can be stored: what is within the limit as text is not compressed."""

import random

import pytest

from airlock.run.presentation.views import PlanResult, plan_result
from airlock.run.stored import MAX_STORED, storable, stored_size, too_large
from tests.core.build import live_run, plan, step


def result(**outputs: object) -> PlanResult:
    return plan_result(live_run(plan(step("a")))).model_copy(update={"outputs": outputs})


def noise(size: int) -> str:
    """Text that does not compress well."""
    return random.Random(7).randbytes(size // 2).hex()


def test_a_text_that_compresses_well_is_small() -> None:
    large = result(a="x" * 5_000_000)
    assert stored_size(large, MAX_STORED) < 20_000
    assert storable(large) == large


def test_a_small_message_has_the_size_of_its_text() -> None:
    small = result(a="x" * 1_000)
    assert stored_size(small, 10) == len(small.model_dump_json().encode())


@pytest.mark.parametrize(("limit", "fits"), [(10_000_000, True), (500_000, False)])
def test_what_is_too_large_says_both_sizes(limit: int, fits: bool) -> None:
    said = too_large(result(a=noise(2_000_000)), limit, "outputs are too large")
    assert (said == "") is fits
    if not fits:
        assert said.startswith("outputs are too large: ")
        assert "more than the 500,000 that a run may have; split the plan" in said


def test_a_result_that_is_too_large_loses_its_outputs_and_then_its_texts() -> None:
    heavy = result(a=noise(9_000_000))
    kept = storable(heavy)
    assert (kept.outputs, kept.steps) == ({}, heavy.steps)
    (one,) = heavy.steps
    worse = heavy.model_copy(update={"steps": (one.model_copy(update={"error": noise(9_000_000), "reasons": ("why",)}),)})
    (bare,) = storable(worse).steps
    assert (len(bare.error), bare.reasons, bare.id) == (80, (), one.id)
