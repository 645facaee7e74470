"""The offer of the corpus service to a tool that must undo, retry and find out: keys, moves, forced failures."""

from typing import Any

import httpx
import pytest

from devtools.corpus_checks import FAULTS


def call(service: httpx.Client, folder: str, **more: Any) -> httpx.Response:
    target = {"module": "gorilla_file_system", "method": "mkdir", "args": {"dir_name": folder}}
    return service.post("/worlds/w/call", json={**target, **more})


def digest(service: httpx.Client) -> str:
    return str(service.get("/worlds/w/state").json()["digest"])


def test_what_a_call_did_is_found_under_its_key(service: httpx.Client) -> None:
    assert service.get("/worlds/w/calls/p/s1").status_code == 404
    done = call(service, "a", idempotency_key="p/s1").json()
    assert service.get("/worlds/w/calls/p/s1").json() == done


def test_a_call_that_failed_without_effect_is_not_found(service: httpx.Client) -> None:
    call(service, "a")
    assert "error" in call(service, "a", idempotency_key="p/s1").json()["result"]
    assert service.get("/worlds/w/calls/p/s1").status_code == 404


def test_a_state_may_be_moved_by_ours_but_not_by_others(service: httpx.Client) -> None:
    seen = service.get("/worlds/w/digest/gorilla_file_system").json()["digest"]
    guarded = {"if_digest": seen, "ours": "p/"}
    assert call(service, "a", idempotency_key="p/s1", **guarded).status_code == 200
    assert call(service, "b", idempotency_key="p/s2", **guarded).status_code == 200
    assert call(service, "c", idempotency_key="p/s3", if_digest=seen).status_code == 409
    between = service.get("/worlds/w/digest/gorilla_file_system").json()["digest"]
    call(service, "theirs", idempotency_key="q/s1")
    assert call(service, "d", idempotency_key="p/s4", **guarded).status_code == 409
    assert call(service, "d", idempotency_key="p/s4", if_digest=between, ours="p/").status_code == 409
    assert call(service, "d", idempotency_key="p/s4", if_digest=between, ours="q/").status_code == 200


def test_a_restore_is_nobodys_move(service: httpx.Client) -> None:
    done = call(service, "a", idempotency_key="p/s1").json()
    call(service, "b", idempotency_key="p/s2")
    service.post("/worlds/w/restore", json={"undo": done["undo"]}).raise_for_status()
    guarded = {"if_digest": done["digest_after"], "ours": "p/"}
    assert call(service, "c", idempotency_key="p/s3", **guarded).status_code == 409


@pytest.mark.parametrize("kind", FAULTS)
def test_a_world_fails_after_so_many_calls(service: httpx.Client, kind: str) -> None:
    service.post("/worlds/w/faults", json={"after_calls": 1, "kind": kind}).raise_for_status()
    first = call(service, "a", idempotency_key="p/s1").json()
    assert "error" not in (first["result"] or {})
    before = digest(service)
    for _ in range(2):  # it stays broken for the same call
        spoiled = call(service, "b", idempotency_key="p/s2")
        assert (spoiled.status_code, "error" in spoiled.text) == (500 if kind == "status" else 200, True)
    assert (digest(service) != before) == (kind == "half")
    assert (service.get("/worlds/w/calls/p/s2").status_code == 200) == (kind == "half")
    assert call(service, "a", idempotency_key="p/s1").json() == first  # repeated, not counted again
    if kind == "half":
        service.post("/worlds/w/restore", json={"undo": spoiled.json()["undo"]}).raise_for_status()
        assert digest(service) == before


@pytest.mark.parametrize("body", [{}, {"after_calls": -1}, {"after_calls": 1, "kind": "odd"}])
def test_a_fault_that_makes_no_sense_is_refused(service: httpx.Client, body: dict[str, Any]) -> None:
    assert service.post("/worlds/w/faults", json=body).status_code == 422
    assert service.post("/worlds/none/faults", json={"after_calls": 1}).status_code == 404
    assert call(service, "a").status_code == 200
