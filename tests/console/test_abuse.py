"""Visitors who take more than their share, ask who may sign in, or never finish a request."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest
from starlette.requests import Request
from starlette.responses import Response
from temporalio.testing import WorkflowEnvironment

from airlock import serving
from airlock.base.incoming import Verdict
from airlock.client.signing import ToSign
from airlock.console import context, watch
from airlock.console.context import Console, Refusal, Visit
from airlock.console.people import People
from airlock.console.sessions import MOST_NOTICES, MOST_OF_ONE, Session, Sessions
from airlock.console.tickets import TICKETS_OF_ONE, Tickets, Wanted
from tests.console.desk import Desk, desk_in
from tests.console.provider import CLIENT, Provider, provider
from tests.console.web import Web

Place = tuple[Desk, Provider]
Visitor = Callable[[Desk], Web]


@pytest.fixture(scope="module")
async def place(console_server: WorkflowEnvironment, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    async with provider() as idp:
        toml = f'people = ["olga@acme.test"]\n[console.oidc]\nissuer = "{idp.url}"\nclient_id = "{CLIENT}"\n'
        async with desk_in(console_server.client, tmp_path_factory.mktemp("abuse"), console=toml) as desk:
            yield desk, idp


def session(person: str = "olga") -> Session:
    return Session(person=person, method="oidc", credential="1", began=0.0, seen=0.0)


# --- who may sign in -------------------------------------------------------------------------------------------------


async def test_a_stranger_does_not_learn_who_may_sign_in(place: Place, visitor: Visitor) -> None:
    web = visitor(place[0])
    answers = [await web.post("/register/options", person=name) for name in ("olga@acme.test", "mallory")]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert [sorted(answer.json()) for answer in answers] == [sorted(answers[0].json())] * 2
    assert (await web.post("/register/options", person="airlock")).status_code == 400


async def test_a_provider_that_writes_its_name_with_a_slash_signs_people_in(
    console_server: WorkflowEnvironment, tmp_path: Any, visitor: Visitor
) -> None:
    async with provider() as idp:
        idp.slash = "/"
        toml = f'[console.oidc]\nissuer = "{idp.url}/"\nclient_id = "{CLIENT}"\n'
        async with desk_in(console_server.client, tmp_path, console=toml) as desk:
            assert "You are signed in as" in (await visitor(desk).signs_in()).text
            idp.changes = {"iss": idp.url}
            assert "does not count" in (await visitor(desk).signs_in()).text, "not the name that it gives itself"


# --- more than one's share -------------------------------------------------------------------------------------------


def test_who_asks_for_many_signatures_takes_no_ticket_from_another_person() -> None:
    tickets, olga, mallory = Tickets(), session(), session("mallory")
    wanted, signed = Wanted("lock", {}), cast(ToSign, SimpleNamespace())
    hers = tickets.add(olga, wanted, signed)
    names = [tickets.add(mallory, wanted, signed) for _ in range(1_000)]
    assert tickets.take(olga, hers, wanted) is signed
    assert len(tickets.known) == TICKETS_OF_ONE
    with pytest.raises(Refusal):
        tickets.take(mallory, names[0], wanted)
    with pytest.raises(Refusal):
        tickets.take(olga, names[-1], wanted)


def test_who_signs_in_often_ends_the_own_sessions_alone() -> None:
    known = Sessions(60, 600, lambda session: True, clock=lambda: 0.0)
    hers = known.begin("olga", "oidc", "1")
    names = [known.begin(name, "oidc", "2") for name, _ in zip(itertools.cycle(["Mallory", "mallory "]), range(300))]
    assert known.find(hers) is not None
    assert [known.find(name) is not None for name in names] == [False] * (300 - MOST_OF_ONE) + [True] * MOST_OF_ONE


def test_answers_that_are_never_looked_at_are_forgotten() -> None:
    olga = session()
    for number in range(1_000):
        olga.tell("lock", Verdict(accepted=False, reason=f"no {number}"))
    assert len(olga.notices) == MOST_NOTICES
    assert olga.notices[-1].text == "lock refused: no 999"


async def test_an_address_that_begins_many_sign_ins_ends_no_sign_in_of_another_one(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(context, "_MOST_OF_ONE", 50)
    console = Console(place[0].airlock, People(place[0].path))

    def browser(address: str, cookie: str = "") -> Request:
        headers = [(b"cookie", f"{console.visit_cookie}={cookie}".encode())]
        return Request({"type": "http", "method": "GET", "path": "/", "headers": headers, "client": (address, 1)})

    async def begins(address: str) -> str:
        async def answer(visit: Visit) -> Response:
            return Response()

        made = await console.begin_visit(browser(address), answer)
        return made.headers["set-cookie"].partition("=")[2].partition(";")[0]

    hers = await begins("192.0.2.1")
    names = [await begins("192.0.2.2") for _ in range(200)]
    assert console.visit(browser("192.0.2.1", hers)) is not None
    assert [console.visit(browser("192.0.2.2", name)) is not None for name in names] == [False] * 150 + [True] * 50
    assert console.end_visit(browser("192.0.2.1", hers)) is not None
    assert console.end_visit(browser("192.0.2.1", hers)) is None, "once"
    for name in names:
        console.end_visit(browser("192.0.2.2", name))
    assert console._visits_from == {}


@pytest.mark.parametrize("path", ["/login/passkey", "/login/passkey/options", "/register", "/register/options"])
async def test_a_stranger_sends_no_large_form(place: Place, visitor: Visitor, path: str) -> None:
    web = visitor(place[0])
    headers = {"origin": web.url, "content-type": "application/x-www-form-urlencoded"}
    whole = await web.client.post(path, content=b"&" * 70_000, headers=headers)
    assert whole.status_code == 413

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(7):
            yield b"&" * 10_000

    answer = await web.client.post(path, content=pieces(), headers=headers)
    assert answer.status_code >= 400 or path == "/login/passkey/options", "which reads no form"
    assert (await web.client.post("/logout", content=b"&" * 70_000, headers=headers)).status_code != 413


# --- slow requests ---------------------------------------------------------------------------------------------------


async def dripping(port: int, begin: bytes, drip: bytes) -> bytes:
    """Send a request that never ends, and return all that comes back until the connection is closed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)

    async def send() -> None:
        writer.write(begin)
        while drip:
            writer.write(drip)
            await writer.drain()
            await asyncio.sleep(0.02)

    sending = asyncio.ensure_future(send())
    try:
        async with asyncio.timeout(60):
            return await reader.read()
    except ConnectionError:
        return b""
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        writer.close()


