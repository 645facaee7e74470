"""Idempotency, faults, the log, the billing API: what holds for every request."""

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

BODY = {"locationId": "loc-1", "email": "jo@acme.test"}
KEY = {"Idempotency-Key": "plan-1/create"}


def log(crm: httpx.Client) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = crm.get("/_sandbox/log").json()["requests"]
    return found


def fault(crm: httpx.Client, **fields: Any) -> None:
    assert crm.post("/_sandbox/faults", json=fields).status_code == 201


def contacts(crm: httpx.Client) -> int:
    return int(crm.get("/_sandbox/contacts").json()["total"])


def test_the_same_key_and_body_take_effect_once(crm: httpx.Client) -> None:
    first = crm.post("/contacts/", json=BODY, headers=KEY)
    second = crm.post("/contacts/", json=BODY, headers=KEY)
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json() == second.json()
    assert first.headers["etag"] == second.headers["etag"]
    assert "idempotent-replayed" not in first.headers
    assert second.headers["idempotent-replayed"] == "true"
    assert contacts(crm) == 1
    assert [each["replayed"] for each in log(crm)] == [False, True]


def test_the_same_key_for_something_else_is_refused(crm: httpx.Client) -> None:
    crm.post("/contacts/", json=BODY, headers=KEY)
    answer = crm.post("/contacts/", json={**BODY, "email": "max@acme.test"}, headers=KEY)
    assert answer.status_code == 422
    assert "plan-1/create" in answer.json()["message"]
    assert crm.post("/billing/accounts", json={"name": "ACME"}, headers=KEY).status_code == 422
    assert contacts(crm) == 1


def test_a_replay_outlives_what_it_made(crm: httpx.Client) -> None:
    path = f"/contacts/{crm.post('/contacts/', json=BODY, headers=KEY).json()['contact']['id']}"
    undo = {"Idempotency-Key": "plan-1/create:undo"}
    assert [crm.delete(path, headers=undo).status_code for _ in range(2)] == [200, 200]
    assert crm.post("/contacts/", json=BODY, headers=KEY).status_code == 201
    assert contacts(crm) == 0


def test_if_match_does_not_stand_in_the_way_of_a_replay(crm: httpx.Client) -> None:
    created = crm.post("/contacts/", json=BODY)
    path = f"/contacts/{created.json()['contact']['id']}"
    headers = {**KEY, "If-Match": created.headers["etag"]}
    assert [crm.put(path, json={"name": "Max"}, headers=headers).status_code for _ in range(2)] == [200, 200]


def test_a_refusal_does_not_spend_the_key(crm: httpx.Client) -> None:
    taken = crm.post("/contacts/", json=BODY).json()["contact"]["id"]
    assert crm.post("/contacts/", json=BODY, headers=KEY).status_code == 400
    crm.delete(f"/contacts/{taken}")
    assert crm.post("/contacts/", json=BODY, headers=KEY).status_code == 201


def test_concurrent_requests_with_one_key_take_effect_once(crm: httpx.Client) -> None:
    with ThreadPoolExecutor(8) as pool:
        sent = [pool.submit(crm.post, "/contacts/", json=BODY, headers=KEY) for _ in range(16)]
        ids = {each.result().json()["contact"]["id"] for each in sent}
    assert len(ids) == 1
    assert contacts(crm) == 1


def test_a_status_fault_has_no_effect_and_wears_off(crm: httpx.Client) -> None:
    fault(crm, method="POST", path_prefix="/contacts", status=503, times=2)
    assert [crm.post("/contacts/", json=BODY, headers=KEY).status_code for _ in range(3)] == [503, 503, 201]
    assert contacts(crm) == 1
    assert [each["effect_status"] for each in log(crm)] == [None, None, 201]


def test_a_fault_after_the_effect_answers_wrongly_about_what_happened(crm: httpx.Client) -> None:
    fault(crm, method="POST", path_prefix="/contacts", status=500, after_effect=True)
    assert crm.post("/contacts/", json=BODY, headers=KEY).status_code == 500
    assert contacts(crm) == 1
    assert crm.post("/contacts/", json=BODY, headers=KEY).status_code == 201
    assert contacts(crm) == 1
    assert [(each["status"], each["effect_status"]) for each in log(crm)] == [(500, 201), (201, 201)]


def test_a_dropped_connection_after_the_effect(crm: httpx.Client) -> None:
    fault(crm, method="POST", path_prefix="/contacts", drop=True)
    with pytest.raises(httpx.RemoteProtocolError, match="disconnected without sending a response"):
        crm.post("/contacts/", json=BODY, headers=KEY)
    assert contacts(crm) == 1
    [entry] = log(crm)
    assert (entry["status"], entry["effect_status"], entry["fault"]) == (None, 201, "drop after effect")
    assert crm.post("/contacts/", json=BODY, headers=KEY).headers["idempotent-replayed"] == "true"
    assert contacts(crm) == 1


