"""Conversion of the monitors' results into the models of the exported files."""

from collections.abc import Iterable
from datetime import datetime

from airlock.export.documents import Assessment, HealthAnomaly, HealthMetrics, LatencyMs, SystemHealth
from airlock.export.lines import LearningSignal
from airlock.monitoring.anomaly import Anomaly
from airlock.monitoring.feedback import Signal
from airlock.monitoring.health import Health


def learning_signal(signal: Signal) -> LearningSignal:
    """Return the exported form of a learning signal, with its data as evidence."""
    evidence = signal.model_dump(mode="json", include={"window", "sample", "observed", "reference", "interval"})
    return LearningSignal(
        signal_type=signal.signal_type.value,
        tool_name=signal.tool_name,
        insight=signal.insight,
        recommended_action=signal.recommended_action,
        confidence=signal.confidence,
        target_phase=signal.target_phase,
        evidence=evidence,
    )


def system_health(health: Health, found: Iterable[Anomaly], latest: datetime | None) -> SystemHealth:
    """Return `system_health.json`, without its digests.

    Args:
        health: Health in total.
        found: Anomalies, the most severe first.
        latest: Time of the last report, UTC; None without one. It is not the time of the export, because the same reports
            must give the same file.
    """
    score, metrics = health.score, health.metrics
    latency = metrics.execution_latency_ms
    return SystemHealth(
        health_assessment=Assessment(score.tier.value) if score else Assessment.NO_DATA,
        health_score=score.value if score else None,
        score_low=score.low if score else None,
        score_high=score.high if score else None,
        approval_accuracy=health.approval_accuracy,
        samples=health.samples.model_dump(),
        anomalies=tuple(_anomaly(anomaly) for anomaly in found),
        metrics=HealthMetrics(
            tool_success_rate=metrics.tool_success_rate,
            execution_latency_ms=LatencyMs(p50=latency.p50, p95=latency.p95) if latency else None,
            rollback_frequency=metrics.rollback_frequency,
            conflict_rate=metrics.conflict_rate,
            live_execution_ratio=metrics.live_execution_ratio,
            confidence_drift=metrics.confidence_drift,
            approval_rate=metrics.approval_rate,
            system_health_score=metrics.system_health_score,
        ),
        timestamp=latest,
    )


def _anomaly(anomaly: Anomaly) -> HealthAnomaly:
    return HealthAnomaly(
        anomaly_type=anomaly.kind.value,
        severity=anomaly.severity,
        description=anomaly.evidence,
        recommended_action=anomaly.action,
        window=anomaly.window.value,
        value=anomaly.value,
        threshold=anomaly.threshold,
        samples=anomaly.sample,
        minimum_samples=anomaly.minimum,
    )
