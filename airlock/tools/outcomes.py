"""The one table of answers: what each answer of a target says about the effect of a request, by protocol.

A request that may change something and was sent is in doubt, unless its target says in a way that can be relied on that it
had no effect. Every built-in tool asks this table, and the page about outcomes is generated from it.
"""

import errno
import string
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

NOT_SENT: Final = "not sent"
"""No connection, or the request cannot be written: no byte of it left."""
LOST: Final = "lost"
"""The request was sent; its answer did not come, or is not one of the protocol."""
PUT_OFF: Final = "4xx with a Retry-After"
"""A refusal that says when the same request may be sent again."""
ANY: Final = "anything else"
INPUT_REQUIRED: Final = "input required"
"""An answer of an MCP server that asks for something before it goes on."""
UNREAD: Final = "unreadable"
"""An answer of an MCP server over HTTP that is none of the protocol: the library gives it a code of JSON-RPC itself."""
TOOL_ERROR: Final = "isError"
"""An answer of an MCP tool that says it is an error."""
_MALFORMED: Final = ("-32700", "-32600", "-32601", "-32602", "-32020")
"""Codes of JSON-RPC by which an MCP server refuses a request before it calls a tool."""
SQLSTATE: Final = 5
"""Characters of an SQLSTATE."""


class Effect(StrEnum):
    """The effect of a request, as far as it is known."""

    SUCCESS = "success"
    NONE = "no effect"
    DOUBT = "in doubt"


class Asked(StrEnum):
    """A kind of request, by protocol and by what is at stake."""

    HTTP_WRITE = "HTTP request that changes something"
    HTTP_REMOVAL = "HTTP DELETE of an undo"
    HTTP_READ = "HTTP request that reads: GET, searches, dry runs, probes"
    SMTP_SESSION = "SMTP until a mail begins: greeting, EHLO, STARTTLS, AUTH"
    SMTP_ADDRESS = "SMTP MAIL FROM and RCPT TO"
    SMTP_DATA = "SMTP DATA"
    SMTP_MAIL = "SMTP text of the mail and its final dot"
    SQL_STATEMENT = "SQL until the commit; of an SQLite file also the commit"
    SQL_COMMIT = "SQL commit on a server"
    MCP_WRITE = "MCP call of a tool that changes something"
    MCP_READ = "MCP call of a tool that only reads"
    FILE_DRAFT = "File until it is replaced"
    FILE_SWAP = "File being replaced: rename, unlink"