def test_a_connection_dropped_before_the_effect(crm: httpx.Client) -> None:
    fault(crm, path_prefix="/contacts", drop=True, after_effect=False)
    with pytest.raises(httpx.RemoteProtocolError):
        crm.post("/contacts/", json=BODY)
    assert contacts(crm) == 0


@pytest.mark.parametrize(("after_effect", "seen"), [(False, 0), (True, 1)])
def test_a_delay_leaves_the_answer_alone(crm: httpx.Client, eventually: Any, after_effect: bool, seen: int) -> None:
    fault(crm, method="POST", path_prefix="/contacts", delay_seconds=2, after_effect=after_effect)
    started = time.monotonic()
    with ThreadPoolExecutor(1) as pool:
        sent = pool.submit(crm.post, "/contacts/", json=BODY)
        eventually(lambda: len(log(crm)) == 1)
        assert contacts(crm) == seen
        assert sent.result().status_code == 201
    assert time.monotonic() - started >= 2
    assert contacts(crm) == 1


def test_the_effect_comes_even_when_the_client_has_given_up(crm: httpx.Client, eventually: Any) -> None:
    fault(crm, method="POST", path_prefix="/contacts", delay_seconds=2)
    with pytest.raises(httpx.ReadTimeout):
        crm.post("/contacts/", json=BODY, timeout=httpx.Timeout(60, read=0.1))
    eventually(lambda: contacts(crm) == 1)


def test_faults_can_be_listed_and_cleared(crm: httpx.Client) -> None:
    fault(crm, method="get", path_prefix="/page", status=500, times=None)
    [waiting] = crm.get("/_sandbox/faults").json()["faults"]
    assert (waiting["method"], waiting["times"]) == ("GET", None)
    assert [crm.get("/page").status_code for _ in range(3)] == [500, 500, 500]
    crm.delete("/_sandbox/faults")
    assert crm.get("/page").status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        {"state": 500},
        {"status": 42},
        {"status": "500"},
        {"times": 0},
        {"delay_seconds": -1},
        {"drop": "yes"},
        [],
        "x",
    ],
)
def test_a_fault_that_makes_no_sense_is_refused(crm: httpx.Client, body: Any) -> None:
    assert crm.post("/_sandbox/faults", json=body).status_code == 422
    assert crm.get("/_sandbox/faults").json() == {"faults": []}


def test_the_log_has_every_request_in_order(crm: httpx.Client) -> None:
    crm.post("/contacts/", json=BODY, headers=KEY)
    crm.get("/contacts/unknown")
    crm.get("/nowhere")
    entries = log(crm)
    assert [(each["method"], each["path"], each["status"]) for each in entries] == [
        ("POST", "/contacts/", 201),
        ("GET", "/contacts/unknown", 404),
        ("GET", "/nowhere", 404),
    ]
    assert [each["idempotency_key"] for each in entries] == ["plan-1/create", None, None]
    assert all(each["received_at"].endswith("Z") for each in entries)


def test_billing_accounts(crm: httpx.Client) -> None:
    body = {"name": "ACME", "email": "jo@acme.test", "plan": "pro"}
    created = [crm.post("/billing/accounts", json=body, headers=KEY) for _ in range(2)]
    assert [each.status_code for each in created] == [201, 201]
    account = created[0].json()
    assert account == {**body, "id": account["id"], "created_at": account["created_at"]}
    assert crm.get("/billing/accounts").json() == {"accounts": [account], "total": 1}
    assert crm.get("/billing/accounts", params={"email": "x@y.test"}).json()["total"] == 0
    assert crm.get("/_sandbox/accounts").json() == {"accounts": [account], "total": 1}
    path = f"/billing/accounts/{account['id']}"
    assert crm.get(path).json() == account
    gone = crm.delete(path)
    assert (gone.status_code, gone.content) == (204, b"")
    assert crm.delete(path).status_code == 404
    assert crm.get(path).status_code == 404


def test_a_billing_account_needs_a_name(crm: httpx.Client) -> None:
    answer = crm.post("/billing/accounts", json={"plan": 1, "x": "y"})
    assert answer.status_code == 422
    assert len(answer.json()["message"]) == 3


def test_a_charge_always_fails(crm: httpx.Client) -> None:
    for _ in range(2):
        answer = crm.post("/billing/charge", json={"amount": 10}, headers=KEY)
        assert answer.status_code == 402
        assert answer.json() == {"error": "the card was declined"}


def test_page_and_health(crm: httpx.Client) -> None:
    page = crm.get("/page")
    assert page.headers["content-type"].startswith("text/html")
    assert "<title>ACME Robotics</title>" in page.text
    assert crm.get("/health").json() == {"ok": True}
    assert [each["path"] for each in log(crm)] == ["/page"]
