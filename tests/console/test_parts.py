"""The parts of the console that need no server: sessions, limits, the graph, the templates, the operator's file."""

import itertools
from collections.abc import AsyncIterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import ValidationError

from airlock.admission.configuration.config import parse_config
from airlock.admission.configuration.console_config import ConsoleConfig, OidcConfig
from airlock.base.errors import ConfigError
from airlock.base.incoming import Verdict
from airlock.console.graph import MOST, picture
from airlock.console.guard import MAX_BODY, Guard
from airlock.console.limits import RateLimit
from airlock.console.passkeys import toml_of
from airlock.console.people import People
from airlock.console.rendering import Templates, away, marked, plan_path
from airlock.console.sessions import AGAIN_FOR, MOST_SHOWN, Session, Sessions
from airlock.run.presentation.changes import StepChange, block
from airlock.signing.passkey import Passkey
from tests.core.build import NOW
from tests.signers import PasskeyPerson


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def sessions(clock: Clock, valid: bool = True) -> Sessions:
    return Sessions(60.0, 600.0, lambda _: valid, clock)


def test_a_session_ends_when_idle_and_in_any_case():
    clock = Clock()
    known = sessions(clock)
    name = known.begin("olga", "oidc", "1")
    for _ in range(11):
        clock.now += 50
        assert known.find(name, click=True) is not None
    clock.now += 51
    assert known.find(name, click=True) is None, "ten minutes have passed"
    name = known.begin("olga", "oidc", "1")
    clock.now += 50
    assert known.find(name) is not None, "what a page asks by itself ..."
    clock.now += 11
    assert known.find(name) is None, "... does not keep the session"


def test_a_session_is_known_by_its_whole_id_alone_and_ends_with_its_person():
    known = sessions(Clock())
    name = known.begin("olga", "oidc", "1")
    assert known.find(name) is known.find(name)
    for other in ("", None, name[:-1], name + "x", name.upper()):
        assert known.find(other) is None
    known.end(name)
    assert known.find(name) is None
    gone = sessions(Clock(), valid=False)
    assert gone.find(gone.begin("olga", "oidc", "1")) is None


def test_a_session_remembers_what_it_was_shown_within_a_bound():
    session = Session("olga", "oidc", "1", 0.0, 0.0)
    shown = session.show("plan-a", "d1", ["a", "b"], ["a"])
    assert not shown.whole
    assert session.show("plan-a", "d1", ["a", "b"], ["b"]).whole
    assert session.was_shown("plan-a", "d2") is None
    assert session.was_shown("plan-b", "d1") is None
    for number in range(MOST_SHOWN):
        session.show("plan-c", f"{number}", ["a"], ["a"])
    assert session.was_shown("plan-a", "d1") is None


def test_a_page_that_loads_itself_again_says_again_what_was_decided_and_no_other_page_does():
    session = Session("olga", "oidc", "1", 0.0, 0.0)
    session.tell("unlock", Verdict(accepted=True, reason="it is rehearsed"))
    (first,) = session.take_notices("/plans/a", 100.0)
    assert session.take_notices("/plans/a", 100.0 + AGAIN_FOR - 1.0) == (first,)
    session.tell("lock", Verdict(accepted=True, reason="wait"))
    assert [notice.text for notice in session.take_notices("/plans/a", 100.0 + AGAIN_FOR - 1.0)] == [
        "unlock accepted: it is rehearsed", "lock accepted: wait"
    ]  # fmt: skip
    assert session.take_notices("/", 100.0 + AGAIN_FOR - 1.0) == ()
    session.tell("abort", Verdict(accepted=True, reason="over"))
    assert len(session.take_notices("/plans/a", 200.0)) == 1
    assert session.take_notices("/plans/a", 200.0 + AGAIN_FOR) == ()


def test_a_limit_gives_back_with_time_and_forgets_the_silent():
    clock = Clock()
    limit = RateLimit(burst=2, every=10.0, clock=clock)
    assert [limit.allows("a") for _ in range(3)] == [True, True, False]
    assert limit.allows("b")
    clock.now += 10.0
    assert [limit.allows("a") for _ in range(2)] == [True, False]


def change(id: str, *after: str, **more: Any) -> StepChange:
    fields = {"sign": "~", "tool": "t", "agent": "x", "risk": "LOW", "reversibility": "reversible", "goes_to": "LIVE",
              "writes": True, **more}  # fmt: skip
    return StepChange(id=id, after=after, **fields)


def test_a_picture_has_each_step_below_what_it_depends_on_and_none_on_another():
    steps = [change("a"), change("b", "a"), change("c", "a"), change("d", "b", "c"), change("e")]
    found = picture(steps)
    assert found is not None
    places = {node.id: node for node in found.nodes}
    assert places["a"].y < places["b"].y == places["c"].y < places["d"].y
    for one, other in itertools.combinations(found.nodes, 2):
        assert abs(one.x - other.x) >= found.node_width or abs(one.y - other.y) >= found.node_height
    assert all(0 <= node.x <= found.width - found.node_width for node in found.nodes)
    assert len(found.edges) == 4


LONG = [change(f"s{number}", *([f"s{number - 1}"] if number else [])) for number in range(MOST + 1)]


