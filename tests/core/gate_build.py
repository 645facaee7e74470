"""The requests to a gate and its answers, for the tests of gates."""

from datetime import UTC, datetime
from typing import Any

from airlock.gates.answers import GateAnswer, SlotGranted
from airlock.gates.locks import NoticeKind
from airlock.gates.protocol import SlotRequest
from airlock.gates.semaphore import Gate

START = datetime(2026, 1, 1, tzinfo=UTC)


def wants(holder: str, request: str = "1", **more: Any) -> SlotRequest:
    return SlotRequest(**{"holder": holder, "request": request, **more})


def granted(answer: GateAnswer) -> SlotGranted:
    assert isinstance(answer, SlotGranted)
    return answer


def told(made: Gate, kind: NoticeKind) -> list[str]:
    """Return the notices of the gate and take them off its list, as the workflow does."""
    names = [news.to for news in made.news if news.kind is kind]
    made.news = [news for news in made.news if news.kind is not kind]
    return names
