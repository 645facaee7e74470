"""The tests of a small project, run as `make test` runs those of this one: what fails beside others has to pass alone."""

import os
import subprocess
import sys
from pathlib import Path

from devtools.suite import LAST_FAILED, MOST

ROOT = Path(__file__).resolve().parents[2]
PASSES = "def test_passes():\n    pass\n"
FAILS = "def test_fails():\n    raise AssertionError\n"
FAILS_ONCE = """
import pathlib

def test_fails_once():
    before = pathlib.Path(__file__).with_suffix(".ran")
    ran = before.exists()
    before.touch()
    assert ran
"""
FAILS_OFTEN = f"""
import pytest

@pytest.mark.parametrize("number", range({MOST + 1}))
def test_fails(number):
    raise AssertionError
"""


def suite(folder: Path, **files: str) -> tuple[int, str]:
    """Run the tests of some files; the exit code, and what was printed."""
    (folder / "pytest.ini").write_text("[pytest]\nasyncio_default_fixture_loop_scope = function\n", encoding="utf-8")
    for name, text in files.items():
        (folder / f"test_{name}.py").write_text(text, encoding="utf-8")
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")} | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "devtools.suite", "-n", "1"]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=500, check=False)
    assert not done.stderr
    return done.returncode, done.stdout


def test_what_passes_alone_is_named_and_does_not_fail_the_run(tmp_path: Path) -> None:
    code, printed = suite(tmp_path, passes=PASSES, once=FAILS_ONCE)
    assert code == 0, printed
    assert "1 passed" in printed.partition("1 failed beside others")[2]
    assert printed.endswith("Failed beside others, and passed alone:\n  test_once.py::test_fails_once\n")


def test_what_fails_alone_too_fails_the_run(tmp_path: Path) -> None:
    code, printed = suite(tmp_path, once=FAILS_ONCE, fails=FAILS)
    assert code == 1, printed
    assert "Failed beside others, and not all passed alone:" in printed


def test_many_failures_are_not_run_again(tmp_path: Path) -> None:
    code, printed = suite(tmp_path, often=FAILS_OFTEN)
    assert code == 1, printed
    assert "one at a time" not in printed


def test_failures_of_an_earlier_run_are_forgotten(tmp_path: Path) -> None:
    noted = tmp_path / LAST_FAILED
    noted.parent.mkdir(parents=True)
    noted.write_text('{"test_passes.py::test_passes": true, "test_gone.py": true}', encoding="utf-8")
    code, printed = suite(tmp_path, passes=PASSES)
    assert code == 0, printed
    assert "one at a time" not in printed
