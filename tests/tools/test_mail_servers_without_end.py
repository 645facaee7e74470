"""Mail servers that never come to an end: a session is cut off at its time, and an answer at its size."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest

from airlock.base.errors import InDoubt, ToolFailed
from airlock.tools.mail import SmtpSettings, session

Answer = Callable[[socket.socket], None]


def drips(peer: socket.socket) -> None:
    """Send one byte of a greeting now and then."""
    while True:
        peer.sendall(b"x")
        time.sleep(0.05)


def greets_line_by_line(peer: socket.socket) -> None:
    while True:
        peer.sendall(b"220-still here\r\n")
        time.sleep(0.05)


def pours(peer: socket.socket) -> None:
    """Send lines of a greeting as fast as they are taken."""
    while True:
        peer.sendall(b"220-more\r\n" * 1_000)


def drips_in_a_handshake(peer: socket.socket) -> None:
    peer.sendall(b"220 ready\r\n")
    peer.recv(1_000)
    peer.sendall(b"250-mail\r\n250 STARTTLS\r\n")
    peer.recv(1_000)
    peer.sendall(b"220 go on\r\n\x16\x03\x03\x40\x00")  # a record of 16 KiB
    drips(peer)


def leaves_in_the_middle(peer: socket.socket) -> None:
    peer.sendall(b"220-half")


@contextmanager
def server(answer: Answer) -> Iterator[int]:
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with suppress(OSError):
            peer, _ = listening.accept()
            with peer, suppress(OSError):
                answer(peer)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield listening.getsockname()[1]
    finally:
        listening.close()
        thread.join(30)


@pytest.mark.parametrize(
    "answer", [drips, greets_line_by_line, pours, drips_in_a_handshake, leaves_in_the_middle], ids=lambda one: one.__name__
)
def test_a_session_ends_whatever_the_server_does(answer: Answer) -> None:
    ended: list[Exception] = []

    def talk(port: int) -> None:
        settings = SmtpSettings(host="127.0.0.1", port=port, sender="a@b.test", timeout=20)
        try:
            with session(settings, lambda name: name, within=1.0):
                raise AssertionError("no session was to be had")
        except (ToolFailed, InDoubt) as error:
            ended.append(error)

    with server(answer) as port:
        thread = threading.Thread(target=talk, args=(port,), daemon=True)
        thread.start()
        thread.join(60)
        assert not thread.is_alive(), "it would hold a thread of the worker for ever"
    (error,) = ended
    assert isinstance(error, ToolFailed), "nothing was sent"
    assert error.retry
