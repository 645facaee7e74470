"""The queries of deploy/ to Prometheus: every expression of the alert rules and of the dashboard, taken apart."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
ALERTS: list[dict[str, Any]] = [
    rule
    for group in yaml.safe_load((ROOT / "deploy" / "prometheus" / "alerts.yml").read_text())["groups"]
    for rule in group["rules"]
]
DASHBOARD: dict[str, Any] = json.loads((ROOT / "deploy" / "grafana" / "airlock.json").read_text())
_SELECTOR = re.compile(r"\b((?:airlock|temporal)_\w+|up\b)(?:\{([^}]*)\})?")
_MATCHER = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"')
_BY = re.compile(r"\bby \(([^)]*)\)")


@dataclass(frozen=True)
class Selected:
    """One selector: the metric, and the labels it asks for with every value it names."""

    metric: str
    labels: tuple[tuple[str, tuple[str, ...]], ...]


@dataclass(frozen=True)
class Query:
    """One expression, and where it stands."""

    where: str
    text: str

    @property
    def selected(self) -> list[Selected]:
        return [
            Selected(name, tuple((label, tuple(values.split("|"))) for label, _, values in _MATCHER.findall(inside or "")))
            for name, inside in _SELECTOR.findall(self.text)
        ]

    @property
    def grouped_by(self) -> set[str]:
        return {label.strip() for found in _BY.findall(self.text) for label in found.split(",")}


QUERIES = [Query(rule["alert"], rule["expr"]) for rule in ALERTS] + [
    Query(panel["title"], target["expr"]) for panel in DASHBOARD["panels"] for target in panel["targets"]
]


def names_of_temporal() -> set[str]:
    """Return every metric of Temporal's that deploy/ asks for.

    A scenario with a real worker compares them with what it serves.
    """
    return {found.metric for query in QUERIES for found in query.selected if found.metric.startswith("temporal_")}
