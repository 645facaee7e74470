"""The main job in one command, twice in a row, leaving nothing running."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from cli.demo import ONBOARDING
from cli.processes import ROOT
from tests.cli.test_environment import family


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_the_demo_works_twice_in_a_row(tmp_path: Path) -> None:
    for _ in (1, 2):
        begun = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", "cli.demo", "--folder", str(tmp_path / "demo")],
            cwd=ROOT, capture_output=True, text=True, timeout=90, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        assert time.monotonic() - begun < 60
        assert done.stderr == ""
        assert ONBOARDING.name in done.stdout
        assert "$ temporal workflow signal --workflow-id plan-onboard-acme-001 --name approve" in done.stdout
        assert "Point of no return: welcome" in done.stdout
        for moved in ("MOCK -> DRY_RUN", "DRY_RUN -> AWAITING_APPROVAL", "LIVE -> COMPLETED", "LIVE -> ROLLBACK"):
            assert moved in done.stdout
        assert "Everything is as it must be, and everything has stopped" in done.stdout
        assert family(str(tmp_path)) == []
