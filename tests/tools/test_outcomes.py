"""The table of answers: each row, the codes that decide most, and what no answer may ever mean."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.exc import OperationalError, ProgrammingError

from airlock.base.errors import InDoubt, ToolFailed
from airlock.plans.contract import Mode
from airlock.plans.tool_call import ToolCall
from airlock.tools.databases import row_trials
from airlock.tools.databases.database import answer_of
from airlock.tools.files.backups import _put
from airlock.tools.files.folder import ABSENT, FileState
from airlock.tools.outcomes import ANY, LOST, NOT_SENT, PUT_OFF, TABLE, Asked, Effect, Row, errno_name, meaning, rows

WRITES = {
    Asked.HTTP_WRITE: (
        "not sent",
        PUT_OFF,
        "425",
        "429",
        *(str(code) for code in range(400, 500) if code not in (408, 499)),
    ),
    Asked.HTTP_REMOVAL: ("not sent", PUT_OFF, *(str(code) for code in range(400, 500) if code not in (404, 408, 410, 499))),
    Asked.SMTP_MAIL: tuple(str(code) for code in range(400, 600)),
}
"""The answers to a request that was sent and may change something which say in a reliable way that it did not."""


def _examples(row: Row) -> Iterator[str]:
    for answer in row.answers:
        yield {ANY: "unheard of", NOT_SENT: NOT_SENT, LOST: LOST, PUT_OFF: PUT_OFF}.get(answer, answer.replace("x", "7"))


@pytest.mark.parametrize(
    ("row", "answer"), [(row, answer) for row in TABLE for answer in _examples(row)], ids=lambda given: str(given)[:40]
)
def test_every_row_decides_its_answers(row: Row, answer: str) -> None:
    assert meaning(row.asked, answer) == row.meaning, "a row above it takes the answer away"


@pytest.mark.parametrize("asked", Asked)
def test_the_last_row_of_each_kind_takes_whatever_comes(asked: Asked) -> None:
    *_, last = rows(asked)
    assert last.answers == (ANY,)


@pytest.mark.parametrize(
    ("asked", "answer", "effect", "again"),
    [
        (Asked.HTTP_WRITE, NOT_SENT, Effect.NONE, True),
        (Asked.HTTP_WRITE, LOST, Effect.DOUBT, True),
        *((Asked.HTTP_WRITE, code, Effect.SUCCESS, False) for code in (200, 201, 202, 204, 299)),
        *((Asked.HTTP_WRITE, code, Effect.DOUBT, True) for code in (100, 101, 300, 301, 302, 303, 304, 307, 308, 408, 499)),
        *((Asked.HTTP_WRITE, code, Effect.DOUBT, True) for code in (500, 501, 502, 503, 504, 520, 599, 600, 999)),
        *((Asked.HTTP_WRITE, code, Effect.NONE, False) for code in (400, 401, 403, 404, 409, 410, 412, 422, 424, 451)),
        *((Asked.HTTP_WRITE, code, Effect.NONE, True) for code in (421, 423, 425, 429)),
        *((Asked.HTTP_REMOVAL, code, Effect.NONE, True) for code in (421, 423, 429)),
        *((Asked.HTTP_REMOVAL, code, Effect.SUCCESS, False) for code in (204, 404, 410)),
        *((Asked.HTTP_REMOVAL, code, Effect.DOUBT, True) for code in (302, 408, 500, 503)),
        *((Asked.HTTP_READ, code, Effect.NONE, True) for code in (408, 421, 423, 425, 429, 500, 503, 599)),
        *((Asked.HTTP_READ, code, Effect.NONE, False) for code in (302, 304, 401, 404)),
        (Asked.HTTP_READ, LOST, Effect.NONE, True),
        (Asked.SMTP_SESSION, 454, Effect.NONE, True),
        (Asked.SMTP_SESSION, 535, Effect.NONE, False),
        (Asked.SMTP_SESSION, 554, Effect.NONE, False),
        *((Asked.SMTP_ADDRESS, code, Effect.SUCCESS, False) for code in (250, 251)),
        *((Asked.SMTP_ADDRESS, code, Effect.NONE, True) for code in (421, 450, 451, 452, LOST, -1)),
        *((Asked.SMTP_ADDRESS, code, Effect.NONE, False) for code in (550, 553)),
        (Asked.SMTP_DATA, 250, Effect.NONE, True),
        (Asked.SMTP_MAIL, 250, Effect.SUCCESS, False),
        *((Asked.SMTP_MAIL, code, Effect.NONE, True) for code in (421, 451, 452)),
        *((Asked.SMTP_MAIL, code, Effect.NONE, False) for code in (552, 554)),
        *((Asked.SMTP_MAIL, code, Effect.DOUBT, True) for code in (LOST, -1, 354, 999)),
        *((Asked.SQL_STATEMENT, code, Effect.NONE, True) for code in ("40001", "40P01", "08006", "OperationalError")),
        *((Asked.SQL_STATEMENT, code, Effect.NONE, True) for code in ("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_FULL")),
        *(
            (Asked.SQL_STATEMENT, code, Effect.NONE, False)
            for code in ("SQLITE_ERROR", "SQLITE_CONSTRAINT", "SQLITE_READONLY")
        ),
        *((Asked.SQL_STATEMENT, code, Effect.NONE, False) for code in ("23505", "42P01", "IntegrityError", "DataError")),
        *((Asked.SQL_COMMIT, code, Effect.DOUBT, True) for code in ("40003", "08006", "57P01", "OperationalError", LOST)),
        (Asked.SQL_COMMIT, "40001", Effect.NONE, True),
        (Asked.SQL_COMMIT, "23503", Effect.NONE, False),
        *((Asked.FILE_DRAFT, code, Effect.NONE, True) for code in ("ENOSPC", "EDQUOT", "EMFILE")),
        (Asked.FILE_DRAFT, "EACCES", Effect.NONE, False),
        (Asked.FILE_SWAP, "EIO", Effect.DOUBT, True),
    ],
)
def test_what_an_answer_means(asked: Asked, answer: str | int, effect: Effect, again: bool) -> None:
    found = meaning(asked, answer)
    assert (found.effect, found.again) == (effect, again)


@given(st.sampled_from(sorted(WRITES)), st.one_of(st.integers(-1, 1_000).map(str), st.just(LOST), st.text(max_size=6)))
def test_what_was_sent_is_certainly_without_effect_only_where_its_target_says_so(asked: Asked, answer: str) -> None:
    found = meaning(asked, answer)
    assert (found.effect is Effect.NONE) is (answer in WRITES[asked])
    if found.effect is Effect.SUCCESS:
        assert answer[:1] == "2" or asked is Asked.HTTP_REMOVAL


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES])
def test_errors_of_the_operating_system_have_their_name(number: int) -> None:
    assert errno_name(OSError(number, os.strerror(number))) == errno.errorcode[number]
    assert errno_name(OSError("without a number")) == ANY


class Driver(Exception):
    """An error as drivers raise it: psycopg with `sqlstate`, psycopg2 with `pgcode`, others with neither."""

    def __init__(self, **given: str | None) -> None:
        super().__init__("said no")
        self.__dict__.update(given)


@pytest.mark.parametrize(
    ("given", "answer"),
    [
        ({"sqlstate": "40001"}, "40001"), ({"pgcode": "23505"}, "23505"), ({"sqlstate": None}, "OperationalError"),
        ({}, "OperationalError"), ({"sqlstate": "odd"}, "OperationalError"),
        ({"sqlite_errorname": "SQLITE_BUSY"}, "SQLITE_BUSY"), ({"sqlite_errorname": "SQLITE_BUSY_SNAPSHOT"}, "SQLITE_BUSY"),
        ({"sqlite_errorname": "SQLITE_IOERR_SHMMAP"}, "SQLITE_IOERR"), ({"sqlite_errorname": None}, "OperationalError"),
    ],
)  # fmt: skip
def test_a_database_answers_with_its_sqlstate_if_it_gave_one(given: dict[str, str | None], answer: str) -> None:
    assert answer_of(OperationalError("COMMIT", {}, Driver(**given))) == answer


@pytest.mark.parametrize("given", [{"sqlstate": "42501"}, {"pgcode": "42501"}, {"sqlstate": "25006"}])
def test_a_server_that_may_only_be_read_has_not_refused_the_row(
    given: dict[str, str | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refusing(call: Any, *, write: bool) -> Any:
        refused = ToolFailed("the database refused it")
        raise refused from ProgrammingError("INSERT", {}, Driver(**given))

    monkeypatch.setattr(row_trials, "transaction", refusing)
    call = ToolCall(plan_id="p", step_id="s", agent="a", mode=Mode.DRY_RUN, idempotency_key="p/s")
    assert "were not tried: this worker may only read" in row_trials.tried(call, lambda _: None, [])


def test_a_file_that_is_neither_as_it_was_nor_as_it_should_be_is_in_doubt(tmp_path: Path) -> None:
    """The operating system refuses to put a file over a folder that came into its place."""
    draft, target = tmp_path / "draft", tmp_path / "target"
    draft.write_bytes(b"new")
    target.mkdir()
    after = FileState.of(b"new", 0o644)
    with pytest.raises(InDoubt, match="was being replaced"):
        _put(draft, target, FileState.of(b"old", 0o644), after)
    assert (draft.read_bytes(), list(target.iterdir())) == (b"new", [])
    missing = tmp_path / "no draft"
    target.rmdir()
    with pytest.raises(FileNotFoundError):
        _put(missing, target, ABSENT, after)
