"""The imports of a command line that only looks: they decide how long `airlock --help` takes."""

import subprocess
import sys
import tempfile
from pathlib import Path

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
NOT_FOR_A_LIST = (
    "networkx", "numpy", "pandas", "matplotlib", "jmespath", "ddsketch", "sqlalchemy", "httpx", "jsonschema",
    "opentelemetry", "yaml",
)  # fmt: skip
"""Libraries of graphs, charts, tools and worker: a list of plans shows none of what they make."""
ROOMS_NOT_FOR_A_LIST = (
    "airlock.tools", "airlock.activities", "airlock.workflows", "airlock.worker", "airlock.testing", "airlock.run",
    "airlock.export", "airlock.monitoring", "airlock.wire", "airlock.plans.graph", "airlock.plans.tool",
    "airlock.client.plans", "airlock.client.plan_handle", "airlock.client.facts",
)  # fmt: skip
NAMES_OF_OUTCOMES = {"airlock.run", "airlock.run.outcome"}
"""The words for the ends of plans; they import nothing."""
# the command line ends with os._exit: the modules are told just before
PROGRAM = r"""
import os, sys
leave = os._exit
def tell(code):
    with open({told!r}, "w") as file:
        file.write("\n".join(sys.modules))
    leave(code)
os._exit = tell
sys.argv = {arguments!r}
from airlock.__main__ import main
main()
"""
COMPLETION = {"_AIRLOCK_COMPLETE": "complete_bash", "COMP_WORDS": "airlock ap", "COMP_CWORD": "1"}


def imported(arguments: list[str], more: dict[str, str] | None = None, code: int = 0) -> set[str]:
    """Run the command line as `airlock` would, and return the modules that were loaded when it ended."""
    with tempfile.TemporaryDirectory() as folder:
        told = Path(folder) / "modules"
        program = PROGRAM.format(arguments=["airlock", *arguments], told=str(told))
        done = subprocess.run(
            [sys.executable, "-c", program], cwd=ROOT, env={**clean(), **(more or {})},
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == code, done.stderr
        return set(told.read_text().split())


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["lisst"]], ids=" ".join)
def test_help_imports_no_library_of_any_command(arguments: list[str]) -> None:
    found = imported(arguments, code=2 if arguments == ["lisst"] else 0)
    assert "airlock.cli.app" in found
    assert found & set(HEAVY) == set()


def test_completing_the_name_of_a_command_imports_none() -> None:
    found = imported([], COMPLETION, code=0)
    assert "airlock.cli.app" in found
    assert found & set(HEAVY) == set()


@pytest.mark.parametrize(
    "options", [["--help"], [], ["--json"], ["--state", "LIVE"]], ids=lambda given: " ".join(given) or "none"
)
def test_list_imports_the_connection_and_nothing_of_plans_tools_and_charts(options: list[str]) -> None:
    """Nothing answers at port 1, so the command imports all it needs, and fails at its first request."""
    code = 0 if "--help" in options else 1
    found = imported(["list", *options], {"TEMPORAL_ADDRESS": "127.0.0.1:1"}, code)
    assert {"temporalio.client", "airlock.cli.listing", "airlock.gates.view"} <= found
    libraries = {name.partition(".")[0] for name in found}
    assert libraries & set(NOT_FOR_A_LIST) == set()
    assert {name for name in found if name.startswith(ROOMS_NOT_FOR_A_LIST)} <= NAMES_OF_OUTCOMES


def test_a_check_reads_the_contracts_of_all_tools_without_the_libraries_of_their_calls() -> None:
    found = imported(["check", "examples/onboard_customer.json"], code=0)
    assert {"airlock.tools.databases.database_writing", "airlock.tools.crm.contacts", "airlock.plans.graph"} <= found
    assert found & {"sqlalchemy", "httpx", "networkx"} == set()
