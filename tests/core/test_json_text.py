"""JSON that a person wrote: each habit of another format is told in words, with its place and its fix."""

import codecs
import re

import pytest

from airlock.base.json_text import JsonFault, parse_json

PARSER = re.compile(r"Expecting|delimiter|char \d|codec|Unterminated|Extra data|Invalid|Traceback")
"""Words of Python's own parser."""
PLAN = '{\n  "plan_id": "a",\n  "steps": []\n}\n'


@pytest.mark.parametrize(
    "data",
    [PLAN.encode(), codecs.BOM_UTF8 + PLAN.encode(), PLAN.replace("\n", "\r\n").encode(), b" \n" + PLAN.encode()],
    ids=["plain", "byte order mark", "CRLF", "space before"],
)
def test_json_is_read(data: bytes) -> None:
    assert parse_json(data) == {"plan_id": "a", "steps": []}


@pytest.mark.parametrize(
    ("data", "message", "fix"),
    [
        (b"", "is empty", "write JSON"),
        (b" \r\n\t", "is empty", "write JSON"),
        (codecs.BOM_UTF8, "is empty", "write JSON"),
        (codecs.BOM_UTF16_LE + PLAN.encode("utf-16-le"), "is UTF-16, not UTF-8", "save it as UTF-8"),
        (PLAN.encode("utf-16-le"), "is UTF-16, not UTF-8", "save it as UTF-8"),
        (PLAN.encode("utf-16-be"), "is UTF-16, not UTF-8", "save it as UTF-8"),
        (b'{"a": 1,\n"b": "\xe9"}', "is not UTF-8: line 2", "save it as UTF-8"),
        (b"plan_id: a\nsteps:\n- id: b\n", "is YAML, not JSON", "write it as JSON"),
        (b"---\nplan_id: a\n", "is YAML, not JSON", "write it as JSON"),
        (b"- id: a\n", "is YAML, not JSON", "write it as JSON"),
        (b"steps:\n", "is YAML, not JSON", "write it as JSON"),
        (b'{"a": 1,\n "b": 2,\n}', "line 2, column 8: a comma stands after the last entry", "remove that comma"),
        (b'{"a": [1, 2,]}', "line 1, column 12: a comma stands after the last entry", "remove that comma"),
        (b"{'a': 1}", "line 1, column 2: a single quote", "double quotes"),
        (b"{\"a\": 'b'}", "line 1, column 7: a single quote", "double quotes"),
        (b'{"a": 1, // b\n "c": 2}', "line 1, column 10: a comment", "JSON has no comments"),
        (b'{"a": 1 # b\n}', "line 1, column 9: a comment", "JSON has no comments"),
        (b'/* a */ {"a": 1}', "line 1, column 1: a comment", "JSON has no comments"),
        (b'{"a": True}', "line 1, column 7: True is no JSON", "true, false, null"),
        (b'{"a": None}', "line 1, column 7: None is no JSON", "true, false, null"),
        (b'{"a": yes}', "line 1, column 7: yes is no JSON", "true, false, null"),
        (b'{"a": 1 "b": 2}', "line 1, column 9: a comma is missing", "put a comma"),
        (b'{"a" 1}', "line 1, column 6: a colon is missing", "put a colon"),
        (b"{a: 1}", "line 1, column 2: a name is missing", 'put the name in double quotes: "name"'),
        (b'{"a": }', "line 1, column 7: a value is missing", "write a text in quotes"),
        (b'{"a": high}', "line 1, column 7: a value is missing", "write a text in quotes"),
        (b'{"a": "b', "line 1, column 7: the text that begins there has no end", "end it with a double quote"),
        (b'{"a": "b\nc"}', "line 1, column 9: a text holds a line break", "in the text"),
        (rb'{"a": "C:\dir"}', "line 1, column 10: a backslash", r"write a backslash as \\"),
        (b'{"a": {"b": 1}', "line 1, column 15: the text ends too early", "close each"),
        (b'{"a": 1}{"b": 2}', "line 1, column 9: something follows the end", "leave one"),
        (b'{"a": 1, "a": 2}', "the key 'a' is repeated in one object", "leave 'a' once"),
        (b'{"a": ' + b"9" * 5_000 + b"}", "is not JSON that can be read", "write a shorter number"),
        (b"[" * 200_000, "is nested too deeply", "flatten it"),
    ],
    ids=lambda value: repr(value)[:24],
)
def test_what_is_not_json_comes_with_its_place_and_its_fix(data: bytes, message: str, fix: str) -> None:
    with pytest.raises(JsonFault) as refused:
        parse_json(data)
    assert message in refused.value.message
    assert fix in refused.value.fix
    assert not PARSER.search(refused.value.message)


@pytest.mark.parametrize("end", range(len(PLAN) - 2))
def test_a_text_that_is_cut_off_is_told_to_end_too_early(end: int) -> None:
    with pytest.raises(JsonFault) as refused:
        parse_json(PLAN[:end].encode())
    told = refused.value.message
    assert told == "is empty" or "ends too early" in told or "has no end" in told, told
