"""The imports of a command line that only looks: they decide how long `airlock --help` takes."""

import subprocess
import sys

import pytest

from tests.packaging.conftest import ROOT, clean

HEAVY = (
    "temporalio",
    "sqlalchemy",
    "httpx",
    "networkx",
    "rich",
    "cryptography",
    "airlock.tools",
    "airlock.client",
)
COMPLETION = {"_AIRLOCK_COMPLETE": "complete_bash", "COMP_WORDS": "airlock ap", "COMP_CWORD": "1"}


def imported(arguments: list[str], more: dict[str, str] | None = None, code: int = 0) -> set[str]:
    """Run the command line as `airlock` would, and return the modules that it imported."""
    program = f"import sys; sys.argv = {['airlock', *arguments]!r}; from airlock.__main__ import main; main()"
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", program], cwd=ROOT, env={**clean(), **(more or {})},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    return {line.rsplit("|", 1)[1].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["lisst"]], ids=" ".join)
def test_help_imports_no_library_of_any_command(arguments: list[str]) -> None:
    found = imported(arguments, code=2 if arguments == ["lisst"] else 0)
    assert "airlock.cli.app" in found
    assert found & set(HEAVY) == set()


def test_completing_the_name_of_a_command_imports_none() -> None:
    found = imported([], COMPLETION, code=0)
    assert "airlock.cli.app" in found
    assert found & set(HEAVY) == set()


def test_list_imports_no_tools() -> None:
    found = imported(["list"], {"TEMPORAL_ADDRESS": "127.0.0.1:1"}, code=1)
    assert "temporalio.client" in found
    assert found & {"airlock.tools", "sqlalchemy", "httpx", "airlock.workflows", "airlock.activities"} == set()
