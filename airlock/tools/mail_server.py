"""A session with a mail server that ends, whatever the server does: at a set time, and with answers of a bounded size.

The limits of `smtplib` are for each piece of an answer. A server that sends a byte now and then, or lines without an end,
would hold a thread for ever, or fill the memory of the process.
"""

import smtplib
import socket
import threading
from contextlib import suppress
from typing import BinaryIO, Final

MAX_REPLY: Final = 65_536
"""Bytes of one answer."""


class MailServer(smtplib.SMTP):
    """A session with a mail server. `close` it.

    Args:
        host: Its name or address.
        port: Its port.
        timeout: Seconds for connecting, and for each wait for data.
        within: Seconds after which the session is cut off, which the library reports as a lost connection.
    """

    def __init__(self, host: str, port: int, *, timeout: float, within: float) -> None:
        self._wire: socket.socket | None = None
        self._over = False
        self._end = threading.Timer(within, self._cut)
        self._end.daemon = True
        self._end.start()
        try:
            super().__init__(host, port, timeout=timeout)
        except BaseException:
            self.close()
            raise

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        made: socket.socket = super()._get_socket(host, port, timeout)  # type: ignore[misc]  # as `SMTP_SSL` does
        self._wire = made.dup()  # encryption takes the socket away from its first owner; this one stays
        if self._over:
            made.close()
            raise TimeoutError("the time of the session is over")
        return made

    def getreply(self) -> tuple[int, bytes]:
        """Return the answer to a command, which may have `MAX_REPLY` bytes."""
        if self.file is None and self.sock is not None:
            self.file = _Answer(self.sock.makefile("rb"))
        if isinstance(self.file, _Answer):
            self.file.left = MAX_REPLY
        return super().getreply()

    def close(self) -> None:
        """End the session at once."""
        self._end.cancel()
        super().close()
        if self._wire is not None:
            self._wire.close()

    def _cut(self) -> None:
        self._over = True
        if self._wire is not None:
            with suppress(OSError):
                self._wire.shutdown(socket.SHUT_RDWR)


class _Answer:
    """The lines of an answer, up to a number of bytes."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.left = MAX_REPLY

    def readline(self, limit: int = -1) -> bytes:
        line = self._file.readline(limit)
        self.left -= len(line)
        if self.left < 0:
            raise OSError("its answer has no end")
        return line

    def close(self) -> None:
        self._file.close()
