"""Alerts and dashboard ask for what there is: metrics, labels and values that the code serves, commands that exist."""

import re

import promql_parser
import pytest
import yaml

from airlock.base import names
from airlock.base.metrics import METRICS, CallResult, Kind
from airlock.cli.app import Commands
from airlock.gates.protocol import AnomalyKind
from airlock.monitoring.rolling import Window
from airlock.plans.contract import Mode
from airlock.plans.state import State
from airlock.run.outcome import Outcome
from airlock.worker.roles import ROLES
from tests.command_lines import worker_settings
from tests.deploy.queries import ALERTS, DASHBOARD, QUERIES, ROOT
from tests.deploy.test_compose import SERVICES, WORKERS

SERIES = {series: metric for metric in METRICS for series in metric.series}
VALUES = {
    "mode": {mode.value for mode in Mode} | {"ROLLBACK"},
    "outcome": {result.value for result in CallResult} | {outcome.value for outcome in Outcome},
    "state": {state.value for state in State if not state.closed},
    "window": {Window.HOUR.value, Window.DAY.value},
    "kind": {kind.value for kind in AnomalyKind},
    "gate": {names.LIVE_GATE},
    "what": {"plans", "gates", "messages", "health"},
    "role": set(ROLES) - {"all"},
    "job": {"airlock"},
    "worker_type": {"ActivityWorker"},
}
FROM_SCRAPING = {"job", "role", "le"}
"""Labels that Prometheus adds, and the one of buckets."""
OF_TEMPORAL = {"worker_type", "task_queue", "operation"}
COMPOSE_PROMETHEUS = yaml.safe_load((ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text())


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.where)
def test_a_query_asks_for_metrics_labels_and_values_that_exist(query):
    assert query.selected
    promql_parser.parse(query.text.replace("$__rate_interval", "5m"))  # raises where it is none
    known = set(FROM_SCRAPING)
    for found in query.selected:
        if found.metric.startswith("airlock_"):
            assert found.metric in SERIES, found.metric
            labels = {*SERIES[found.metric].labels, *FROM_SCRAPING}
        else:
            labels = FROM_SCRAPING | OF_TEMPORAL
        known |= labels
        for label, values in found.labels:
            assert label in labels, (found.metric, label)
            assert set(values) <= VALUES[label], (label, values)
    assert query.grouped_by <= known, query.grouped_by


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.where)
def test_gauges_of_several_workers_are_not_added_up_and_counters_are(query):
    for found in query.selected:
        metric = SERIES.get(found.metric)
        if metric is None:
            continue
        if metric.kind is Kind.GAUGE:
            assert re.search(r"\bmax\b[^()]*(\([^()]*\))?\s*\(\s*" + found.metric, query.text), found.metric
        else:
            assert re.search(r"(rate|increase)\(" + found.metric, query.text), found.metric


def test_every_metric_is_on_the_dashboard():
    shown = {
        SERIES[found.metric].name for query in QUERIES[len(ALERTS) :] for found in query.selected if found.metric in SERIES
    }
    assert shown == {metric.name for metric in METRICS}


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert["alert"])
def test_an_alert_says_what_is_wrong_and_what_to_do(alert):
    assert set(alert) <= {"alert", "expr", "for", "labels", "annotations"}
    assert re.fullmatch(r"\d+[smh]", alert.get("for", "1m"))
    assert alert["labels"]["severity"] in ("critical", "warning", "info")
    assert set(alert["annotations"]) == {"summary", "what_to_do"}
    for command in re.findall(r"airlock (\w+)", alert["annotations"]["what_to_do"]):
        assert command in Commands.table, command
    text = " ".join(alert["annotations"].values())
    grouped = next(query for query in QUERIES if query.where == alert["alert"]).grouped_by | {"role"}
    assert set(re.findall(r"\$labels\.(\w+)", text)) <= grouped
    for document in re.findall(r"docs/[\w/-]+\.md", text):
        assert (ROOT / document).is_file()


def test_prometheus_finds_every_worker():
    (job,) = COMPOSE_PROMETHEUS["scrape_configs"]
    (found,) = job["dns_sd_configs"]
    assert job["job_name"] == "airlock"
    assert set(found["names"]) == set(WORKERS)
    for service in WORKERS.values():
        given = worker_settings(service["command"])
        assert given["metrics"] == f"0.0.0.0:{found['port']}"
        assert set(service["networks"]) & set(SERVICES["prometheus"]["networks"])
    assert "./deploy/prometheus:/etc/prometheus:ro" in SERVICES["prometheus"]["volumes"]
    assert COMPOSE_PROMETHEUS["rule_files"] == ["/etc/prometheus/alerts.yml"]


def test_grafana_finds_prometheus_and_the_dashboard():
    provisioning = ROOT / "deploy" / "grafana" / "provisioning"
    (source,) = yaml.safe_load((provisioning / "datasources" / "prometheus.yml").read_text())["datasources"]
    (provider,) = yaml.safe_load((provisioning / "dashboards" / "airlock.yml").read_text())["providers"]
    assert source["url"] == "http://prometheus:9090"
    used = {panel["datasource"]["uid"] for panel in DASHBOARD["panels"]}
    used |= {target["datasource"]["uid"] for panel in DASHBOARD["panels"] for target in panel["targets"]}
    assert used == {source["uid"]}
    volumes = SERVICES["grafana"]["volumes"]
    assert f"./deploy/grafana/airlock.json:{provider['options']['path']}/airlock.json:ro" in volumes
    assert "./deploy/grafana/provisioning:/etc/grafana/provisioning:ro" in volumes


def test_panels_do_not_lie_on_each_other():
    taken = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert at["x"] + at["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells


def test_the_page_names_every_metric_as_the_code_does():
    page = (ROOT / "docs" / "reference" / "metrics.md").read_text()
    rows = [line for line in page.splitlines() if line.startswith("| `airlock_")]
    expected = [
        f"| `{metric.served}` | {metric.kind.value} | {', '.join(f'`{label}`' for label in metric.labels)} | {metric.text} |"
        for metric in METRICS
    ]
    assert rows == [row.replace("|  |", "| |") for row in expected]
