"""Messages that a gate refused: their number, and the latest of them."""

from collections.abc import Sequence

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from airlock.base.text import shorten
    from airlock.gates.messages import RefusedMessage

KEPT = 10
"""Refused messages that are kept with their reason; earlier ones are only counted."""


class Refusals:
    """Record of refused messages, carried from run to run."""

    def __init__(self) -> None:
        self.count = 0
        self.latest: tuple[RefusedMessage, ...] = ()

    def record(self, name: str, why: str) -> None:
        """Count a refused message and keep it among the latest."""
        refused = RefusedMessage(at=workflow.now(), what=shorten(name, 100), why=shorten(why))
        self.count += 1
        self.latest = (*self.latest, refused)[-KEPT:]

    def add_earlier(self, count: int, messages: Sequence[RefusedMessage]) -> None:
        """Add the refusals of an earlier run, which come before this run's own."""
        self.count += count
        self.latest = (*messages, *self.latest)[-KEPT:]
