"""Prometheus metrics of a worker: those of Temporal's SDK and of Airlock on one address."""

import re

from temporalio.runtime import PrometheusConfig, Runtime, TelemetryConfig

from airlock.base.errors import ConfigError, Problem
from airlock.base.metrics import CALL_DURATION, DURATION_BUCKETS

_ADDRESS = re.compile(r"(?:\[[0-9a-fA-F:]+\]|\d+\.\d+\.\d+\.\d+|localhost):\d{1,5}")


def metrics_address(text: str) -> str:
    """Parse the value of `--metrics-address`: `127.0.0.1:9464`, `[::1]:9464` or `localhost:9464`.

    Raises:
        ValueError: If the text is not such an address. Other host names are refused: a listener needs an interface.
    """
    if not _ADDRESS.fullmatch(text) or not 0 < int(text.rpartition(":")[2]) < 65_536:
        raise ValueError(f"{text!r} is not an address to listen on; one is 127.0.0.1:9464")
    return text.replace("localhost", "127.0.0.1")


def serve_metrics(address: str) -> None:
    """Serve the metrics of this process at `http://<address>/metrics`, to every client that can reach it.

    Call it once, before the first connection: only clients made afterwards report there.

    Args:
        address: A result of `metrics_address`.

    Raises:
        ConfigError: If the process cannot listen there.
    """
    metrics = PrometheusConfig(
        bind_address=address,
        counters_total_suffix=True,
        unit_suffix=True,
        durations_as_seconds=True,
        histogram_bucket_overrides={CALL_DURATION.name: DURATION_BUCKETS},
    )
    try:
        runtime = Runtime(telemetry=TelemetryConfig(metrics=metrics))
    except ValueError as error:
        problem = Problem(where="--metrics-address", message=f"{address}: {error}", fix="choose one that is free")
        raise ConfigError([problem]) from error
    Runtime.set_default(runtime)
