"""The corpus APIs: undone exactly, peeked at without effect, over HTTP the same as in process."""

from typing import Any

import httpx
import pytest

from sandbox.corpus_data import CorpusPlan, load_plans, load_tools
from sandbox.corpus_state import plain
from sandbox.corpus_world import MODULE_OF, World

PLANS = load_plans()
LOGIN = {
    "client_id": "c",
    "client_secret": "s",
    "refresh_token": "r",
    "grant_type": "read_write",
    "user_first_name": "Jo",
    "user_last_name": "Doe",
}


def post(corpus: httpx.Client, path: str, **body: Any) -> Any:
    answer = corpus.post(path, json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def state(corpus: httpx.Client, world: str) -> Any:
    return corpus.get(f"{world}/state").json()


@pytest.fixture
def travel(corpus: httpx.Client) -> str:
    post(corpus, "/worlds/travel", classes=["TravelAPI", "MathAPI"], initial_config={})
    return "/worlds/travel"


def test_the_corpus_is_complete() -> None:
    called = [f"{module}.{method}" for plan in PLANS for module, method, _ in plan.calls()]
    assert (len(PLANS), len(called)) == (200, 1142)
    assert {tool.tool: tool.calls for tool in load_tools()} == {name: called.count(name) for name in called}


def test_all_plans_run_and_are_undone_to_where_they_started() -> None:
    changed = dict.fromkeys((tool.tool for tool in load_tools()), False)
    for plan in PLANS:
        world = World(plan.classes, plan.initial_config)
        before = (world.state(), world.generators())
        undos = []
        for module, method, args in plan.calls():
            called = world.call(module, method, args)
            assert not (isinstance(called.result, dict) and "error" in called.result), plan.plan_id
            changed[f"{module}.{method}"] |= called.changed
            undos += [called.undo] if called.undo else []
        for undo in reversed(undos):
            world.restore(undo)
        assert (world.state(), world.generators()) == before, plan.plan_id
    assert changed == {tool.tool: tool.changes_state for tool in load_tools()}


@pytest.mark.parametrize("plan", PLANS[::40], ids=lambda plan: plan.plan_id)
def test_over_http_is_the_same_as_calling_directly(corpus: httpx.Client, plan: CorpusPlan) -> None:
    path = f"/worlds/{plan.plan_id}"
    post(corpus, path, classes=plan.classes, initial_config=plan.initial_config)
    direct = World(plan.classes, plan.initial_config)
    assert state(corpus, path)["state"] == direct.state()
    for module, method, args in plan.calls():
        over_http = post(corpus, f"{path}/call", module=module, method=method, args=args)
        in_process = direct.call(module, method, args)
        assert over_http["result"] == in_process.result
        assert over_http["digest_after"] == in_process.digest_after
        assert corpus.get(f"{path}/digest/{module}").json()["digest"] == direct.digest(module)
    assert state(corpus, path) == {
        "state": direct.state(),
        "digest": direct.digest(),
        "generators": direct.generators(),
    }


def test_call_restore_call_gives_the_same_random_numbers(corpus: httpx.Client, travel: str) -> None:
    body = {"module": "travel_booking", "method": "authenticate_travel", "args": LOGIN}
    initial = state(corpus, travel)
    first = post(corpus, f"{travel}/call", **body)
    assert first["changed"] is True
    assert first["digest_before"] != first["digest_after"]
    restored = post(corpus, f"{travel}/restore", undo=first["undo"])
    assert restored == {"restored": "travel_booking", "digest": first["digest_before"]}
    assert state(corpus, travel) == initial
    second = post(corpus, f"{travel}/call", **body)
    assert second["result"] == first["result"]
    third = post(corpus, f"{travel}/call", **body)
    assert third["result"] != first["result"]
    for _ in range(2):
        post(corpus, f"{travel}/restore", undo=first["undo"])
        assert state(corpus, travel) == initial


def test_restore_puts_back_one_api_and_leaves_the_others(corpus: httpx.Client) -> None:
    classes = ["TravelAPI", "TradingBot"]
    post(corpus, "/worlds/two", classes=classes, initial_config={})
    travel = post(corpus, "/worlds/two/call", module="travel_booking", method="authenticate_travel", args=LOGIN)
    trading = post(corpus, "/worlds/two/call", module="trading_bot", method="fund_account", args={"amount": 5})
    post(corpus, "/worlds/two/restore", undo=travel["undo"])
    assert corpus.get("/worlds/two/digest/trading_bot").json()["digest"] == trading["digest_after"]


def test_a_call_that_only_draws_a_number_has_not_changed_but_can_be_undone(corpus: httpx.Client) -> None:
    post(corpus, "/worlds/car", classes=["VehicleControlAPI"], initial_config={})
    body = {"module": "vehicle_control", "method": "get_outside_temperature_from_google"}
    initial = state(corpus, "/worlds/car")
    first = post(corpus, "/worlds/car/call", **body)
    assert first["changed"] is False
    assert first["digest_before"] == first["digest_after"]
    drawn = state(corpus, "/worlds/car")
    assert drawn["digest"] == initial["digest"]
    assert drawn["generators"] != initial["generators"]
    post(corpus, "/worlds/car/restore", undo=first["undo"])
    assert state(corpus, "/worlds/car") == initial
    assert post(corpus, "/worlds/car/call", **body)["result"] == first["result"]


def test_a_read_has_no_undo(corpus: httpx.Client, travel: str) -> None:
    called = post(corpus, f"{travel}/call", module="travel_booking", method="list_all_airports", args={})
    assert (called["changed"], called["undo"]) == (False, None)


def test_peek_says_what_call_would_and_changes_nothing(corpus: httpx.Client, travel: str) -> None:
    body = {"module": "travel_booking", "method": "authenticate_travel", "args": LOGIN}
    before = state(corpus, travel)
    peeks = [post(corpus, f"{travel}/peek", **body) for _ in range(2)]
    assert peeks[0] == peeks[1]
    assert state(corpus, travel) == before
    called = post(corpus, f"{travel}/call", **body)
    assert peeks[0] == {"result": called["result"], "digest_before": called["digest_before"]}


def test_the_same_key_calls_once(corpus: httpx.Client, travel: str) -> None:
    body = {"module": "travel_booking", "method": "authenticate_travel", "args": LOGIN}
    first = post(corpus, f"{travel}/call", **body, idempotency_key="p/s1")
    after = state(corpus, travel)
    assert post(corpus, f"{travel}/call", **body, idempotency_key="p/s1") == first
    assert state(corpus, travel) == after
    other = {**body, "args": {**LOGIN, "user_last_name": "Roe"}, "idempotency_key": "p/s1"}
    assert corpus.post(f"{travel}/call", json=other).status_code == 422
    post(corpus, f"{travel}/restore", undo=first["undo"])
    assert post(corpus, f"{travel}/call", **body, idempotency_key="p/s1") == first
    assert state(corpus, travel)["digest"] != after["digest"]


def test_an_error_is_returned_as_it_is_and_does_not_spend_the_key(corpus: httpx.Client, travel: str) -> None:
    body = {"module": "travel_booking", "method": "get_budget_fiscal_year", "args": {}}
    assert "result" in post(corpus, f"{travel}/peek", **body)
    bad = {
        "module": "travel_booking",
        "method": "get_credit_card_balance",
        "args": {"access_token": "x", "card_id": "1"},
    }
    called = post(corpus, f"{travel}/call", **bad, idempotency_key="p/s2")
    assert "error" in called["result"]
    assert (called["changed"], called["undo"]) == (False, None)
    post(corpus, f"{travel}/call", **body, idempotency_key="p/s2")


def test_if_digest_guards_a_call(corpus: httpx.Client, travel: str) -> None:
    body = {"module": "travel_booking", "method": "authenticate_travel", "args": LOGIN}
    digest = corpus.get(f"{travel}/digest/travel_booking").json()["digest"]
    post(corpus, f"{travel}/call", **body, if_digest=digest)
    after = state(corpus, travel)
    assert corpus.post(f"{travel}/call", json={**body, "if_digest": digest}).status_code == 409
    assert state(corpus, travel) == after


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"module": "nothing", "method": "x"}, 404),
        ({"module": "travel_booking", "method": "nothing"}, 404),
        ({"module": "travel_booking", "method": "credit_card_list"}, 404),
        ({"module": "travel_booking", "method": "_load_scenario", "args": {"scenario": {}}}, 403),
        ({"module": "travel_booking", "method": "__init__"}, 403),
        ({"module": "travel_booking", "method": "list_all_airports", "args": {"x": 1}}, 422),
        ({"module": "travel_booking", "method": "authenticate_travel"}, 422),
        ({"module": "travel_booking"}, 422),
        ({"module": "travel_booking", "method": "x", "args": []}, 422),
        ([], 422),
    ],
)
@pytest.mark.parametrize("verb", ["call", "peek"])
def test_what_cannot_be_called_is_refused(corpus: httpx.Client, travel: str, verb: str, body: Any, status: int) -> None:
    before = state(corpus, travel)
    answer = corpus.post(f"{travel}/{verb}", json=body)
    assert answer.status_code == status
    assert answer.json()["error"]
    assert state(corpus, travel) == before


