"""The seal: the same everywhere, and different whenever the approver was shown something different."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airlock.admission.conflicts.conflict import Answer, ConflictKind
from airlock.base.canonical import canonical_json, differences, digest
from airlock.plans.contract import Mode
from airlock.plans.seal import DIGEST_PREFIX_LENGTH, names_digest, seal
from airlock.run.presentation.preview import render_preview
from airlock.run.rehearsal import seal_run
from airlock.run.sealing.sealed import Sealed
from airlock.run.undo import UndoContent
from tests.core.build import (
    NOW,
    TOOLS,
    awaiting,
    dags,
    json_values,
    plan,
    plan_of,
    policy,
    preview,
    rehearse,
    say,
    step,
)
from tests.core.seal_probe import example
from tests.core.sealed_build import EXAMPLE, SEALED, sealed_of


def test_the_digest_is_64_hex_characters() -> None:
    assert len(seal(SEALED)) == 64
    assert set(seal(SEALED)) <= set("0123456789abcdef")
    assert EXAMPLE.digest == seal(SEALED)


def shuffled(value: Any) -> Any:
    """Return the same JSON with every object's keys the other way round."""
    if isinstance(value, dict):
        return {key: shuffled(value[key]) for key in reversed(value)}
    return [shuffled(item) for item in value] if isinstance(value, list) else value


def test_key_order_does_not_matter() -> None:
    turned = Sealed.model_validate(shuffled(SEALED.model_dump(mode="json")))
    assert seal(turned) == seal(SEALED)
    assert render_preview(turned, "d") == render_preview(SEALED, "d")


@given(json_values)
def test_canonical_json_ignores_key_order_and_says_nothing_that_json_cannot(value: Any) -> None:
    try:
        text = canonical_json(value)
    except ValueError:
        return
    assert text.isascii()
    assert canonical_json(shuffled(value)) == text
    assert canonical_json(json.loads(text)) == text


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "\ud800", {"\udfff": 1}, [["\ud83d"]]])
def test_what_json_cannot_say_is_an_error(value: Any) -> None:
    with pytest.raises(ValueError, match=r"JSON|surrogates"):
        canonical_json(value)


def test_text_beyond_the_basic_plane_is_fine() -> None:
    assert json.loads(canonical_json(["\N{GRINNING FACE}", "\\ud800"])) == ["\N{GRINNING FACE}", "\\ud800"]


def test_the_order_of_steps_in_the_file_does_not_matter() -> None:
    steps = (step("a"), step("b", "read"), step("c", "write", "a"))
    assert awaiting(plan(*steps)).digest == awaiting(plan(*reversed(steps))).digest


def test_the_same_seal_and_texts_under_every_hash_seed() -> None:
    root = Path(__file__).parents[2]
    here = example()
    for seed in ("0", "1", "4242"):
        answer = subprocess.run(
            [sys.executable, "-m", "tests.core.seal_probe"],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(root)},
            cwd=root,
            capture_output=True,
            check=True,
            text=True,
        )
        assert json.loads(answer.stdout) == here


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of every leaf, empty containers included."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    children = [leaf for key, child in items for leaf in leaves(child, (*path, key))]
    yield from children or [path]


def other(value: Any) -> Iterator[Any]:
    """Values of the same type that differ."""
    match value:
        case bool():
            yield not value
        case int():
            yield value + 1
            yield -value - 1
        case float():
            yield value / 2 + 0.01
            yield value + 1e-9
        case str():
            yield value + "x"
            yield " " + value
        case None:
            yield "something"
        case list():
            yield ["more"]
        case dict():
            yield {"more": 1}


def put(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    copy = json.loads(json.dumps(value))
    place = copy
    for part in path[:-1]:
        place = place[part]
    place[path[-1]] = new
    return copy


DUMP = SEALED.model_dump(mode="json")
# texts with only some values, and the name of the tagged union, which is not shown and has one value
ENUMS = {"ceiling": tuple(Mode), "kind": tuple(ConflictKind), "answer": tuple(Answer)}


@pytest.mark.parametrize("path", list(leaves(DUMP)), ids=lambda path: ".".join(map(str, path)))
def test_another_leaf_another_seal(path: tuple[Any, ...]) -> None:
    if path[-1] == "kind" and path[0] != "conflicts":
        return
    value = DUMP
    for part in path:
        value = value[part]
    if path == ("undo",):
        assert seal(SEALED.model_copy(update={"undo": UndoContent(by="op", reason="wrong")})) != EXAMPLE.digest
        return
    others = [mode for mode in ENUMS[path[-1]] if mode != value] if path[-1] in ENUMS else list(other(value))
    assert others
    for new in others:
        changed = Sealed.model_validate(put(DUMP, path, new))
        assert seal(changed) != EXAMPLE.digest


@given(st.data())
def test_a_preview_of_something_else_has_another_seal(data: st.DataObject) -> None:
    fields = st.fixed_dictionaries(
        {"args": st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=2), "effect": st.text(max_size=9)},
        optional={"output": json_values, "observed": json_values, "undo": st.none() | st.text(max_size=5)},
    )
    one, two = (awaiting(plan(step("a"), step("b")), a=preview("a", **data.draw(fields))) for _ in range(2))
    first, second = sealed_of(one), sealed_of(two)
    same = canonical_json(first.model_dump(mode="json")) == canonical_json(second.model_dump(mode="json"))
    assert (one.digest == two.digest) is same
    if render_preview(first, "d") != render_preview(second, "d"):
        assert one.digest != two.digest


