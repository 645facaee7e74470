"""A PostgreSQL database as it really is, seen past the tools, and a proxy that loses connections to it."""

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

import psycopg
import sqlalchemy as sa

WITHIN = 120.0


class Postgres:
    """The database of a server of this test session, emptied for each test."""

    def __init__(self, url: str, connection: "psycopg.Connection[Any]") -> None:
        self.url = url
        self._connection = connection

    @classmethod
    @contextmanager
    def connected(cls, url: str) -> Iterator[Self]:
        with cls.session_of(url) as connection:
            database = cls(url, connection)
            database.run("DROP SCHEMA IF EXISTS sales CASCADE; DROP SCHEMA public CASCADE; CREATE SCHEMA public")
            yield database

    @staticmethod
    def session_of(url: str) -> "psycopg.Connection[Any]":
        return psycopg.connect(url.replace("+psycopg", ""), autocommit=True)

    def session(self) -> "psycopg.Connection[Any]":
        """Return another connection, without a transaction."""
        return self.session_of(self.url)

    def settings(self, *options: str, **more: Any) -> dict[str, Any]:
        """Return the settings of the tools, with options of the server for their connections."""
        url = sa.make_url(self.url)
        if options:
            url = url.update_query_dict({"options": " ".join(f"-c{each}" for each in options)})
        for part in ("port", "username"):
            if part in more:
                url = url.set(**{part: more.pop(part)})
        # patient: where a test waits for a lock, a busy machine must not end the wait
        return {"url": url.render_as_string(hide_password=False), "busy_timeout": 600, **more}

    def run(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        found = self._connection.execute(statement, values or None)
        return found.fetchall() if found.description else []

    def rows(self, table: str = "accounts") -> list[str]:
        """Return the rows of a table in the database's own text."""
        return [row for (row,) in self.run(f"SELECT each::text FROM {table} AS each ORDER BY 1")]

    def role(self, name: str, *grants: str) -> None:
        """Make a role with exactly these rights."""
        with contextlib.suppress(psycopg.errors.UndefinedObject):
            self.run(f"DROP OWNED BY {name}; DROP ROLE {name}")
        self.run(f"CREATE ROLE {name} LOGIN; GRANT USAGE ON SCHEMA public TO {name}")
        for grant in grants:
            self.run(f"GRANT {grant} TO {name}")

    async def waiting(self, number: int = 1) -> None:
        """Return once so many connections wait for a lock."""
        query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        until = time.monotonic() + WITHIN
        while self.run(query) != [(number,)]:
            assert time.monotonic() < until, self.run("SELECT query, wait_event_type, wait_event FROM pg_stat_activity")
            await asyncio.sleep(0.01)


class Gate:
    """A place in a call at which it waits until the test lets it go on: its question whether it is still its worker's."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.open = threading.Event()

    def pass_through(self) -> bool:
        self.reached.set()
        assert self.open.wait(WITHIN)
        return True

    async def wait(self) -> None:
        assert await asyncio.to_thread(self.reached.wait, WITHIN)


class _Cuts:
    """The connections that a proxy cuts."""

    def __init__(self, word: bytes, answered: bool, after: bytes, times: int) -> None:
        self.word, self.answered, self.after, self._left = word, answered, after, times
        self._lock = threading.Lock()

    def due(self) -> bool:
        """Return True, and count, if a connection on which the word is sent is to be cut."""
        with self._lock:
            self._left -= 1
            return self._left >= 0


@contextmanager
def losing(url: str, word: bytes, *, answered: bool, after: bytes = b"", times: int = 1_000) -> Iterator[int]:
    """Yield the port of a proxy that cuts a connection when a word is sent over it.

    Args:
        url: The database.
        word: The word.
        answered: True to hand the word on, and to keep back the answer to it; False to keep back the word.
        after: A word that must have been sent over the same connection before.
        times: The number of connections to cut.
    """
    target = ("127.0.0.1", sa.make_url(url).port or 0)
    cuts = _Cuts(word, answered, after, times)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        proxy = threading.Thread(target=_accept, args=(listener, target, cuts), daemon=True)
        proxy.start()
        try:
            yield int(listener.getsockname()[1])
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            proxy.join(WITHIN)


def _accept(listener: socket.socket, target: tuple[str, int], cuts: _Cuts) -> None:
    with contextlib.suppress(OSError):  # the listener is closed in the end
        while True:
            client, _ = listener.accept()
            threading.Thread(target=_carry, args=(client, target, cuts), daemon=True).start()


def _carry(client: socket.socket, target: tuple[str, int], cuts: _Cuts) -> None:
    with client, socket.create_connection(target) as server:
        lost = threading.Event()
        back = threading.Thread(target=_answers, args=(server, client, lost), daemon=True)
        back.start()
        seen = not cuts.after
        with contextlib.suppress(OSError):
            while data := client.recv(1 << 16):
                seen = seen or cuts.after in data
                if seen and cuts.word in data and cuts.due():
                    lost.set()
                if not lost.is_set() or cuts.answered:
                    server.sendall(data)
                if lost.is_set():
                    break
        if not (lost.is_set() and cuts.answered):
            for end in (client, server):
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
        back.join(WITHIN)


def _answers(server: socket.socket, client: socket.socket, lost: threading.Event) -> None:
    with contextlib.suppress(OSError):
        while data := server.recv(1 << 16):
            if lost.is_set():  # the answer to the word: it was carried out
                break
            client.sendall(data)
    for end in (client, server):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
