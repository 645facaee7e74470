"""Health: numbers computed by hand, and what holds for any numbers."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airlock.admission.conflicts.conflict import ConflictKind
from airlock.gates.protocol import AnomalyKind
from airlock.monitoring.aggregation import Aggregate, Decision
from airlock.monitoring.anomaly import MIN_CALLS, MIN_PLANS, anomalies
from airlock.monitoring.health import WEIGHTS, Parts, Tier, health_of, score_of, tier_of, worst_tools
from airlock.monitoring.observation import observe
from airlock.monitoring.rolling import Window, Windows, merge
from airlock.plans.contract import Mode
from tests.core.counting import AT, aggregates, call, counted, live, report

PERFECT = Parts(success=1.0, rollback=0.0, conflict=0.0, drift=0.0, approval_accuracy=1.0)
WORST = Parts(success=0.0, rollback=1.0, conflict=1.0, drift=1.0, approval_accuracy=0.0)


@pytest.mark.parametrize(
    ("parts", "value", "tier"),
    [
        ((1.0, 0.0, 0.0, 0.0, 1.0), 100.0, Tier.EXCELLENT),
        ((0.0, 1.0, 1.0, 1.0, 0.0), 0.0, Tier.POOR),
        # 30 + 15 + 15 + 10 + 0.30*66.67: 70 + 20
        ((1.0, 0.0, 0.0, 0.0, 2 / 3), 90.0, Tier.EXCELLENT),
        # 0.9*30 + 0.8*15 + 0.7*15 + 0.95*10 + 0.85*30 = 27 + 12 + 10.5 + 9.5 + 25.5
        ((0.9, 0.2, 0.3, 0.05, 0.85), 84.5, Tier.GOOD),
        # 0.75*30 + 0.75*15 + 0.75*15 + 0.75*10 + 0.75*30
        ((0.75, 0.25, 0.25, 0.25, 0.75), 75.0, Tier.GOOD),
        # 0.6*30 + 0.6*15 + 0.6*15 + 0.6*10 + 0.6*30
        ((0.6, 0.4, 0.4, 0.4, 0.6), 60.0, Tier.FAIR),
        # 0.5*30 + 0.5*15 + 0.5*15 + 0.9*10 + 0.4*30 = 15 + 7.5 + 7.5 + 9 + 12
        ((0.5, 0.5, 0.5, 0.1, 0.4), 51.0, Tier.POOR),
        # out of range is clamped: 30 + 0 + 15 + 10 + 30
        ((1.7, 1.4, -0.2, 0.0, 1.0), 85.0, Tier.GOOD),
    ],
)
def test_the_score_by_hand(parts: tuple[float, ...], value: float, tier: Tier) -> None:
    score = score_of(Parts(**dict(zip(WEIGHTS, parts, strict=True))))
    assert score is not None
    assert score.value == score.low == score.high == pytest.approx(value)
    assert score.tier is tier


@pytest.mark.parametrize(
    ("missing", "low", "high"),
    [
        ({"approval_accuracy"}, 70.0, 100.0),
        ({"rollback", "approval_accuracy"}, 55.0, 100.0),
        ({"conflict"}, 85.0, 100.0),
        ({"rollback", "conflict", "drift", "approval_accuracy"}, 30.0, 100.0),
    ],
)
def test_without_data_a_part_counts_half_and_the_score_says_how_far_off_it_may_be(
    missing: set[str], low: float, high: float
) -> None:
    score = score_of(PERFECT.model_copy(update=dict.fromkeys(missing)))
    assert score is not None
    assert (score.low, score.value, score.high) == (low, (low + high) / 2, high)
    worst = score_of(WORST.model_copy(update=dict.fromkeys(missing)))
    assert worst is not None
    assert (worst.low, worst.high) == (0.0, pytest.approx(100.0 - low))


def test_without_data_on_success_there_is_no_score() -> None:
    assert score_of(PERFECT.model_copy(update={"success": None})) is None
    assert score_of(Parts()) is None


@pytest.mark.parametrize(
    ("score", "tier"),
    [
        (100, Tier.EXCELLENT), (90, Tier.EXCELLENT), (89.99, Tier.GOOD), (75, Tier.GOOD), (74.99, Tier.FAIR),
        (60, Tier.FAIR), (59.99, Tier.POOR), (0, Tier.POOR),
    ],
)  # fmt: skip
def test_tiers(score: float, tier: Tier) -> None:
    assert tier_of(score) is tier


part = st.none() | st.floats(-0.5, 1.5)
all_parts = st.builds(Parts, success=st.floats(-0.5, 1.5), rollback=part, conflict=part, drift=part, approval_accuracy=part)


@given(all_parts)
def test_the_score_is_in_range_and_never_100_where_data_is_missing(parts: Parts) -> None:
    score = score_of(parts)
    assert score is not None
    assert 0.0 <= score.low <= score.value <= score.high <= 100.0
    if None in parts.model_dump().values():
        assert score.value <= 95.0
        assert score.low < score.high


@given(all_parts, st.sampled_from(sorted(WEIGHTS)), st.floats(0.0, 1.0), st.floats(0.0, 1.0))
def test_the_score_is_monotone_in_each_part(parts: Parts, name: str, one: float, other: float) -> None:
    worse, better = sorted((one, other), reverse=name in ("rollback", "conflict", "drift"))
    before = score_of(parts.model_copy(update={name: worse}))
    after = score_of(parts.model_copy(update={name: better}))
    assert before is not None
    assert after is not None
    assert before.value <= after.value
    assert before.low <= after.low
    assert before.high <= after.high
    if abs(one - other) > 0.01:
        assert before.value < after.value


def test_the_eight_metrics_by_hand() -> None:
    facts = observe(
        [
            *(call(index < 8, "a", 0.9, seconds=1.0) for index in range(10)),
            *(call(index < 1, "b", 0.8, seconds=4.0) for index in range(2)),
            *(call(mode=Mode.MOCK) for _ in range(20)),
            *(call(index < 7, mode=Mode.DRY_RUN) for index in range(8)),
        ]
    ) + Aggregate(
        rehearsals=10,
        conflicted=3,
        ended_live=8,
        rolled_back=2,
        clean=5,
        decided={Decision.APPROVED: 6, Decision.WAIVED: 2, Decision.DENIED: 1, Decision.EXPIRED: 1},
    )
    health = health_of(facts)
    metrics = health.metrics
    assert metrics.tool_success_rate == 9 / 12, "mocks and dry runs say nothing about success"
    assert metrics.rollback_frequency == 2 / 8
    assert metrics.conflict_rate == 3 / 10
    assert metrics.live_execution_ratio == 12 / 40
    # stated: (10*0.9 + 2*0.8) / 12 = 10.6 / 12, observed 9 / 12
    assert metrics.confidence_drift == pytest.approx(1.6 / 12)
    assert metrics.approval_rate == 6 / 8, "what the policy waived nobody approved"
    assert health.approval_accuracy == 5 / 8
    assert metrics.execution_latency_ms is not None
    # of the 9 that worked 8 took 1 s; the 95 % rank of nine is the eighth of them
    assert metrics.execution_latency_ms.p50 == pytest.approx(1_000, rel=0.05)
    assert metrics.execution_latency_ms.p95 == pytest.approx(1_000, rel=0.05)
    # 0.75*30 + 0.75*15 + 0.7*15 + (1 - 0.13333)*10 + 0.625*30 = 22.5 + 11.25 + 10.5 + 8.66667 + 18.75
    assert metrics.system_health_score == 71.67
    assert health.score is not None
    assert health.score.tier is Tier.FAIR
    assert health.samples.model_dump() == {"calls": 12, "rehearsals": 10, "ended_live": 8, "decisions": 8}


def test_no_data_is_no_data() -> None:
    health = health_of(Aggregate())
    assert set(health.metrics.model_dump().values()) == {None}
    assert health.score is None
    assert health.approval_accuracy is None
    rehearsed = health_of(observe([call(mode=Mode.MOCK)]) + Aggregate(rehearsals=1))
    assert rehearsed.score is None, "what was only rehearsed has not succeeded"
    assert rehearsed.metrics.conflict_rate == 0.0
    assert rehearsed.metrics.live_execution_ratio == 0.0


@given(aggregates(), aggregates())
def test_the_health_of_what_was_merged_is_the_health_of_the_whole(one: Aggregate, other: Aggregate) -> None:
    whole = Windows().counting(report(one, 1), AT).counting(report(other, 2), AT)
    shards = merge(counted(other), counted(one))
    assert health_of(shards.window(Window.ALL, AT)) == health_of(whole.window(Window.ALL, AT)) == health_of(one + other)


@given(aggregates())
def test_every_rate_is_a_rate(facts: Aggregate) -> None:
    health = health_of(facts)
    rates = health.metrics.model_dump(exclude={"execution_latency_ms", "system_health_score"})
    assert all(rate is None or 0.0 <= rate <= 1.0 for rate in rates.values())
    assert (health.score is None) == (health.samples.calls == 0)


def test_the_worst_tools_are_the_surely_bad_ones() -> None:
    facts = live(20, 40, "half") + live(0, 1, "once") + live(99, 100, "fine") + live(5, 5, "perfect")
    assert [tool.tool for tool in worst_tools(facts)] == ["half", "once", "fine"]
    assert [tool.tool for tool in worst_tools(facts, 1)] == ["half"]


# Anomalies: the bound itself is none, one beyond it is, and below the minimum sample nothing is said.


def plans(ended: int = 0, rolled_back: int = 0, rehearsals: int = 0, conflicted: int = 0) -> Aggregate:
    found = {ConflictKind.RESOURCE: conflicted} if conflicted else {}
    return Aggregate(
        ended_live=ended, rolled_back=rolled_back, rehearsals=rehearsals, conflicted=conflicted, conflicted_by=found
    )


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (live(20, 40), {AnomalyKind.UNSAFE_ESCALATION}),
        (live(19, 40), {AnomalyKind.UNSAFE_ESCALATION, AnomalyKind.REPEATED_FAILURES}),
        (live(22, 40), set()),
        (live(21, 40), {AnomalyKind.UNSAFE_ESCALATION}),
        (live(10, 20, confidence=0.9), set()),
        (live(9, 20, confidence=0.7), {AnomalyKind.REPEATED_FAILURES}),
        (live(0, MIN_CALLS - 1), set()),
        (live(0, MIN_CALLS), {AnomalyKind.UNSAFE_ESCALATION, AnomalyKind.REPEATED_FAILURES}),
        (plans(ended=10, rolled_back=3), set()),
        (plans(ended=10, rolled_back=4), {AnomalyKind.HIGH_ROLLBACK}),
        (plans(ended=MIN_PLANS - 1, rolled_back=9), set()),
        (plans(rehearsals=10, conflicted=5), set()),
        (plans(rehearsals=10, conflicted=6), {AnomalyKind.HIGH_CONFLICT}),
        (plans(rehearsals=MIN_PLANS - 1, conflicted=9), set()),
        (Aggregate(), set()),
    ],
)
def test_anomalies_at_their_bounds(facts: Aggregate, expected: set[AnomalyKind]) -> None:
    assert {found.kind for found in anomalies(counted(facts), AT)} == expected


def test_an_anomaly_says_what_was_seen_the_gravest_first() -> None:
    facts = live(2, 30, "broken") + live(9, 10, "fine") + plans(10, 4, 10, 6)
    found = anomalies(counted(facts), AT)
    assert [(anomaly.kind.value, anomaly.severity) for anomaly in found] == [
        ("high_conflict", 8), ("repeated_failures", 8), ("unsafe_escalation", 7), ("high_rollback", 6),
    ]  # fmt: skip
    conflict, failures, drift, rollback = found
    assert conflict.evidence == "6 of 10 plans had a conflict (RESOURCE in 6)"
    assert failures.evidence == "11 of 40 live calls worked; worst: broken 2 of 30, fine 9 of 10"
    assert drift.evidence.startswith("agents stated a confidence of 0.95 on average, 11 of 40")
    assert rollback.evidence == "4 of 10 runs that ended after LIVE were rolled back"
    assert (failures.value, failures.threshold, failures.sample, failures.minimum) == (11 / 40, 0.5, 40, MIN_CALLS)
    assert all(anomaly.window is Window.HOUR and anomaly.action for anomaly in found)


def test_the_hour_decides_where_enough_happened_in_it_else_the_day() -> None:
    morning, noon = AT - timedelta(hours=5), AT
    bad = counted(live(2, 40), morning)
    assert [anomaly.window for anomaly in anomalies(bad, noon)] == [Window.DAY, Window.DAY]
    mended = bad.counting(report(live(30, 30), 2, noon), noon)
    assert anomalies(mended, noon) == (), "the last hour was fine"
    few = bad.counting(report(live(5, 5), 2, noon), noon)
    assert {anomaly.window for anomaly in anomalies(few, noon)} == {Window.DAY}, "five calls in the hour prove nothing"
    assert anomalies(bad, noon + timedelta(days=2)) == (), "what is long past raises no alarm"


def test_good_times_do_not_hide_a_bad_hour() -> None:
    windows = counted(live(960, 1_000), AT - timedelta(hours=5)).counting(report(live(3, 20), 2), AT)
    assert {anomaly.window for anomaly in anomalies(windows, AT)} == {Window.HOUR}
