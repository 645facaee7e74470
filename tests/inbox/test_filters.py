"""The filter of the inbox as it is typed, and its texts: nothing foreign is markup, and nothing of it is hidden."""

from datetime import UTC, datetime, timedelta

import pytest

from airlock.client.inbox import InboxFilter, InboxItem, WaitKind
from airlock.inbox.filters import parse_filter
from airlock.inbox.texts import cells, left, preview_lines

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("", {}),
        ("acme  invoice", {"text": "acme invoice"}),
        ("risk:high tool:send_email acme", {"risk": "high", "tool": "send_email", "text": "acme"}),
        ("Agent:ops", {"agent": "ops"}),
        ("kind:in_doubt", {"kind": "in doubt"}),
        ("agent:", {}),
        ("http://example.test", {"text": "http://example.test"}),
    ],
)
def test_a_typed_filter(typed: str, meant: dict[str, str]) -> None:
    assert parse_filter(typed) == InboxFilter(**meant)


@pytest.mark.parametrize(
    ("minutes", "said"), [(-1, "expired"), (0, "0m"), (59, "59m"), (60, "1h 00m"), (1_439, "23h 59m"), (1_500, "1d 1h")]
)
def test_the_time_that_is_left(minutes: int, said: str) -> None:
    assert left(NOW + timedelta(minutes=minutes), NOW) == said


def test_a_row_shows_markup_and_escapes_as_what_they_are() -> None:
    goal = "[red]ok[/red] \x1b[2Jgone\u202e"
    item = InboxItem(plan_id="p", run_id="r", kind=WaitKind.APPROVAL, state="AWAITING_APPROVAL", goal=goal, risk="HIGH")
    expires, kind, risk, plan, about = (cell.plain for cell in cells(item, NOW))
    assert (expires, kind, risk, plan) == ("-", "approval", "HIGH", "p")
    assert about == "[red]ok[/red] ⟨U+001B⟩[2Jgone⟨U+202E⟩"


def test_a_preview_keeps_every_line_and_marks_what_is_hidden() -> None:
    row, sign, escape = preview_lines("goal ⟨U+200B⟩ [b]x[/b]\n! send\na\x1bb")
    assert row.plain == "goal ⟨U+200B⟩ [b]x[/b]"
    assert [(span.start, span.end) for span in row.spans if span.style == "reverse"] == [(5, 13)]
    assert any("red" in str(span.style) for span in sign.spans)
    assert escape.plain == "a\N{REPLACEMENT CHARACTER}b"
