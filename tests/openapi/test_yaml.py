"""YAML of documents: the core schema of YAML 1.2, and bounds for what aliases and nesting may do."""

import builtins
import json
from pathlib import Path
from typing import Any

import pytest

from airlock.base.errors import ContractError
from airlock.tools.openapi.document import whole_document
from airlock.tools.openapi.yaml_text import MAX_LEVELS, parse_yaml


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("no", "no"), ("yes", "yes"), ("on", "on"), ("Off", "Off"), ("y", "y"),
        ("true", True), ("FALSE", False), ("null", None), ("~", None), ("", None),
        ("12:30", "12:30"), ("2024-01-01", "2024-01-01"), ("1_000", "1_000"), ("017", 17), ("0o17", 15), ("0x1F", 31),
        ("1e3", 1000.0), ("-1.5", -1.5), (".5", 0.5), (".inf", ".inf"), (".nan", ".nan"), ("1e999", "1e999"),
        ("'12'", "12"), ('"true"', "true"), ("9" * 400, "9" * 400), ("ä", "ä"),
    ],
)  # fmt: skip
def test_a_plain_value_is_what_yaml_1_2_says(written: str, value: Any) -> None:
    found = parse_yaml(f"a: {written}\n".encode())
    assert found == {"a": value}
    assert type(found["a"]) is type(value)


def test_keys_are_texts_and_values_may_be_shared() -> None:
    assert parse_yaml(b"200: &ok {a: 1}\nno: *ok\nnull: [*ok]\n") == {"200": {"a": 1}, "no": {"a": 1}, "null": [{"a": 1}]}


BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12)
)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (BOMB, "more than 2,000,000 values"),
        ("a: &a [*a]\n", f"nested deeper than {MAX_LEVELS} levels"),
        ("a: " + "[" * 50_000, f"nested deeper than {MAX_LEVELS} levels"),
        ("a: " + "{b: " * 50_000, f"nested deeper than {MAX_LEVELS} levels"),
        ("a: 1\nb: 2\na: 3\n", "the key 'a' twice in one object at line 3"),
        ("a: &a {b: 1}\nc:\n  <<: *a\n", "merge key << at line 3"),
        ("? [a]\n: 1\n", "a key that is no text"),
        ("a: !!python/object/apply:os.system ['true']\n", "write the value without a tag"),
        ("a: !!binary aGVsbG8=\n", "write the value without a tag"),
        ("a: [1\nb: 2", "is no YAML: line"),
        ("a: 1\n---\nb: 1\n", "is no YAML: line 2"),
        ("a: *b", "undefined alias"),
        ("a: \x00", "is no YAML"),
    ],
)
def test_what_is_no_document_is_refused_in_words(text: str, says: str) -> None:
    with pytest.raises(ContractError) as error:
        parse_yaml(text.encode())
    assert says in str(error.value)


def test_bytes_that_are_no_utf_8_are_refused() -> None:
    with pytest.raises(ContractError, match="is no YAML"):
        parse_yaml(b"a: \xff\xfe")


def test_a_document_is_known_as_yaml_by_its_name_or_its_first_character(tmp_path: Path) -> None:
    text = "openapi: 3.0.0\npaths: {}\n"
    for name in ("a.yaml", "a.yml", "openapi"):
        (tmp_path / name).write_text(text)
        assert whole_document(tmp_path / name)["openapi"] == "3.0.0"
    (tmp_path / "b.yaml").write_text(json.dumps({"openapi": "3.1.0", "paths": {}}))
    assert whole_document(tmp_path / "b.yaml")["openapi"] == "3.1.0", "JSON is YAML, too"
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(ContractError, match="is YAML, not JSON"):
        whole_document(tmp_path / "a.json")


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name == "yaml":
            raise ModuleNotFoundError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ContractError, match=r"pip install 'airlock-temporal\[yaml\]'"):
        parse_yaml(b"a: 1")