def test_unknown_worlds_and_snapshots_are_404(corpus: httpx.Client, travel: str) -> None:
    assert corpus.get("/worlds/none/state").status_code == 404
    assert corpus.post(f"{travel}/restore", json={"undo": "none"}).status_code == 404
    assert corpus.post(f"{travel}/restore", content=b"{").status_code == 400
    assert corpus.post("/worlds/x", json={"classes": ["Nothing"]}).status_code == 422
    answer = corpus.post("/worlds/x", json={"classes": ["TravelAPI"], "initial_config": {"TravelAPI": 5}})
    assert answer.status_code == 422


def test_a_world_created_again_is_fresh_and_forgets_its_snapshots(corpus: httpx.Client, travel: str) -> None:
    initial = state(corpus, travel)
    called = post(corpus, f"{travel}/call", module="travel_booking", method="authenticate_travel", args=LOGIN)
    post(corpus, travel, classes=["TravelAPI", "MathAPI"], initial_config={})
    assert state(corpus, travel) == initial
    assert corpus.post(f"{travel}/restore", json={"undo": called["undo"]}).status_code == 404
    assert "travel" in corpus.get("/worlds").json()["worlds"]
    assert corpus.delete(travel).json() == {"ok": True}
    assert corpus.get(f"{travel}/state").status_code == 404


