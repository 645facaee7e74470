"""Ports on loopback: the usual ones of a Temporal dev server where they are free, others otherwise."""

import socket
from dataclasses import dataclass

TEMPORAL_PORT = 7233
UI_PORT = 8233


@dataclass(frozen=True)
class Ports:
    """The ports of a Temporal dev server."""

    temporal: int
    ui: int

    @property
    def usual(self) -> bool:
        """True if the Temporal CLI finds the server without being told."""
        return self.temporal == TEMPORAL_PORT

    @property
    def address(self) -> str:
        """Host and port of the server."""
        return f"127.0.0.1:{self.temporal}"


def usual_or_free() -> Ports:
    """Return the usual ports, each replaced by a free one where it is taken."""
    free = free_ports()
    return Ports(
        temporal=TEMPORAL_PORT if _is_free(TEMPORAL_PORT) else free.temporal,
        ui=UI_PORT if _is_free(UI_PORT) else free.ui,
    )


def free_ports() -> Ports:
    """Return two ports that no process uses at the moment."""
    with _bound(0) as first, _bound(0) as second:
        return Ports(first.getsockname()[1], second.getsockname()[1])


def _is_free(port: int) -> bool:
    try:
        with _bound(port):
            return True
    except OSError:
        return False


def _bound(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
    except OSError:
        listener.close()
        raise
    return listener