@dataclass(frozen=True, slots=True)
class Meaning:
    """The meaning of one answer."""

    effect: Effect
    again: bool
    """True if another attempt could succeed. After a doubt the contract decides whether there is one."""
    why: str


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the table."""

    asked: Asked
    answers: tuple[str, ...]
    """Codes, in which `x` is any digit, in an SQLSTATE also any letter; names of errors; one of the names above."""
    meaning: Meaning

    def fits(self, answer: str) -> bool:
        """Return True if the row is about this answer."""
        return any(_fits(pattern, answer) for pattern in self.answers)


def meaning(asked: Asked, answer: str | int) -> Meaning:
    """Return what an answer means: that of the first row that fits.

    Args:
        asked: The kind of request.
        answer: A status or reply code, an SQLSTATE or result code of SQLite, the name of an error, `NOT_SENT`, `LOST` or
            `PUT_OFF`.
    """
    return next(row.meaning for row in rows(asked) if row.fits(str(answer)))


def http_meaning(asked: Asked, status: int, after: float | None) -> Meaning:
    """Return what an HTTP status means; a refusal that says when to come back (`PUT_OFF`) holds for now only.

    Args:
        asked: The kind of request.
        status: The status.
        after: The seconds of its Retry-After; None if it has none.
    """
    found = meaning(asked, status)
    if after is not None and 400 <= status < 500 and found.effect is Effect.NONE and not found.again:
        return meaning(asked, PUT_OFF)
    return found


def rows(asked: Asked) -> Iterator[Row]:
    """Yield the rows of one kind of request, in the order in which they are looked through. The last one fits anything."""
    return (row for row in TABLE if row.asked is asked)


def errno_name(error: OSError) -> str:
    """Return the name of an error of the operating system, such as `ENOSPC`."""
    return errno.errorcode.get(error.errno or 0, ANY)


def _fits(pattern: str, answer: str) -> bool:
    if pattern == ANY:
        return True
    if "x" not in pattern or pattern in (NOT_SENT, LOST, PUT_OFF):
        return pattern == answer
    if len(pattern) != len(answer):
        return False
    allowed = string.digits + (string.ascii_uppercase if len(pattern) == SQLSTATE else "")
    return all(one in ("x", other) and other in allowed for one, other in zip(pattern, answer, strict=True))


def _success(asked: Asked, *answers: str, why: str) -> Row:
    return Row(asked, answers, Meaning(Effect.SUCCESS, again=False, why=why))


def _refused(asked: Asked, *answers: str, why: str) -> Row:
    return Row(asked, answers, Meaning(Effect.NONE, again=False, why=why))


def _not_now(asked: Asked, *answers: str, why: str) -> Row:
    return Row(asked, answers, Meaning(Effect.NONE, again=True, why=why))


def _doubt(asked: Asked, *answers: str, why: str) -> Row:
    return Row(asked, answers, Meaning(Effect.DOUBT, again=True, why=why))


def _http_change(asked: Asked) -> tuple[Row, ...]:
    return (
        _not_now(asked, NOT_SENT, why="no connection was made"),
        _success(asked, "2xx", why="the target did it, also where its body is not what it should be: that is kept as text"),
        _doubt(asked, LOST, why="the connection was lost before an answer, or within the body of a 2xx"),
        _doubt(asked, "408", "499", why="the time of the target, or of a gateway, was over: either may have acted"),
        _not_now(asked, "425", "429", why="the target turned the request away before it did anything"),
        _not_now(asked, "421", why="it came to a server that does not answer for this address (RFC 9110, 15.5.20)"),
        _not_now(asked, "423", why="what it would change is locked (RFC 4918, 11.3)"),
        _not_now(asked, PUT_OFF, why="the target refuses it for now only: a quota (403), no room (413; RFC 9110, 15.5.14)"),
        _refused(asked, "4xx", why="the target says that the request is at fault"),
        _doubt(asked, "3xx", why="a redirect, which is not followed, tells nothing of what was done before it"),
        _doubt(asked, "5xx", why="the target, or a gateway before it, failed at an unknown point"),
        _doubt(asked, ANY, why="the request was sent, and no answer says what it did"),
    )


TABLE: Final[tuple[Row, ...]] = (
    *_http_change(Asked.HTTP_WRITE),
    _success(Asked.HTTP_REMOVAL, "404", "410", why="it is gone already"),
    *_http_change(Asked.HTTP_REMOVAL),
    _success(Asked.HTTP_READ, "2xx", why="the answer is the result"),
    _not_now(Asked.HTTP_READ, "408", "421", "423", "425", "429", "5xx", why="the target could not answer now"),
    _not_now(Asked.HTTP_READ, PUT_OFF, why="the target refuses it for now only: a quota (403)"),
    _refused(Asked.HTTP_READ, "xxx", why="the target says that the request is at fault, or points elsewhere"),
    _not_now(Asked.HTTP_READ, ANY, why="no answer; a read changes nothing"),
    _success(Asked.SMTP_SESSION, "2xx", why="the session goes on"),
    _refused(Asked.SMTP_SESSION, "5xx", why="the server refuses for good; no mail was begun"),
    _not_now(Asked.SMTP_SESSION, ANY, why="no mail was begun"),
    _success(Asked.SMTP_ADDRESS, "2xx", why="the server takes the address"),
    _refused(Asked.SMTP_ADDRESS, "5xx", why="the server refuses the address for good"),
    _not_now(Asked.SMTP_ADDRESS, ANY, why="greylisting and the like: no byte of the mail was sent"),
    _success(Asked.SMTP_DATA, "354", why="the server waits for the mail"),
    _refused(Asked.SMTP_DATA, "5xx", why="the server refuses for good"),
    _not_now(Asked.SMTP_DATA, ANY, why="no byte of the mail was sent"),
    _success(Asked.SMTP_MAIL, "2xx", why="the server is responsible for the mail from here on"),
    _not_now(Asked.SMTP_MAIL, "4xx", why="the sender stays responsible for the mail (RFC 5321, 4.2.5)"),
    _refused(Asked.SMTP_MAIL, "5xx", why="the server refuses the mail for good (RFC 5321, 4.2.5)"),
    _doubt(Asked.SMTP_MAIL, ANY, why="the server may have taken the mail before the connection was lost"),
    _refused(
        Asked.SQL_STATEMENT, "23xxx", "SQLITE_CONSTRAINT", "IntegrityError",
        why="a constraint; the transaction is rolled back",
    ),
    _not_now(
        Asked.SQL_STATEMENT, "08xxx", "25P03", "25P04", "40xxx", "53xxx", "55P03", "57xxx", "58xxx", "SQLITE_BUSY",
        "SQLITE_LOCKED", "SQLITE_FULL", "SQLITE_IOERR", "SQLITE_CANTOPEN", "SQLITE_PROTOCOL", "SQLITE_NOMEM",
        "SQLITE_INTERRUPT", "OperationalError", NOT_SENT, LOST,
        why="a lock, a deadlock, a serialization failure, a full disk, a lost connection: nothing was committed",
    ),
    _refused(Asked.SQL_STATEMENT, ANY, why="an error of the statement; the transaction is rolled back"),
    _doubt(Asked.SQL_COMMIT, "40003", why="the server does not know whether it committed"),
    _not_now(Asked.SQL_COMMIT, "40xxx", why="a serialization failure or a deadlock: the server rolled back"),
    _refused(Asked.SQL_COMMIT, "23xxx", why="a deferred constraint: the server rolled back"),
    _doubt(Asked.SQL_COMMIT, ANY, why="the server may have committed before the connection was lost"),
    _not_now(Asked.MCP_WRITE, NOT_SENT, why="the server could not be reached, or its list of tools did not come"),
    _refused(
        Asked.MCP_WRITE, *_MALFORMED,
        why="the server takes the request for malformed: it called no tool (JSON-RPC 2.0, 5.1)",
    ),
    _doubt(
        Asked.MCP_WRITE, UNREAD,
        why="over HTTP, an answer that cannot be read: a 202, a redirect, a 2xx that is neither JSON nor events",
    ),
    _refused(Asked.MCP_WRITE, INPUT_REQUIRED, why="the server asks for input before it goes on, and gets none"),
    _doubt(Asked.MCP_WRITE, TOOL_ERROR, why="the tool may have acted before it failed, unless the operator says otherwise"),
    _doubt(Asked.MCP_WRITE, ANY, why="the request was sent, and no answer says what it did"),
    _refused(
        Asked.MCP_READ, TOOL_ERROR, INPUT_REQUIRED, *_MALFORMED, why="the server says that the request is at fault"
    ),
    _not_now(Asked.MCP_READ, ANY, why="no answer; a read changes nothing"),
    _not_now(
        Asked.FILE_DRAFT, "ENOSPC", "EDQUOT", "EAGAIN", "EBUSY", "EINTR", "EMFILE", "ENFILE", "ENOENT",
        why="the file was not touched",
    ),
    _refused(Asked.FILE_DRAFT, ANY, why="the file was not touched"),
    _not_now(Asked.FILE_SWAP, "ENOENT", why="another program removed the file or its folder meanwhile"),
    _doubt(Asked.FILE_SWAP, ANY, why="the file is looked at: as before is no effect, as intended is success"),
)  # fmt: skip
"""The table. A row stands before those that are less specific."""
