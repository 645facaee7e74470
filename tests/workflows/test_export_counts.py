"""Every exported number is one that was counted event by event from the raw histories; and the comparison can fail."""

import json
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from airlock.client import Airlock
from airlock.client.plan_history import read_plan
from airlock.export.files import CONFLICTS, EXECUTIONS, EXPORT_FILES, HEALTH, ROLLBACKS, SUMMARY, TRANSITIONS
from tests.workflows.conftest import namespace, working
from tests.workflows.export_counts import check, differences
from tests.workflows.export_raw import RawPlan, raw_plans

pytestmark = pytest.mark.slow
PLANS = 40
"""Each life of `export_plans` twice; `make export-check` has more."""


@pytest.fixture(scope="module")
async def lived(dev_server: Any, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Path, list[str], Any]]:
    """Yield the export of a namespace with plans of every ending, what is wrong with it, and the raw counts."""
    folder = tmp_path_factory.mktemp("counted")
    client = await namespace(dev_server.client, "export-counts")
    async with working(client):
        wrong = await check(client, PLANS, folder)
        yield folder / "one", wrong, await raw_plans(client)


async def test_every_exported_number_is_what_the_histories_come_to(lived: Any) -> None:
    _, wrong, raw = lived
    assert wrong == []
    plans: list[RawPlan] = list(raw.values())
    assert {plan.outcome for plan in plans} == {"completed", "partial", "rehearsed", "denied", "expired", "aborted", None}
    assert {plan.status for plan in plans} == {"COMPLETED", "TERMINATED", "OPEN"}
    assert any(len(plan.runs) > 1 for plan in plans), "none continued as new"
    assert {kind for plan in plans for kind, _ in plan.conflicts} >= {"RESOURCE", "TIMEOUT", "DUPLICATE_ACTION"}
    assert {how for plan in plans for how in plan.steps.values()} == {"live", "failed", "in_doubt"}
    assert any(plan.undo for plan in plans)
    assert max(plan.refused for plan in plans) > 200


def numbers(found: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Return the places of numbers in a document."""
    if isinstance(found, dict | list):
        for key, value in found.items() if isinstance(found, dict) else enumerate(found):
            yield from numbers(value, (*path, key))
    elif type(found) is int:
        yield path


def raised(document: Any, path: tuple[Any, ...]) -> Any:
    """Return the document with one number raised by one."""
    changed = json.loads(json.dumps(document))
    place = changed
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] += 1
    return changed


UNCOUNTED = {"anomalies", "schema_version", "total_learning_signals", "files", "seq", "plan_index"}
"""Numbers that are no counts of what happened; `verify` knows whether they are right."""


@pytest.mark.parametrize("name", [SUMMARY, CONFLICTS, HEALTH])
async def test_a_total_that_is_one_too_high_is_found(lived: Any, tmp_path: Path, name: str) -> None:
    folder, _, raw = lived
    document = json.loads((folder / name).read_text())
    paths = [path for path in numbers(document) if not UNCOUNTED.intersection(path)]
    assert len(paths) >= {SUMMARY: 16, CONFLICTS: 11, HEALTH: 4}[name]
    for path in paths:
        changed = copy_of(folder, tmp_path / "changed")
        (changed / name).write_text(json.dumps(raised(document, path)))
        assert differences(changed, raw), path


async def test_a_number_of_a_plan_that_is_one_too_high_is_found(lived: Any, tmp_path: Path) -> None:
    folder, _, raw = lived
    lines = (folder / EXECUTIONS).read_text().splitlines()
    place = next(
        number for number, line in enumerate(lines) if json.loads(line)["workflow_id"].startswith("plan-rolled-back")
    )
    plan = json.loads(lines[place])
    wanted = {"result", "transitions", "event_id"}
    paths = [
        path for path in numbers(plan) if path[0] in wanted and not UNCOUNTED.intersection(path) and path[-1] != "attempt"
    ]
    assert len(paths) >= 12
    for path in paths:
        changed = copy_of(folder, tmp_path / "changed")
        (changed / EXECUTIONS).write_text("\n".join([*lines[:place], json.dumps(raised(plan, path)), *lines[place + 1 :]]))
        assert differences(changed, raw), path


@pytest.mark.parametrize("name", [EXECUTIONS, TRANSITIONS, ROLLBACKS])
async def test_a_line_that_is_missing_is_found(lived: Any, tmp_path: Path, name: str) -> None:
    folder, _, raw = lived
    changed = copy_of(folder, tmp_path / "changed")
    lines = (folder / name).read_text().splitlines()
    (changed / name).write_text("\n".join(lines[:7] + lines[8:]))
    assert differences(changed, raw)


@pytest.mark.parametrize("event_id", [1, 2, 10_000])
async def test_an_entry_that_names_another_event_is_found(lived: Any, tmp_path: Path, event_id: int) -> None:
    folder, _, raw = lived
    changed = copy_of(folder, tmp_path / "changed")
    lines = (folder / TRANSITIONS).read_text().splitlines()
    (changed / TRANSITIONS).write_text("\n".join([json.dumps({**json.loads(lines[0]), "event_id": event_id}), *lines[1:]]))
    assert [line for line in differences(changed, raw) if f"from event {event_id}" in line]


def copy_of(folder: Path, to: Path) -> Path:
    shutil.rmtree(to, ignore_errors=True)
    shutil.copytree(folder, to)
    assert sorted(path.name for path in to.iterdir()) == sorted(EXPORT_FILES)
    return to


async def test_a_plan_whose_run_is_larger_than_any_message_may_be_is_exported(airlock: Airlock, tmp_path: Path) -> None:
    steps = [{"id": f"s{n}", "agent": "a", "tool": "look", "args": {"key": str(n)}, "confidence": 0.9} for n in range(1_500)]
    document = {"plan_id": "large-export", "requested_by": "rita", "steps": steps, "max_mode": "DRY_RUN"}
    handle = await airlock.submit(document)
    assert (await handle.result()).outcome == "rehearsed"
    run_id = (await handle.workflow.describe()).run_id
    read = await read_plan(airlock.client, handle.workflow.id, run_id)
    assert read.record.execution.plan_id == "large-export"
    assert len(read.record.execution.result.tool_results) == 1_500