POST = (
    b"POST /login/passkey HTTP/1.1\r\nhost: HOST\r\norigin: http://HOST\r\n"
    b"content-type: application/x-www-form-urlencoded\r\ncontent-length: 1000000\r\n\r\n"
)
GET = b"GET /login HTTP/1.1\r\nhost: HOST\r\n\r\n"


@pytest.mark.parametrize(
    ("begin", "drip"),
    [
        (b"", b""),
        (b"GET /login HTTP/1.1\r\nx-slow: ", b"a"),
        (POST, b"a"),
        (GET, b""),
        (GET + b"GET / HTTP/1.1\r\nx-slow: ", b"a"),
    ],
    ids=["silent", "slow head", "slow body", "silent after an answer", "slow head after an answer"],
)
async def test_a_connection_whose_request_never_comes_is_closed(
    place: Place, monkeypatch: pytest.MonkeyPatch, begin: bytes, drip: bytes
) -> None:
    monkeypatch.setattr(serving, "REQUEST_WITHIN", 0.5)
    host = place[0].url.removeprefix("http://")
    await dripping(int(host.rpartition(":")[2]), begin.replace(b"HOST", host.encode()), drip)


async def test_a_page_that_listens_for_long_is_not_closed(
    place: Place, visitor: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "REQUEST_WITHIN", 0.2)
    monkeypatch.setattr(watch, "BEAT", 0.5)
    web = visitor(place[0])
    await web.signs_in()
    heard: list[str] = []
    async with asyncio.timeout(60), web.client.stream("GET", "/events") as listening:
        async for line in listening.aiter_lines():
            heard += [line] if line.startswith("event: beat") else []
            if len(heard) == 2:
                break
    assert len(heard) == 2, "each came more than a second after the one before"
