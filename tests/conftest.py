"""What holds for every test: nothing here talks to anything but this machine."""

import ipaddress
import socket
from collections.abc import Iterator
from typing import Any

import pytest

LONG = (
    "tests/workflows/test_large.py",
    "tests/workflows/test_deadlock.py",
    "tests/cli/test_server.py",
    "tests/processes/test_scenarios.py",
    "tests/workflows/test_monitor.py",
    "tests/processes/test_chaos.py",
    "tests/workflows/test_gate.py",
    "tests/workflows/test_undo_after.py",
)
"""Files that take longest. They begin first, so that no worker is left with one of them when the others are done."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the long files first; the order within a file stays."""
    first = {name: place for place, name in enumerate(LONG)}
    items.sort(key=lambda item: first.get(item.nodeid.partition("::")[0], len(LONG)))


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
