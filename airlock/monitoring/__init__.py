"""Monitoring: reports, mergeable aggregates, health, anomalies, calibration and learning signals."""
