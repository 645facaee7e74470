"""The conclusions of a monitor, as the files say them."""

from datetime import UTC, datetime

import jsonschema
import pytest

from airlock.export.documents import Assessment, SystemHealth
from airlock.export.files import export_schemas
from airlock.export.ledger import closed, document_text
from airlock.export.monitor_lines import learning_signal, system_health
from airlock.export.verification import read_document
from airlock.monitoring.aggregation import Aggregate
from airlock.monitoring.anomaly import anomalies
from airlock.monitoring.feedback import learning_signals
from airlock.monitoring.health import health_of
from tests.core.counting import AT, counted, live


def test_no_data_is_no_data() -> None:
    document = system_health(health_of(Aggregate()), (), None)
    assert (document.health_assessment, document.health_score, document.timestamp) == (Assessment.NO_DATA, None, None)
    assert set(document.metrics.model_dump().values()) == {None}


def test_the_health_of_a_tool_that_fails_is_a_document_that_reads_back() -> None:
    windows = counted(live(10, 40))
    health = health_of(live(10, 40))
    document = closed(system_health(health, anomalies(windows, AT), datetime.fromtimestamp(windows.latest, UTC)))
    assert read_document(document_text(document).encode(), SystemHealth) == document
    jsonschema.validate(document.model_dump(mode="json"), export_schemas()["system_health"])
    assert document.health_score == document.metrics.system_health_score
    assert document.metrics.tool_success_rate == 0.25
    assert {found.anomaly_type for found in document.anomalies} == {"repeated_failures", "unsafe_escalation"}
    assert document.timestamp == AT
    assert document.samples["calls"] == 40


def test_a_signal_keeps_what_it_rests_on() -> None:
    found = learning_signals(counted(live(10, 40)), AT)
    assert found
    for signal in found:
        line = learning_signal(signal)
        assert line.confidence == pytest.approx(signal.confidence)
        assert (line.tool_name, line.target_phase, line.insight) == (signal.tool_name, signal.target_phase, signal.insight)
        assert line.evidence["sample"] == signal.sample
        assert line.evidence["interval"] == {"low": signal.interval.low, "high": signal.interval.high}