@pytest.mark.parametrize("steps", [[], [change("a")], [change("a"), change("b")], LONG])
def test_a_picture_that_says_nothing_or_too_much_is_left_out(steps: list[StepChange]):
    assert picture(steps) is None


@pytest.mark.parametrize("value", ["a  b", ["a  b"], [{"name": "a  b"}, {"name": "a b"}], {"row": {"a  b": "x" * 200}}])
def test_two_spaces_are_not_drawn_as_one(value: object):
    style = (files("airlock.console") / "static" / "console.css").read_text(encoding="utf-8")
    assert ".spaces { white-space: pre-wrap; }" in style
    page = '{% import "blocks.html" as blocks with context %}{{ blocks.value(shown) }}'
    found = Templates()._environment.from_string(page).render(shown=block("x", value, whole=True))
    assert found.count('a<span class="spaces">  </span>b') == 1


def test_texts_are_escaped_and_their_marks_stand_out():
    assert marked("<b>⟨U+200B⟩&") == "&lt;b&gt;<mark>⟨U+200B⟩</mark>&amp;"
    templates = Templates()
    template = templates._environment.from_string("{{ a }}|{{ a|v }}|{{ b|v }}")
    found = template.render(a="<i>\u202eevil", b="⟨U+200B⟩")
    assert found == "&lt;i&gt;\ufffdevil|&lt;i&gt;<mark>⟨U+202E⟩</mark>evil|<mark>⟨U+27E8⟩</mark>U+200B<mark>⟨U+27E9⟩</mark>"


@pytest.mark.parametrize("plan_id", ["../../evil", "//evil.example", "a?b#c", "a/b", "a\nb"])
def test_no_plan_id_leads_elsewhere(plan_id: str):
    path = plan_path(plan_id)
    assert path.startswith("/plans/")
    assert not set(path.removeprefix("/plans/")) & set("/?#\n")


def test_how_far_a_time_is_away():
    assert away(NOW.replace(hour=15), NOW) == "in 3 h 0 min"
    assert away(NOW.replace(minute=5), NOW) == "in 5 min"
    assert away(NOW.replace(hour=11, minute=30), NOW) == "30 min ago"
    assert away(None, NOW) == ""


@pytest.mark.parametrize(
    "url",
    ["http://console.example.com", "ftp://localhost", "https://a.example/path", "https://u@a.example", "localhost:8780",
     "https://a.example:99999", "https://"],
)  # fmt: skip
def test_an_address_that_would_not_do_is_refused_by_name(url: str):
    with pytest.raises(ConfigError, match=r"console\.url"):
        parse_config(f'[console]\nurl = "{url}"\n')


def test_the_address_gives_the_host_of_passkeys_and_requests():
    config = ConsoleConfig(url="https://Console.Example.com:8443/")
    assert (config.host, config.netloc, config.secure) == ("console.example.com", "console.example.com:8443", True)
    assert config.takes_passkeys
    assert not ConsoleConfig(url="http://127.0.0.1:8780").takes_passkeys
    assert not ConsoleConfig(url="http://[::1]:8780").takes_passkeys


def test_a_provider_is_reached_by_https_and_asked_for_a_token():
    for wrong in ({"issuer": "http://login.example.com"}, {"scopes": ("email",)}, {"client_id": ""}):
        with pytest.raises(ValidationError):
            OidcConfig(**{"issuer": "https://login.example.com", "client_id": "a", **wrong})


def test_a_misspelt_key_is_named():
    with pytest.raises(ConfigError, match=r"console\.idel"):
        parse_config('[console]\nidel = "5m"\n')


async def test_an_error_leaves_its_kind_in_the_log_and_never_its_text(caplog: pytest.LogCaptureFixture):
    async def fails(scope: Any, receive: Any, send: Any) -> None:
        raise ValueError("the-secret-argument")

    transport = httpx.ASGITransport(Guard(fails, ConsoleConfig()))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost:8780") as client:
        answer = await client.get("/")
    assert (answer.status_code, "secret" in answer.text) == (500, False)
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    assert [record.getMessage() for record in caplog.records if record.name == "airlock.console.guard"] == [
        "a request failed: ValueError"
    ]
    assert "secret" not in caplog.text


async def test_a_body_without_a_length_ends_where_it_gets_too_long():
    read: list[int] = []

    async def reads(scope: Any, receive: Any, send: Any) -> None:
        while (message := await receive())["type"] == "http.request" and message.get("more_body"):
            read.append(len(message["body"]))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b"x" * 100_000

    transport = httpx.ASGITransport(Guard(reads, ConsoleConfig()))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost:8780") as client:
        await client.post("/", content=chunks(), headers={"origin": "http://localhost:8780"})
    assert sum(read) <= MAX_BODY


PAGE = "http://localhost:8780"


def test_the_lines_for_the_operator_are_toml_whatever_the_name(tmp_path: Path):
    names = ['Zoë "the" \\ O\'Neil', "Łukasz", "\U0001d504"]
    text = "\n".join(
        toml_of(Passkey.model_validate({**PasskeyPerson(name).registered, "rp_id": "localhost", "origins": [PAGE]}))
        for name in names
    )
    path = tmp_path / "airlock.toml"
    path.write_text(text, encoding="utf-8")
    people = People(path)
    assert [passkey.person for passkey in people.config.policy.passkeys] == names
    assert people.can_enter
