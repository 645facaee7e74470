"""The main job in one command, twice in a row, leaving nothing running."""

import subprocess
import sys
from pathlib import Path

import pytest

from airlock.export.files import EXPORT_FILES
from devtools.demo import ONBOARDING
from devtools.environment import ROOT
from tests.cli.conftest import eventually
from tests.cli.test_environment import family


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_demo_works_twice_in_a_row(tmp_path: Path) -> None:
    for _ in (1, 2):
        done = subprocess.run(
            [sys.executable, "-m", "devtools.demo", "--folder", str(tmp_path / "demo")],
            cwd=ROOT, capture_output=True, text=True, timeout=290, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        assert done.stderr == ""
        assert ONBOARDING.name in done.stdout
        assert "$ temporal workflow signal --workflow-id plan-onboard-acme-001 --name approve" in done.stdout
        assert "Point of no return: welcome" in done.stdout
        for moved in ("MOCK -> DRY_RUN", "DRY_RUN -> AWAITING_APPROVAL", "LIVE -> COMPLETED", "LIVE -> ROLLBACK"):
            assert moved in done.stdout
        assert "Health: 75.83 GOOD  (the last day)" in done.stdout
        assert "It rests on 20 live calls, 2 plans admitted, 2 runs that ended after LIVE" in done.stdout
        assert "charge_card  0 of 1" in done.stdout
        export = tmp_path / "demo" / "export"
        assert f"{export}: eight files, 2 plans, nothing is wrong" in done.stdout
        assert sorted(path.name for path in export.iterdir()) == sorted(EXPORT_FILES)
        assert "Everything is as it must be, and everything has stopped" in done.stdout
        eventually(lambda: not family(str(tmp_path)))  # a watcher of a child ends a moment after it
