"""The load of reading messages: whatever any client sends at once, a workflow task reads a bounded part of it."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from airlock.base.incoming import LIGHT, READ_AT_ONCE, MalformedMessage, ReadingLoad, wrong_fields
from airlock.gates.parsing import parse_release, parse_wanted
from airlock.run.messages import parse_message, require_few_steps

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
HEAVY: dict[str, Any] = {
    "lists": {"output": [[]] * 170_000},
    "numbers": {"output": [1] * 250_000},
    "text": {"reason": "x" * 8_000_000},
    "keys": {str(number): number for number in range(100_000)},
    "levels": {"a": [{"b": [{"c": list(range(100))}] * 100}] * 11},
}
LOCK = {"by": "alice", "reason": "x" * 2_000}


@pytest.mark.parametrize("kind", HEAVY)
def test_one_heavy_message_is_read_and_no_second_one_in_the_same_moment(kind: str) -> None:
    load = ReadingLoad()
    assert not load.too_much((HEAVY[kind],), NOW)
    assert [load.too_much((HEAVY[kind],), NOW) for _ in range(3)] == [True] * 3
    assert not load.too_much((HEAVY[kind],), NOW + timedelta(seconds=1))


def test_what_is_too_much_is_not_even_weighed() -> None:
    load = ReadingLoad()
    for _ in range(1_000):
        load.too_much((HEAVY["lists"],), NOW)
    assert load.read < READ_AT_ONCE + 1_000 * (LIGHT + 10)


def test_a_lock_is_read_whatever_else_arrives() -> None:
    load = ReadingLoad()
    for _ in range(100):
        load.too_much((HEAVY["lists"],), NOW)
    assert not load.too_much((LOCK,), NOW)
    assert load.too_much(({"steps": ["s"] * (LIGHT + 1)},), NOW)


def test_what_is_usual_is_read_together() -> None:
    load = ReadingLoad()
    assert not any(load.too_much(({"by": "alice", "steps": ["s1"] * 1_000},), NOW) for _ in range(READ_AT_ONCE // 1_100))


@pytest.mark.parametrize("value", [None, 1, "x", [], (), {}, ((),), ([None],)])
def test_anything_has_a_weight(value: Any) -> None:
    assert not ReadingLoad().too_much(value, NOW)


def test_thousands_of_unknown_fields_are_not_named() -> None:
    with pytest.raises(MalformedMessage, match="lock: has 100,000 fields; it takes by, reason"):
        parse_message("lock", (HEAVY["keys"],))
    with pytest.raises(MalformedMessage, match="lock: no field 0, 1, 10;"):
        parse_message("lock", ({str(number): number for number in range(100)},))


@pytest.mark.parametrize("field", ["doubts", "lost"])
def test_of_wrong_names_in_a_release_only_the_first_is_looked_at(field: str) -> None:
    with pytest.raises(MalformedMessage, match=rf"release: {field}\.0: .*not a text; write a text") as caught:
        parse_release(({"holder": "h", "request": "r", field: [1] * 100_000},))
    assert f"{field}.1" not in str(caught.value)
    with pytest.raises(MalformedMessage, match=r"acquire: scopes\.0: "):
        parse_wanted(({"holder": "h", "request": "r", "scopes": [1] * 100_000},))


def test_thousands_of_wrong_values_are_counted_and_not_described(monkeypatch: pytest.MonkeyPatch) -> None:
    class Many(BaseModel):
        names: tuple[str, ...]

    with pytest.raises(ValidationError) as caught:
        Many.model_validate({"names": [1] * 2_000})
    assert wrong_fields(caught.value) == "2,000 values are wrong"


def test_a_plan_of_a_million_steps_is_not_looked_into() -> None:
    with pytest.raises(ValueError, match=r"plan\.steps: has 1,000,000 entries"):
        require_few_steps({"plan": {"steps": [1] * 1_000_000}})
    for start in (None, [], {}, {"plan": None}, {"plan": {"steps": None}}, {"plan": {"steps": [1]}}):
        require_few_steps(start)
