"""The short chaos run: real workers and a real server, killed and locked while a score of plans share a dozen resources."""

from pathlib import Path

import pytest

from devtools.chaos_checks import judge
from devtools.chaos_run import Dose, run

SEED = 11
PLANS = 18
DOSE = Dose(workers=2, open_at_once=12, kills=2, between_kills=(2.0, 4.0), locked_for=(0.5, 1.0), within=900.0)


@pytest.mark.slow
@pytest.mark.timeout(1200)
async def test_chaos(tmp_path: Path) -> None:
    told: list[str] = []
    evidence = await run(tmp_path / "chaos", SEED, PLANS, DOSE, told.append)
    wrong = [f"{finding.claim}: {line}" for finding in judge(evidence) for line in finding.wrong]
    assert wrong == [], "\n".join([*told, *wrong])
    assert sorted([*evidence.ended, *evidence.lost_tasks]) == sorted(plan["plan_id"] for plan in evidence.batch.plans)
    assert len(evidence.lost_tasks) <= 1, evidence.lost_tasks
