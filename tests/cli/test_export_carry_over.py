"""An export that goes on from an earlier one equals the export of everything; what was changed or not asked for stops it."""

import json
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from airlock.base.errors import AirlockError
from airlock.cli.records.export_files import carried_over
from airlock.cli.records.verify_files import verify
from airlock.export.files import EXECUTIONS, TRANSITIONS
from airlock.export.plan_lines import PlanRecord
from tests.cli.export_folders import PLANS, content, export, lines_of, of_version_one, stream
from tests.core.export_build import records


def closed_then(plans: Iterable[PlanRecord]) -> list[PlanRecord]:
    return [plan for plan in plans if plan.execution.closed_at is not None]


def since_of(plans: list[PlanRecord], index: int) -> datetime:
    found = plans[index].execution.closed_at
    assert found is not None
    return found


def test_what_was_closed_before_is_carried_over_and_the_rest_is_the_whole_export(tmp_path: Path) -> None:
    plans = closed_then(records(20))
    since = since_of(plans, 6)
    export(tmp_path / "files", plans[:9])
    export(tmp_path / "files", carried_over(tmp_path / "files", since, stream(plans[6:])))
    export(tmp_path / "all", plans)
    assert content(tmp_path / "files") == content(tmp_path / "all")
    assert verify(tmp_path / "files") == []


def test_a_plan_that_was_open_is_replaced_by_what_became_of_it(tmp_path: Path) -> None:
    plans = list(records(7))
    still_open = [plan for plan in plans if plan.execution.closed_at is None]
    since = max(plan.execution.submitted_at for plan in plans) + timedelta(hours=1)
    export(tmp_path / "files", plans)
    export(tmp_path / "files", carried_over(tmp_path / "files", since, stream(still_open)))
    export(tmp_path / "all", plans)
    assert content(tmp_path / "files") == content(tmp_path / "all")


@pytest.mark.parametrize(("asked", "said"), [("too late", "was closed at"), ("not for the open", "was open in the earlier")])
def test_a_plan_that_temporal_was_not_asked_about_is_not_carried_over(tmp_path: Path, asked: str, said: str) -> None:
    plans = closed_then(records(9)) if asked == "too late" else list(records(9))
    since = since_of(plans, 1) + timedelta(hours=asked != "too late")
    export(tmp_path / "files", plans)
    before = content(tmp_path / "files")
    with pytest.raises(AirlockError, match=said):
        export(tmp_path / "files", carried_over(tmp_path / "files", since, stream(plans[6:])))
    assert content(tmp_path / "files") == before


def test_an_export_that_was_changed_is_not_carried_over(tmp_path: Path) -> None:
    plans = closed_then(records(9))
    export(tmp_path / "files", plans)
    data = (tmp_path / "files" / TRANSITIONS).read_bytes()
    (tmp_path / "files" / TRANSITIONS).write_bytes(data.replace(b'"by":"boss"', b'"by":"eve1"', 1))
    with pytest.raises(AirlockError, match=rf"cannot be carried over: {TRANSITIONS}:\d+: was changed"):
        export(tmp_path / "files", carried_over(tmp_path / "files", since_of(plans, 3), stream(plans[3:])))


def test_going_on_from_an_export_of_seven_files_keeps_its_lines_and_adds_the_seals_of_the_others(tmp_path: Path) -> None:
    folder = of_version_one(tmp_path)
    every = list(records(PLANS))
    open_now = [record for record in every if record.execution.closed_at is None]
    since = datetime.max.replace(tzinfo=every[0].execution.submitted_at.tzinfo)
    summary = export(folder, carried_over(folder, since, stream(open_now)))
    assert verify(folder) == []
    lines = [json.loads(line) for line in lines_of(folder, EXECUTIONS)]
    assert sum("seals" in line for line in lines) == len(open_now)
    assert summary.total_seals == sum(len(record.seals) for record in open_now)


def test_the_earlier_lines_of_a_plan_that_cannot_be_read_now_stay(tmp_path: Path) -> None:
    folder = tmp_path / "files"
    every = list(records(PLANS))
    export(folder, every)
    stuck = next(record for record in every if record.execution.closed_at is None)
    others = [record for record in every if record is not stuck]
    since = every[0].execution.submitted_at
    export(folder, carried_over(folder, since, stream(others), {stuck.execution.workflow_id}))
    assert verify(folder) == []
    assert len(lines_of(folder, EXECUTIONS)) == PLANS
