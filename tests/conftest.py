"""Rules for every test: only loopback is reached, and long files begin first."""

import gc
import ipaddress
import os
import socket
import tempfile
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

HUNT = int(os.environ.get("AIRLOCK_HUNT", "0"))
"""The number of random examples for each property of tests/core, whose counterexamples are looked for; 0 for the same few
examples every time."""
# a busy machine is no failure, and a new counterexample fails a hunt, not a change that has nothing to do with it
settings.register_profile("airlock", deadline=None, derandomize=not HUNT)
settings.load_profile("airlock")

# Fewer collections of garbage: thousands of tests are objects that stay, and each collection visits them in vain.
gc.set_threshold(50_000)
# The same for the Temporal servers that tests start, which are written in Go; within a bound of memory.
os.environ.setdefault("GOGC", "800")
os.environ.setdefault("GOMEMLIMIT", "768MiB")

ENDED_ITS_PROCESS = "ended_its_process"
LONG = (
    "tests/attack/test_attack.py",
    "tests/processes/test_scenarios.py",
    "tests/workflows/test_undo_after.py",
    "tests/workflows/test_two_generations.py",
    "tests/packaging/test_wheel.py",
    "tests/console/test_deciding.py",
    "tests/console/test_reading.py",
    "tests/benchmarks/test_others.py",
    "tests/workflows/test_large.py",
    "tests/cli/test_against_temporal.py",
    "tests/benchmarks/test_smallest.py",
    "tests/workflows/test_deadlock.py",
    "tests/docs/test_readme.py",
    "tests/cli/test_server.py",
    "tests/cli/test_server_decisions.py",
    "tests/adapters/test_killed.py",
    "tests/adapters/test_examples.py",
    "tests/workflows/test_interference.py",
    "tests/workflows/test_sharing.py",
    "tests/workflows/test_export_counts.py",
    "tests/workflows/test_monitor.py",
    "tests/workflows/test_lost_worker.py",
    "tests/workflows/test_decide.py",
    "tests/workflows/test_failures.py",
    "tests/workflows/test_ahead.py",
    "tests/workflows/test_lock_proof.py",
    "tests/replay/test_replay.py",
    "tests/corpus/test_corpus.py",
    "tests/cli/test_verify.py",
    "tests/cli/test_export_files.py",
    "tests/cli/test_health_commands.py",
    "tests/cli/test_report_schemas.py",
    "tests/workflows/test_gate.py",
    "tests/processes/test_chaos.py",
    "tests/cli/test_demo.py",
    "tests/workflows/test_proof_unbegun.py",
    "tests/workflows/test_call_guarantees.py",
)
"""Files that take longest. They begin first, so that no worker is left with one of them when the others are done."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the long files first; the order within a file stays."""
    first = {name: place for place, name in enumerate(LONG)}
    items.sort(key=lambda item: first.get(item.nodeid.partition("::")[0], len(LONG)))


def pytest_collection_finish() -> None:
    """Leave what was collected, and every module imported for it, out of all later collections of garbage."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Under xdist, note which test runs: one that ends its process is handed to the next process, again and again."""
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID")
    if run is None:
        return (yield)
    note = Path(tempfile.gettempdir()) / f"airlock-test-{run}-{sha256(item.nodeid.encode()).hexdigest()}"
    if note.exists():
        item.add_marker(ENDED_ITS_PROCESS)
    note.touch()
    try:
        return (yield)
    finally:
        note.unlink(missing_ok=True)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Let a test that ended a process of this run fail instead of ending another one."""
    if item.get_closest_marker(ENDED_ITS_PROCESS) is not None:
        pytest.fail("it ended its process before in this run: see the stacks above, and `faulthandler_timeout`")


@pytest.fixture(scope="session", autouse=True)
def loopback_only() -> Iterator[None]:
    """Make a connection to anywhere but loopback an error of the test that attempts it."""
    connect, connect_ex = socket.socket.connect, socket.socket.connect_ex

    def refuse_others(address: Any) -> None:
        host = address[0] if isinstance(address, tuple) else None
        if host is None or host == "localhost":
            return  # a unix socket, or the name of this machine
        if not ipaddress.ip_address(host).is_loopback:
            raise AssertionError(f"a test tried to reach {host}: only loopback is allowed")

    def guarded_connect(self: socket.socket, address: Any) -> None:
        refuse_others(address)
        connect(self, address)

    def guarded_connect_ex(self: socket.socket, address: Any) -> int:
        refuse_others(address)
        return connect_ex(self, address)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", guarded_connect)
        patch.setattr(socket.socket, "connect_ex", guarded_connect_ex)
        yield
