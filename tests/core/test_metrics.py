"""The table of metrics: the names that Prometheus finds, which docs, dashboard and alerts are checked against."""

import pytest

from airlock.base.metrics import CALL_DURATION, CALLS, DURATION_BUCKETS, METRICS, PLANS, Metric


@pytest.mark.parametrize(
    ("metric", "served", "series"),
    [
        (CALLS, "airlock_calls_total", ("airlock_calls_total",)),
        (
            CALL_DURATION,
            "airlock_call_duration_seconds",
            tuple(f"airlock_call_duration_seconds_{part}" for part in ("bucket", "sum", "count")),
        ),
        (PLANS, "airlock_plans", ("airlock_plans",)),
    ],
    ids=lambda given: given.name if isinstance(given, Metric) else "",
)
def test_a_metric_is_served_under_the_names_of_its_kind(metric: Metric, served: str, series: tuple[str, ...]):
    assert (metric.served, metric.series) == (served, series)


def test_no_two_metrics_share_a_series_and_the_buckets_rise():
    series = [name for metric in METRICS for name in metric.series]
    assert len(series) == len(set(series))
    assert list(DURATION_BUCKETS) == sorted(set(DURATION_BUCKETS))
