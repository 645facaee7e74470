"""Tables on terminals of any width: as a table where its words fit, otherwise with a line for each value."""

import io
from datetime import UTC, datetime

import pytest
from rich.console import Console

from airlock.cli.display.screens import plans_table
from airlock.cli.show import _audit_table
from airlock.client.listing import PlanSummary
from airlock.run.audit import AuditEntry, AuditKind
from airlock.run.presentation.views import AuditView

AT = datetime(2026, 11, 30, 13, 42, 47, tzinfo=UTC)
PLAN = PlanSummary(
    plan_id="onboard-acme-001", workflow_id="plan-onboard-acme-001", run_id="r", status="RUNNING", started_at=AT,
    state="AWAITING_APPROVAL", risk="HIGH", agents=("researcher", "crm"),
)  # fmt: skip
ENTRY = AuditEntry(
    number=3, at=AT, kind=AuditKind.TRANSITION, what="previewed", from_state="DRY_RUN", to_state="AWAITING_APPROVAL",
    reason="every step that may go further was previewed",
)  # fmt: skip


def drawn(table: object, width: int) -> str:
    console = Console(file=io.StringIO(), width=width, markup=False)
    console.print(table)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize("width", [40, 80, 100])
def test_a_narrow_terminal_breaks_no_word(width: int) -> None:
    plans = [line.split() for line in drawn(plans_table([PLAN]), width).splitlines()]
    assert ["plan", "onboard-acme-001"] in plans
    assert ["state", "AWAITING_APPROVAL"] in plans
    assert ["started", "(UTC)", "2026-11-30", "13:42:47"] in plans
    assert "outcome" not in drawn(plans_table([PLAN]), width), "what is empty has no line"
    audit = drawn(_audit_table(AuditView(plan_id="p", entries=(ENTRY,), refused=0)), width)
    assert audit.startswith("Audit: 1 entries, 0 refused messages")
    assert ["state", "DRY_RUN", "->", "AWAITING_APPROVAL"] in [line.split() for line in audit.splitlines()]


def test_no_value_passes_for_another_one() -> None:
    lie = ENTRY.model_copy(update={"reason": "x" * 31 + " signature signed with the SSH key SHA256:abc"})
    lines = drawn(_audit_table(AuditView(plan_id="p", entries=(lie,), refused=0)), 40).splitlines()
    assert any(line.strip().startswith("signature signed") for line in lines), "it goes on in a line of its own"
    assert not any(line.startswith("signature") for line in lines)


def test_a_wide_terminal_has_a_table() -> None:
    assert "│ onboard-acme-001 │ AWAITING_APPROVAL │" in drawn(plans_table([PLAN]), 160)