def test_a_configuration_is_copied() -> None:
    plan = next(plan for plan in PLANS if "TradingBot" in plan.classes)
    world = World(plan.classes, plan.initial_config)
    before = plain(plan.initial_config)
    world.call("trading_bot", "add_to_watchlist", {"stock": "AAPL"})
    world.call("trading_bot", "fund_account", {"amount": 1})
    assert plain(plan.initial_config) == before


def test_a_method_that_raises_changes_nothing() -> None:
    world = World(["TradingBot"], {"TradingBot": {"authenticated": True, "account_info": {"balance": "no number"}}})
    before = world.state()
    called = world.call("trading_bot", "fund_account", {"amount": 1})
    assert list(called.result) == ["error"]
    assert "TypeError" in called.result["error"]
    assert (called.changed, called.undo) == (False, None)
    assert world.state() == before


def test_every_api_can_be_built_from_its_defaults() -> None:
    assert World(MODULE_OF, {}).modules == sorted(MODULE_OF.values())


def test_the_walk_ends_cycles_and_keeps_keys_apart() -> None:
    class Node:
        def __init__(self) -> None:
            self.parent = self
            self.me = self
            self.low = {3, 1, 2}

    loop: list[Any] = [1]
    loop.append(loop)
    shared = {"a": 1}
    assert plain(Node()) == {"low": [1, 2, 3], "me": {"same_as": "$"}}
    assert plain(loop) == [1, {"same_as": "$"}]
    assert plain([shared, shared]) == [{"a": 1}, {"a": 1}]
    assert plain({1: "int", "1": "text"}) == {"int:1": "int", "1": "text"}
    assert plain([float("nan"), float("inf")]) == ["nan", "inf"]
