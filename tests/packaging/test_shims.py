"""Imports that were documented before 0.2 go on working for one release, and warn."""

import subprocess
import sys

import pytest

import airlock
from tests.packaging.conftest import ROOT, clean

NEW = "from airlock import tool as new"
OLD = "from airlock.tool import Preview, Probe, Tool, ToolCall, tool as old"
SAME = "import airlock; import airlock.tool as module; assert old is new is module is airlock.tool"


def warned(code: str) -> str:
    """Run some code in a process of its own: what a module does when it is imported happens once a process."""
    done = subprocess.run(
        [sys.executable, "-W", "always", "-c", code], cwd=ROOT, env=clean(), capture_output=True, text=True, timeout=120,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stderr


@pytest.mark.parametrize("order", [(NEW, OLD), (OLD, NEW)], ids=["new first", "old first"])
def test_the_decorator_stays_the_decorator_whichever_import_comes_first(order: tuple[str, str]) -> None:
    use = "assert callable(old(name='x', risk='LOW', reversibility='read_only'))"
    said = warned("\n".join((*order, SAME, use, NEW)))
    assert said.count("DeprecationWarning: import from `airlock` instead of `airlock.tool`") == 1


@pytest.mark.parametrize(
    ("old", "new", "name"),
    [
        ("airlock.errors", "airlock", "Stale"), ("airlock.errors", "airlock.base.errors", "Problem"),
        ("airlock.refs", "airlock", "UNKNOWN"), ("airlock_client", "airlock", "Airlock"),
        ("airlock_client", "airlock.client", "NoAnswer"),
    ],
)  # fmt: skip
def test_old_modules_hold_the_same_objects_and_warn(old: str, new: str, name: str) -> None:
    said = warned(f"from {old} import {name} as before\nfrom {new} import {name} as now\nassert before is now")
    assert said.count("DeprecationWarning") == 1
    assert f"instead of `{old}`" in said


def test_a_new_import_does_not_warn() -> None:
    assert warned("from airlock import *\nassert Mode.LIVE and UNKNOWN and tool and Airlock") == ""


def test_every_public_name_is_there() -> None:
    assert all(getattr(airlock, name) is not None for name in airlock.__all__)
    assert set(airlock.__all__) <= set(dir(airlock))
