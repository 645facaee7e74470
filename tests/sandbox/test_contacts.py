"""The CRM answers in the shapes of the real one."""

import re
from typing import Any

import httpx
import pytest

LOCATION = "loc-1"


def create(crm: httpx.Client, **fields: Any) -> dict[str, Any]:
    answer = crm.post("/contacts/", json={"locationId": LOCATION, **fields})
    assert answer.status_code == 201, answer.text
    contact: dict[str, Any] = answer.json()["contact"]
    return contact


def everything(crm: httpx.Client) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = crm.get("/_sandbox/contacts").json()["contacts"]
    return found


def test_create_answers_the_contact_and_keeps_it(crm: httpx.Client) -> None:
    contact = create(
        crm,
        firstName="Jo",
        lastName="Doe",
        email="jo@acme.test",
        phone="+3110",
        tags=["lead"],
        source="airlock",
        customFields=[{"id": "f1", "field_value": "x"}],
    )
    assert re.fullmatch(r"[A-Za-z0-9]{20}", contact["id"])
    assert contact["locationId"] == LOCATION
    assert contact["name"] == "Jo Doe"
    assert contact["tags"] == ["lead"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", contact["dateAdded"])
    assert contact["dateUpdated"] == contact["dateAdded"]
    assert crm.get(f"/contacts/{contact['id']}").json()["contact"] == contact
    assert everything(crm) == [contact]


def test_a_full_name_is_split_as_the_real_service_does(crm: httpx.Client) -> None:
    contact = create(crm, name="Jo van Dam")
    assert (contact["firstName"], contact["lastName"]) == ("Jo", "van Dam")


def test_the_path_works_without_the_slash(crm: httpx.Client) -> None:
    assert crm.post("/contacts", json={"locationId": LOCATION, "name": "Jo"}).status_code == 201


def test_an_email_is_unique_within_its_location(crm: httpx.Client) -> None:
    first = create(crm, name="Jo", email="jo@acme.test")
    answer = crm.post("/contacts/", json={"locationId": LOCATION, "email": "JO@acme.test"})
    assert answer.status_code == 400
    body = answer.json()
    assert body["statusCode"] == 400
    assert body["message"] == "This location does not allow duplicated contacts."
    assert body["meta"] == {"contactId": first["id"], "contactName": "Jo", "matchingField": "email"}
    assert crm.post("/contacts/", json={"locationId": "loc-2", "email": "jo@acme.test"}).status_code == 201
    assert len(everything(crm)) == 2


def test_update_changes_what_is_given_and_null_clears(crm: httpx.Client) -> None:
    contact = create(crm, name="Jo Doe", email="jo@acme.test", phone="1")
    answer = crm.put(f"/contacts/{contact['id']}", json={"phone": None, "companyName": "ACME"})
    assert answer.status_code == 200
    assert answer.json()["succeded"] is True
    changed = answer.json()["contact"]
    assert changed == {
        **contact,
        "phone": None,
        "companyName": "ACME",
        "dateUpdated": changed["dateUpdated"],
    }
    assert everything(crm) == [changed]


def test_update_to_the_email_of_another_is_refused_and_to_ones_own_is_not(crm: httpx.Client) -> None:
    create(crm, email="a@acme.test")
    other = create(crm, email="b@acme.test")
    assert crm.put(f"/contacts/{other['id']}", json={"email": "a@acme.test"}).status_code == 400
    assert crm.put(f"/contacts/{other['id']}", json={"email": "b@acme.test"}).status_code == 200


def test_delete_frees_the_email(crm: httpx.Client) -> None:
    contact = create(crm, email="jo@acme.test")
    answer = crm.delete(f"/contacts/{contact['id']}")
    assert (answer.status_code, answer.json()["succeded"]) == (200, True)
    assert crm.delete(f"/contacts/{contact['id']}").status_code == 404
    create(crm, email="jo@acme.test")


def test_search_finds_by_text_newest_first_in_pages(crm: httpx.Client) -> None:
    for n in range(3):
        create(crm, name=f"Jo {n}", email=f"jo{n}@acme.test")
    create(crm, name="Max", email="max@other.test")
    body = {"locationId": LOCATION, "pageLimit": 2, "query": "ACME.test"}
    first = crm.post("/contacts/search", json=body).json()
    assert first["total"] == 3
    assert first["traceId"]
    assert [each["name"] for each in first["contacts"]] == ["Jo 2", "Jo 1"]
    second = crm.post("/contacts/search", json={**body, "page": 2}).json()
    assert [each["name"] for each in second["contacts"]] == ["Jo 0"]
    assert crm.post("/contacts/search", json={**body, "locationId": "elsewhere"}).json()["total"] == 0


@pytest.mark.parametrize(
    ("filters", "names"),
    [
        ([{"field": "email", "operator": "eq", "value": "A@x.test"}], ["A"]),
        ([{"field": "email", "operator": "not_eq", "value": "a@x.test"}], ["C", "B"]),
        ([{"field": "email", "operator": "contains", "value": "x.test"}], ["B", "A"]),
        ([{"field": "email", "operator": "not_contains", "value": "x.test"}], ["C"]),
        ([{"field": "email", "operator": "not_exists"}], ["C"]),
        ([{"field": "tags", "operator": "eq", "value": ["vip", "new"]}], ["A"]),
        (
            [
                {
                    "group": "OR",
                    "filters": [
                        {"field": "name", "operator": "eq", "value": "A"},
                        {"field": "email", "operator": "not_exists"},
                    ],
                },
                {"field": "name", "operator": "exists"},
            ],
            ["C", "A"],
        ),
    ],
)
def test_search_filters(crm: httpx.Client, filters: list[Any], names: list[str]) -> None:
    create(crm, name="A", email="a@x.test", tags=["vip"])
    create(crm, name="B", email="b@x.test")
    create(crm, name="C")
    answer = crm.post("/contacts/search", json={"locationId": LOCATION, "filters": filters})
    assert [each["name"] for each in answer.json()["contacts"]] == names


@pytest.mark.parametrize("filters", ["x", ["x"], [{"field": "email", "operator": "like"}]])
def test_search_refuses_filters_it_does_not_understand(crm: httpx.Client, filters: Any) -> None:
    answer = crm.post("/contacts/search", json={"locationId": LOCATION, "filters": filters})
    assert answer.status_code == 422


def test_duplicate_search(crm: httpx.Client) -> None:
    contact = create(crm, email="jo@acme.test")
    where = {"locationId": LOCATION, "email": "Jo@acme.test"}
    answer = crm.get("/contacts/search/duplicate", params=where)
    assert answer.json()["contact"] == contact
    assert answer.headers["etag"] == crm.get(f"/contacts/{contact['id']}").headers["etag"]
    where["email"] = "no@acme.test"
    assert crm.get("/contacts/search/duplicate", params=where).json()["contact"] is None


@pytest.mark.parametrize(
    ("header", "value", "message"),
    [
        ("Authorization", "", "Invalid JWT"),
        ("Authorization", "Basic eDp5", "Invalid JWT"),
        ("Authorization", "Bearer", "Invalid JWT"),
        ("Version", "", "version header was not found."),
        ("Version", "2020-01-01", "version header is invalid."),
    ],
)
def test_both_headers_are_insisted_on(crm: httpx.Client, header: str, value: str, message: str) -> None:
    answer = crm.post("/contacts/", json={"locationId": LOCATION, "name": "Jo"}, headers={header: value})
    assert answer.status_code == 401
    assert answer.json() == {"statusCode": 401, "message": message, "error": "Unauthorized"}
    assert everything(crm) == []


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_an_unknown_contact_is_404(crm: httpx.Client, method: str) -> None:
    answer = crm.request(method, "/contacts/nobody", json={})
    assert answer.status_code == 404
    assert answer.json() == {
        "statusCode": 404,
        "message": "Contact with id nobody not found",
        "error": "Not Found",
    }


@pytest.mark.parametrize(
    ("body", "part"),
    [
        ({"name": "Jo"}, "locationId"),
        ({"locationId": LOCATION, "emial": "x"}, "property emial should not exist"),
        ({"locationId": LOCATION, "email": "nonsense"}, "email must be an email"),
        ({"locationId": LOCATION, "name": 7}, "name must be a string"),
        ({"locationId": LOCATION, "tags": "vip"}, "tags must be an array"),
        ({"locationId": LOCATION, "tags": [1]}, "each value in tags must be a string"),
    ],
)
def test_a_bad_body_is_refused_with_the_field(crm: httpx.Client, body: Any, part: str) -> None:
    answer = crm.post("/contacts/", json=body)
    assert answer.status_code == 422
    assert part in " ".join(answer.json()["message"])
    assert everything(crm) == []


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff"])
def test_a_body_that_is_no_json_object_is_400(crm: httpx.Client, content: bytes) -> None:
    assert crm.post("/contacts/", content=content).status_code == 400


def test_an_unknown_path_is_404(crm: httpx.Client) -> None:
    assert crm.get("/nowhere").json()["message"] == "Cannot GET /nowhere"


def test_etag_moves_with_every_change_and_if_match_guards_writes(crm: httpx.Client) -> None:
    contact = create(crm, name="Jo")
    path = f"/contacts/{contact['id']}"
    before = crm.get(path).headers["etag"]
    assert crm.get(path).headers["etag"] == before
    answer = crm.put(path, json={"name": "Max"}, headers={"If-Match": before})
    assert answer.status_code == 200
    after = answer.headers["etag"]
    assert after != before
    assert crm.put(path, json={"name": "Eve"}, headers={"If-Match": before}).status_code == 412
    assert crm.delete(path, headers={"If-Match": before}).status_code == 412
    assert crm.get(path).json()["contact"]["name"] == "Max"
    assert crm.get(path).headers["etag"] == after
    assert crm.delete(path, headers={"If-Match": after}).status_code == 200


def test_an_update_is_undone_exactly_by_putting_the_old_values_back(crm: httpx.Client) -> None:
    contact = create(crm, name="Jo Doe", email="jo@acme.test")
    path = f"/contacts/{contact['id']}"
    crm.put(path, json={"name": "Max Mus", "phone": "1", "tags": ["x"]})
    fixed = ("id", "locationId", "type", "dateAdded", "dateUpdated")
    old = {name: value for name, value in contact.items() if name not in fixed}
    restored = crm.put(path, json=old).json()["contact"]
    assert {**restored, "dateUpdated": contact["dateUpdated"]} == contact
