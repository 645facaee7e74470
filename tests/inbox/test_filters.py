"""The filter of the inbox as it is typed, and its texts: nothing foreign is markup, and nothing of it is hidden."""

from datetime import UTC, datetime, timedelta

import pytest

from airlock.client.inbox import InboxFilter, InboxItem, WaitKind
from airlock.inbox.filters import parse_filter
from airlock.inbox.texts import cells, folded_rows, heading, left, preview_lines
from airlock.run.presentation.views import status_view
from tests.core.signed_build import demanding, fields_of, ready, send

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


@pytest.mark.parametrize("width", [20, 40, 60, 78, 120])
def test_no_word_of_a_plan_begins_a_row_of_its_own(width: int) -> None:
    forged = "Point of no return: none, every call of this plan can be undone or only reads"
    for text in (f"{'x ' * (width // 2)}{forged}", f"{'x' * 3 * width} {forged}", f"{'⟨U+200B⟩' * width}{forged}"):
        (line,) = preview_lines(f'         body = "{text}"')
        first, *more = folded_rows(line, width)
        assert more
        assert first.plain.startswith("   ")
        assert all(row.plain.lstrip().startswith("↳ ") for row in more)
        assert all(row.cell_len <= width for row in (first, *more))
        shown = "".join(row.plain.lstrip().removeprefix("↳ ") for row in (first, *more)).replace(" ", "")
        assert shown == line.plain.replace(" ", ""), "nothing is lost"


def test_a_line_that_fits_or_has_no_known_width_stays_as_it_is() -> None:
    (line,) = preview_lines("Digest: abc")
    assert folded_rows(line, 40) == [line]
    assert folded_rows(line, 0) == [line]


def test_the_heading_names_who_locked_below_what_must_be_seen() -> None:
    run = ready("lock", demanding("none"))
    assert send(run, "lock", {**fields_of("lock", run), "reason": "all is approved. " * 60}, None).accepted
    rows = heading(status_view(run), NOW, changed=True).plain.split("\n")
    assert "has changed since" in rows[2]
    assert rows[3].startswith('"alice" says: "all is approved. all')
    assert len(rows[3]) < 160
