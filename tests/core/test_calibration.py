"""Calibration, fidelity and intervals: numbers computed by hand or published, and what holds for any numbers."""

from math import erf, sqrt

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from airlock.admission.reliability import PRIOR_CALLS, calibrated_confidence
from airlock.base.proportion import certainty, wilson
from airlock.monitoring.aggregation import Aggregate, ToolStats
from airlock.monitoring.calibration import calibration, fidelities, fidelity_of
from airlock.monitoring.observation import ObservedCall, observe
from tests.core.counting import aggregates, call, calls, live


@st.composite
def observations(draw: st.DrawFn) -> tuple[int, int]:
    """So many of so many."""
    number = draw(st.integers(0, 500))
    return draw(st.integers(0, number)), number


# Wilson intervals.


@pytest.mark.parametrize(
    ("hits", "number", "low", "high"),
    [
        # Newcombe, "Two-sided confidence intervals for the single proportion: comparison of seven methods", Statistics in
        # Medicine 17 (1998), table I, method 3
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_as_published(hits: int, number: int, low: float, high: float) -> None:
    found = wilson(hits, number)
    assert (round(found.low, 4), round(found.high, 4)) == (low, high)


def test_nothing_observed_is_nothing_known() -> None:
    assert wilson(0, 0).model_dump() == {"low": 0.0, "high": 1.0}
    assert certainty(0, 0, 0.5) == 0.0


@given(observations(), st.floats(0.5, 4.0))
def test_an_interval_holds_what_was_observed_and_mirrors(observed: tuple[int, int], z: float) -> None:
    hits, number = observed
    found, mirrored = wilson(hits, number, z), wilson(number - hits, number, z)
    assert 0.0 <= found.low <= found.high <= 1.0
    assert found.low == pytest.approx(1 - mirrored.high)
    if number:
        assert found.low <= hits / number <= found.high


@given(observations(), st.floats(0.01, 0.99))
def test_certainty_is_the_level_at_which_the_interval_ends_at_the_reference(
    observed: tuple[int, int], reference: float
) -> None:
    hits, number = observed
    assume(number > 0)
    z = abs(hits / number - reference) / sqrt(reference * (1 - reference) / number)
    assume(0.01 < z < 5)
    assert certainty(hits, number, reference) == pytest.approx(erf(z / sqrt(2)))
    ends = wilson(hits, number, z)
    assert reference == pytest.approx(ends.low if hits / number > reference else ends.high, abs=1e-6)


@pytest.mark.parametrize(("hits", "number"), [(2, 1), (-1, 3)])
def test_what_is_no_share_is_refused(hits: int, number: int) -> None:
    with pytest.raises(ValueError, match="is not a share"):
        wilson(hits, number)
    with pytest.raises(ValueError, match="is not a share"):
        certainty(hits, number, 0.5)


@pytest.mark.parametrize("reference", [0.0, 1.0, 1.2])
def test_a_reference_without_doubt_is_refused(reference: float) -> None:
    with pytest.raises(ValueError, match="is not between 0 and 1"):
        certainty(1, 2, reference)


# Calibration.


def test_calibration_by_hand() -> None:
    facts = live(3, 4, confidence=0.9) + live(1, 2, confidence=0.75)
    found = calibration(facts.confidence)
    # errors squared: 3 * 0.01 + 0.81, and 0.0625 + 0.5625
    assert found.brier == pytest.approx((0.84 + 0.625) / 6)
    # |0.9 - 0.75| * 4/6 + |0.75 - 0.5| * 2/6
    assert found.expected_error == pytest.approx((0.15 * 4 + 0.25 * 2) / 6)
    row = found.table[9]
    assert (row.low, row.high, row.calls, row.stated, row.observed) == (0.9, 1.0, 4, pytest.approx(0.9), 0.75)
    assert [row.calls for row in found.table] == [0, 0, 0, 0, 0, 0, 0, 2, 0, 4]
    assert found.table[0].observed is None
    assert found.table[0].interval is None


def test_without_calls_there_is_no_calibration() -> None:
    found = calibration({})
    assert (found.calls, found.brier, found.expected_error) == (0, None, None)
    assert len(found.table) == 10


@given(st.lists(calls, max_size=40))
def test_calibration_is_what_the_definitions_say(found: list[ObservedCall]) -> None:
    of_live = [each for each in found if each.mode == "LIVE"]
    assume(of_live)
    result = calibration(observe(found).confidence)
    assert result.brier == pytest.approx(sum((each.confidence - each.ok) ** 2 for each in of_live) / len(of_live), abs=2e-6)
    gaps = 0.0
    for number in range(10):
        mine = [each for each in of_live if number <= round(each.confidence * 1_000) // 100 < number + 1 + (number == 9)]
        gaps += abs(sum(each.confidence for each in mine) - sum(each.ok for each in mine))
    assert result.expected_error == pytest.approx(gaps / len(of_live), abs=2e-6)


@given(aggregates(), aggregates())
def test_calibration_of_shards_is_that_of_the_whole(one: Aggregate, other: Aggregate) -> None:
    assert calibration((one + other).confidence) == calibration((other + one).confidence)
    assert calibration((one + other).confidence).calls == sum(
        bucket.calls for side in (one, other) for bucket in side.confidence.values()
    )


# Fidelity of dry runs.


def test_fidelity_counts_only_previews_that_predicted_something() -> None:
    facts = observe(
        [
            *(call(tool="true", matched=True) for _ in range(9)),
            call(tool="true", matched=False),
            *(call(tool="false", matched=index < 1) for index in range(4)),
            *(call(tool="silent") for _ in range(5)),
        ]
    )
    assert [(each.tool, each.matched, each.compared, each.share) for each in fidelities(facts)] == [
        ("false", 1, 4, 0.25),
        ("true", 9, 10, 0.9),
    ]
    assert fidelity_of("silent", facts.tool("silent")) is None
    one = fidelity_of("true", ToolStats(matched=1))
    assert one is not None
    assert one.share == 1.0
    assert one.interval.low < 0.3, "one match proves little"


# Confidence shrunk by experience.


@pytest.mark.parametrize(
    ("confidence", "ok", "number", "expected"),
    [
        (0.95, 0, 0, 0.95),
        (0.95, 95, 100, 0.95),
        (0.95, 100, 100, 0.95),
        # 20 stated and 20 observed calls: the mean of 0.9 and 0
        (0.9, 0, 20, 0.45),
        # 18 of 20 stated calls and 60 of 100 observed ones: 78 of 120
        (0.9, 60, 100, 0.65),
        (1.0, 1, 2, 21 / 22),
        (0.0, 5, 5, 0.0),
    ],
)
def test_calibrated_confidence_by_hand(confidence: float, ok: int, number: int, expected: float) -> None:
    assert calibrated_confidence(confidence, ok, number) == pytest.approx(expected)


@given(st.floats(0.0, 1.0), observations())
def test_confidence_is_never_raised_and_stays_between_statement_and_experience(
    confidence: float, observed: tuple[int, int]
) -> None:
    ok, number = observed
    found = calibrated_confidence(confidence, ok, number)
    assert 0.0 <= found <= confidence
    if number:
        assert found >= min(confidence, ok / number) - 1e-12
    if number > 0 and ok < number:
        assert found <= calibrated_confidence(confidence, ok + 1, number)
        assert found <= calibrated_confidence(min(1.0, confidence + 0.1), ok, number)


def test_with_much_experience_experience_decides() -> None:
    assert calibrated_confidence(0.95, 30_000, 60_000) == pytest.approx(0.5, abs=0.001)
    assert calibrated_confidence(0.95, PRIOR_CALLS // 2, PRIOR_CALLS) == pytest.approx((0.95 + 0.5) / 2)


@pytest.mark.parametrize(("confidence", "ok", "number"), [(1.1, 0, 0), (-0.1, 0, 0), (0.5, 2, 1), (0.5, -1, 1)])
def test_out_of_range_is_refused(confidence: float, ok: int, number: int) -> None:
    with pytest.raises(ValueError, match="out of range"):
        calibrated_confidence(confidence, ok, number)
