"""Names that people choose at an identity provider: other letters of a name open no session of the person it belongs to."""

from collections.abc import AsyncIterator, Callable

import pytest
from temporalio.testing import WorkflowEnvironment

from tests.console.desk import Desk, desk_in
from tests.console.provider import CLIENT, Provider, provider
from tests.console.web import Web

Place = tuple[Desk, Provider]
Visitor = Callable[[Desk], Web]


@pytest.fixture(scope="module")
async def place(console_server: WorkflowEnvironment, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    async with provider() as idp:
        toml = f'people = ["@approver"]\n[console.oidc]\nissuer = "{idp.url}"\nclient_id = "{CLIENT}"\n'
        policy = '[policy.roles]\napprover = ["olga@acme.test", "Paul"]\n'
        folder = tmp_path_factory.mktemp("spellings")
        async with desk_in(console_server.client, folder, console=toml, policy=policy) as desk:
            yield desk, idp


@pytest.mark.parametrize(
    "name",
    [
        "\uff4flga@acme.test",
        "o\u200blga@acme.test",
        "olga@acme\uff0etest",
        "\U0001d428lga@acme.test",
        "ol\u00adga@acme.test",
    ],
)
async def test_who_chooses_the_own_name_at_the_provider_becomes_no_other_person(
    place: Place, visitor: Visitor, name: str
) -> None:
    desk, idp = place
    idp.changes = {"email": name}
    web = visitor(desk)
    answer = await web.signs_in()
    assert answer.status_code == 403
    assert "another spelling of" in answer.text
    assert "Sign in" in (await web.get("/")).text


@pytest.mark.parametrize("name", ["OLGA@acme.test", " olga@acme.test "])
async def test_capitals_and_spaces_make_no_other_person(place: Place, visitor: Visitor, name: str) -> None:
    desk, idp = place
    idp.changes = {"email": name}
    assert "You are signed in as" in (await visitor(desk).signs_in()).text


async def test_a_name_that_the_file_spells_so_is_taken(place: Place, visitor: Visitor) -> None:
    desk, idp = place
    idp.changes = {"email": "O\u2019Neil"}
    assert "not among those" in (await visitor(desk).signs_in()).text
    before = desk.policy
    desk.policy = before.replace('"Paul"', '"Paul", "O\'Neil"')
    desk.write()
    assert "another spelling of" in (await visitor(desk).signs_in()).text
    desk.policy = before.replace('"Paul"', '"Paul", "O\u2019Neil"')
    desk.write()
    assert "You are signed in as" in (await visitor(desk).signs_in()).text
