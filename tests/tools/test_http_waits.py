"""The time that a server asks to wait is passed on, by its own clock, and nothing is asked again before it."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx
import pytest

from airlock.base.errors import InDoubt
from airlock.tools.outcomes import Asked
from airlock.tools.web import TargetRefused, _failure

SERVER_TIME = {"date": "Wed, 21 Oct 2026 07:28:00 GMT"}


@pytest.mark.parametrize("status", [421, 423, 429, 503])
@pytest.mark.parametrize(
    ("headers", "after"),
    [
        ({}, 0.0),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "7200"}, 7_200.0),
        ({"retry-after": "99999"}, 99_999.0),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:10 GMT", **SERVER_TIME}, 10.0),
        ({"retry-after": "Wed, 21 Oct 2026 08:28:10 +0100", **SERVER_TIME}, 10.0),
        ({"retry-after": "Wed, 21 Oct 2026 07:27:00 GMT", **SERVER_TIME}, 0.0),
        ({"retry-after": "Thu, 21 Oct 2027 07:28:10 GMT", **SERVER_TIME}, 365 * 86_400.0 + 10),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:10 GMT"}, 0.0),
        ({"retry-after": "soon"}, 0.0),
        ({"retry-after": "-5"}, 0.0),
        ({"retry-after": "+5"}, 0.0),
        ({"retry-after": "1e3"}, 0.0),
        ({"retry-after": "nan"}, 0.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after": "7200.5"}, 7_200.5),
        ({"retry-after": " 7 "}, 7.0),
        ([("retry-after", "3"), ("retry-after", "7200")], 7_200.0),
        ([("retry-after", "soon"), ("retry-after", "7")], 7.0),
        ({"retry-after": "Wed Oct 21 07:28:10 2026", **SERVER_TIME}, 10.0),
        ({"retry-after": "Wednesday, 21-Oct-26 07:28:10 GMT", **SERVER_TIME}, 10.0),
        ({"retry-after": "Wed, 21 Oct 99999999999999999999 07:28:10 GMT"}, 0.0),
        ({"retry-after": "9" * 400}, 366 * 86_400.0),
    ],
)
def test_how_long_a_server_asks_to_wait_is_passed_on(status: int, headers: Any, after: float) -> None:
    refusal = _failure(Asked.HTTP_READ, "GET http://x.test", httpx.Response(status, headers=headers), "")
    assert isinstance(refusal, TargetRefused)
    assert (refusal.retry, refusal.after) == (True, after)
    of_write = _failure(Asked.HTTP_WRITE, "POST http://x.test", httpx.Response(status, headers=headers), "")
    assert type(of_write) is (InDoubt if status == 503 else TargetRefused)
    assert of_write.after == after


@pytest.mark.parametrize("asked", [Asked.HTTP_WRITE, Asked.HTTP_REMOVAL, Asked.HTTP_READ])
@pytest.mark.parametrize("status", [403, 409, 413])
@pytest.mark.parametrize(
    ("headers", "retry", "after"),
    [
        ({"retry-after": "7"}, True, 7.0),
        ({"retry-after": "0"}, True, 0.0),
        ({}, False, 0.0),
        ({"retry-after": "soon"}, False, 0.0),
    ],
)
def test_a_refusal_for_now_is_asked_again_when_its_time_has_come(
    asked: Asked, status: int, headers: Any, retry: bool, after: float
) -> None:
    refusal = _failure(asked, "POST http://x.test", httpx.Response(status, headers=headers), "")
    assert isinstance(refusal, TargetRefused)
    assert (refusal.retry, refusal.after) == (retry, after)


@pytest.mark.parametrize("status", [302, 308])
def test_a_redirect_for_later_is_not_asked_again_by_a_read(status: int) -> None:
    refusal = _failure(Asked.HTTP_READ, "GET http://x.test", httpx.Response(status, headers={"retry-after": "7"}), "")
    assert isinstance(refusal, TargetRefused)
    assert not refusal.retry


def test_a_date_without_the_servers_own_time_is_taken_by_this_machines_clock() -> None:
    when = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    refusal = _failure(Asked.HTTP_WRITE, "PUT http://x.test", httpx.Response(429, headers={"retry-after": when}), "")
    assert isinstance(refusal, TargetRefused)
    assert 50 < refusal.after <= 60
