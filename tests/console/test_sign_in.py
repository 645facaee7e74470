"""Signing in at an identity provider: who gets in, and every token that must not let anyone in."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from joserfc.jwk import OctKey, RSAKey
from temporalio.testing import WorkflowEnvironment

from tests.console.desk import Desk, desk_in
from tests.console.provider import CLIENT, Provider, provider
from tests.console.web import Web

Place = tuple[Desk, Provider]
Visitor = Callable[[Desk], Web]


@pytest.fixture(scope="module")
async def place(console_server: WorkflowEnvironment, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    async with provider() as idp:
        folder = tmp_path_factory.mktemp("sign-in")
        toml = f'people = ["@approver"]\n[console.oidc]\nissuer = "{idp.url}"\nclient_id = "{CLIENT}"\n'
        policy = '[policy.roles]\napprover = ["olga@acme.test", "Paul"]\n'
        async with desk_in(console_server.client, folder, console=toml, policy=policy) as desk:
            yield desk, idp


@pytest.fixture(autouse=True)
def honest(place: Place) -> None:
    _, idp = place
    idp.changes, idp.header, idp.secret = {}, {}, None


async def test_a_person_signs_in_and_out(place: Place, visitor: Visitor) -> None:
    desk, idp = place
    web = visitor(desk)
    assert "You are signed in as" in (await web.signs_in()).text
    asked = idp.asked[-1]
    assert asked["code_challenge_method"] == "S256"
    assert {"state", "nonce", "code_challenge"} <= asked.keys()
    page = await web.get("/")
    assert "olga@acme.test" in page.text
    cookie = web.client.cookies["airlock"]
    await web.post("/logout")
    assert "Sign in" in (await web.get("/")).text
    web.client.cookies.set("airlock", cookie, domain="localhost.local")
    assert "Sign in" in (await web.get("/")).text


async def test_the_cookie_of_a_session_is_for_this_site_alone_and_no_script(place: Place, visitor: Visitor) -> None:
    desk, _ = place
    web = visitor(desk)
    (given,) = [value for value in (await web.signs_in()).headers.get_list("set-cookie") if value.startswith("airlock=")]
    assert {"HttpOnly", "SameSite=strict", "Path=/"} <= set(given.split("; "))


@pytest.mark.parametrize(
    "changes",
    [
        {"nonce": "another"},
        {"nonce": None},
        {"aud": "another-client"},
        {"iss": "https://evil.example"},
        {"exp": 1},
        {"iat": None},
        {"sub": None},
        {"email": None},
        {"email_verified": False},
        {"email_verified": None},
        {"email": "mallory@acme.test"},
        {"email": "airlock"},
        {"email": "ol\u0433a@acme.test"},
        {"email": ["olga@acme.test"]},
    ],
    ids=str,
)
async def test_a_token_that_does_not_fit_lets_nobody_in(place: Place, visitor: Visitor, changes: dict[str, Any]) -> None:
    desk, idp = place
    idp.changes = changes
    web = visitor(desk)
    answer = await web.signs_in()
    assert answer.status_code == 403
    assert not web.csrf
    assert "airlock" not in web.client.cookies


async def test_a_token_signed_by_another_key_lets_nobody_in(place: Place, visitor: Visitor) -> None:
    desk, idp = place
    idp.secret = OctKey.import_key(CLIENT * 4)
    idp.header = {"alg": "HS256"}
    assert (await visitor(desk).signs_in()).status_code == 403


async def test_a_provider_may_change_its_key(place: Place, visitor: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    desk, idp = place
    monkeypatch.setattr("airlock.console.oidc._KNOWN_AGAIN", 0.0)
    web = visitor(desk)
    await web.signs_in()
    idp.key = RSAKey.generate_key(2048, {"kid": "two", "alg": "RS256", "use": "sig"})
    idp.header = {"kid": "two"}
    web = visitor(desk)
    await web.signs_in()
    assert web.csrf
    idp.key = RSAKey.generate_key(2048, {"kid": "one", "alg": "RS256", "use": "sig"})
    idp.header = {"kid": "three"}
    assert (await visitor(desk).signs_in()).status_code == 403
    idp.header = {}
    await visitor(desk).signs_in()


async def test_an_answer_belongs_to_the_browser_that_asked_and_counts_once(place: Place, visitor: Visitor) -> None:
    desk, _ = place
    victim, attacker = visitor(desk), visitor(desk)
    attacker.client.follow_redirects = victim.client.follow_redirects = False
    asked = (await attacker.get("/login/oidc")).headers["location"]
    stolen = (await attacker.client.get(asked)).headers["location"]
    await victim.get("/login/oidc")
    assert (await victim.get(stolen)).status_code == 403
    assert (await visitor(desk).get(stolen)).status_code == 403
    assert (await attacker.get(stolen)).status_code == 200
    assert (await attacker.get(stolen)).status_code == 403


async def test_who_is_taken_out_of_the_roles_is_out_at_once(place: Place, visitor: Visitor) -> None:
    desk, _ = place
    web = visitor(desk)
    await web.signs_in()
    policy = desk.policy
    try:
        desk.policy = policy.replace("olga@acme.test", "someone.else@acme.test")
        desk.write()
        assert "Sign in" in (await web.get("/")).text
    finally:
        desk.policy = policy
        desk.write()


async def test_a_file_that_is_broken_changes_nothing(place: Place, visitor: Visitor) -> None:
    desk, _ = place
    web = visitor(desk)
    await web.signs_in()
    desk.path.write_text("[policy", encoding="utf-8")
    try:
        assert "olga@acme.test" in (await web.get("/")).text
    finally:
        desk.write()


async def test_many_sign_ins_are_slowed_down(place: Place, visitor: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    desk, _ = place
    web = visitor(desk)
    web.client.follow_redirects = False
    monkeypatch.setattr("airlock.console.limits.RateLimit.allows", lambda self, sender: self._every < 1.0)
    answer = await web.get("/login/oidc")
    assert (answer.status_code, "too many sign-ins" in answer.text) == (403, True)


async def test_a_link_in_a_message_leads_to_its_plan_through_the_sign_in(place: Place, visitor: Visitor) -> None:
    desk, _ = place
    web = visitor(desk)
    page = await web.get("/plans/some-plan", headers={"sec-fetch-site": "cross-site"})
    assert 'content="0; url=/plans/some-plan"' in page.text, "the browser asks again, now with its cookie"
    assert "Sign in" in (await web.get("/plans/some-plan")).text
    assert 'content="0; url=/plans/some-plan"' in (await web.get("/login/oidc")).text
    other = visitor(desk)
    for path in ("/plans/%22%3E%3Cscript%3E", "/plans//evil.example"):
        await other.get(path)
        page = await other.get("/login/oidc")
        assert "<script>" not in page.text
        assert "url=//" not in page.text