@given(dags(), st.data())
def test_the_text_is_made_from_the_sealed_content_and_the_digest_alone(
    parents: dict[str, tuple[str, ...]], data: st.DataObject
) -> None:
    tools = {name: data.draw(st.sampled_from(TOOLS)) for name in parents}
    run = awaiting(plan_of(parents, tools))
    sealed = sealed_of(run)
    copy = Sealed.model_validate_json(sealed.model_dump_json())
    assert seal(copy) == run.digest
    assert render_preview(copy, "d") == render_preview(sealed, "d")
    text = render_preview(sealed, "d")
    assert all(name in text for name in parents)
    late = [name for name in sealed.order if tools[name] in ("mail", "post")]
    assert sealed.point_of_no_return == (late[0] if late else None)


def test_the_policy_and_the_contracts_are_sealed() -> None:
    proposed = plan(step("a"))
    digests = {
        awaiting(proposed, rules).digest
        for rules in (
            policy(),
            policy(max_live_escalations=6),
            policy(approvers=["ann"]),
            policy(enable_rollback_on_failure=False),
            policy(approval_timeout="1h"),
        )
    }
    assert len(digests) == 5


def test_a_seal_that_replaces_another_is_never_the_same() -> None:
    run = awaiting(plan(step("a")))
    first = run.digest
    assert say(run, "lock").accepted
    assert say(run, "unlock").accepted
    rehearse(run)
    assert run.digest != first
    assert [(seal.digest, seal.changed) for seal in run.replaced] == [(first, ())]
    assert sealed_of(run).replaces == first
    assert "approved again" in render_preview(sealed_of(run), str(run.digest))


def test_what_changed_names_the_step_and_the_field() -> None:
    run = awaiting(plan(step("a"), step("b")))
    say(run, "lock")
    say(run, "unlock")
    rehearse(run, previews={"b": preview("b", observed={"version": 2})})
    assert run.replaced[-1].changed == ("steps.b.preview.observed.version",)


def test_what_changed_is_bounded() -> None:
    key = "k" * 100_000
    run = awaiting(plan(*(step(f"s{number}") for number in range(80))))
    run.previews = {f"s{number}": preview(f"s{number}", observed={key: number}) for number in range(80)}
    seal_run(run, NOW)
    assert len(run.replaced[-1].changed) == 50
    assert all(len(path) <= 200 for path in run.replaced[-1].changed)


@pytest.mark.parametrize(
    ("claimed", "fits"),
    [
        ("", False),
        ("abcdef012345"[:11], False),
        ("abcdef012345", True),
        ("ABCDEF012345", True),
        ("  abcdef012345\n", True),
        ("abcdef01234567", True),
        ("abcdef012346", False),
        ("bcdef0123456", False),
        ("abcdef0123456789" * 4, True),
        ("abcdef0123456789" * 4 + "a", False),
        ("abcdef 012345", False),
    ],
)
def test_prefixes(claimed: str, fits: bool) -> None:
    assert names_digest(claimed, "abcdef0123456789" * 4) is fits
    assert not names_digest(claimed, None)


def test_the_shortest_prefix_is_twelve() -> None:
    assert DIGEST_PREFIX_LENGTH == 12


@given(json_values, json_values)
def test_differences_are_empty_exactly_when_nothing_differs(one: Any, two: Any) -> None:
    try:
        same = digest(one) == digest(two)
    except ValueError:
        return
    assert (differences(one, two) == ()) is same
    assert differences(one, one) == ()


def test_differences_name_paths() -> None:
    before = {"a": {"b": [1, 2]}, "c": 1, "d": [1]}
    after = {"a": {"b": [1, 3]}, "c": 1.0, "d": [1, 2], "e": None}
    assert differences(before, after) == ("a.b[1]", "c", "d", "e")
    assert differences(1, 2) == (".",)
