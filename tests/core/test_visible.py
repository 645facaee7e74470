"""Text in which everything can be seen: tables of what hides, and properties of what is shown."""

import importlib
import json
import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airlock.admission.examination import examine
from airlock.base.scripts import script_of
from airlock.base.visible import inline, is_invisible, marks, visible
from airlock.cli.output import safe
from airlock.run.presentation.preview import render_preview
from airlock.run.presentation.undo_preview import quoted
from tests.core.build import awaiting, plan, preview, step

MANY = "\u0414\u043e\u043c, \u65e5\u672c\u8a9e, \u05e9\u05dc\u05d5\u05dd"
TEXTS = st.text(st.characters(codec="utf-8"), max_size=60)
NASTY = st.text(st.sampled_from(" \t\n\r\x00\x1b\x85\u2028\u202e\u200b\ufe0f\u034f\u0301\u0430\uff41\u0663\u27e8\u27e9aZ0"))


@pytest.mark.parametrize(
    "hidden",
    [
        *"\ufe00\ufe0f\u034f\u17b4\u17b5\u180b\u180f\u115f\u1160\u3164\uffa0\u2800\u00ad\u200b\u200d\u200e\u202e\u2060\u2066",
        *"\ufeff\u061c\u00a0\u2003\u3000\u2028\u2029\u0085\x00\x07\x1b\x7f\t\n\r\u206a\ufff9\ue000\ufdd0",
        *"\U000e0100\U000e01ef\U000e0041\U00016fe4\U0001d173\U0001bca0\U000e0fff\U0001d159",
    ],
)
def test_what_cannot_be_seen_is_an_escape(hidden: str) -> None:
    assert visible(f"a{hidden}b") == f"a\u27e8U+{ord(hidden):04X}\u27e9b"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain text, 12 %", "plain text, 12 %"),
        ("h\u00e9llo \u2013 \u201cJos\u00e9\u201d \u20ac", "h\u00e9llo \u2013 \u201cJos\u00e9\u201d \u20ac"),
        (MANY, MANY),
        ("IT-\u043e\u0442\u0434\u0435\u043b", "IT-\u043e\u0442\u0434\u0435\u043b"),
        ("\u65e5\u672c\u8a9eABC", "\u65e5\u672c\u8a9eABC"),
        ("a  b", "a  b"),
        ("a   b", "a\u27e83 spaces\u27e9b"),
        ("x" + " " * 80 + "-> LIVE", "x\u27e880 spaces\u27e9-> LIVE"),
        ("\u0430pple pie", "\u0430pple\u27e8mixed: Cyrillic \u0430 U+0430\u27e9 pie"),
        ("p\u03b1y", "p\u03b1y\u27e8mixed: Greek \u03b1 U+03B1\u27e9"),
        ("jo@\u0430\u0440.com", "jo@\u0430\u0440.com\u27e8mixed: Cyrillic \u0430 U+0430, Cyrillic \u0440 U+0440\u27e9"),
        ("DE89 370\u0410", "DE89 370\u0410\u27e8mixed: Cyrillic \u0410 U+0410\u27e9"),
        ("D\u041589", "D\u041589\u27e8mixed: Cyrillic \u0415 U+0415\u27e9"),
        ("\uff11\uff12 EUR", "\uff11\uff12\u27e8mixed: full-width \uff11 U+FF11, full-width \uff12 U+FF12\u27e9 EUR"),
        ("\u0663", "\u0663\u27e8mixed: digit \u0663 U+0663\u27e9"),
        ("\U0001d5ee\U0001d5fd\U0001d5f6", "\U0001d5ee\U0001d5fd\U0001d5f6\u27e8mixed: mathematical \U0001d5ee U+1D5EE,"
         " mathematical \U0001d5fd U+1D5FD, mathematical \U0001d5f6 U+1D5F6\u27e9"),
        ("\u0261oogle", "\u0261oogle\u27e8mixed: look-alike \u0261 U+0261\u27e9"),
        ("\u1d18\u1d00ypal", "\u1d18\u1d00ypal\u27e8mixed: look-alike \u1d18 U+1D18, look-alike \u1d00 U+1D00\u27e9"),
        ("a\u217dme", "a\u217dme\u27e8mixed: look-alike \u217d U+217D\u27e9"),
        ("https://bank.test\u2215.evil.test", "https://bank.test\u2215.evil.test\u27e8mixed: separator \u2215 U+2215\u27e9"),
        ("bank\u2215evil.test", "bank\u2215evil.test\u27e8mixed: separator \u2215 U+2215\u27e9"),
        ("acme\u3002test", "acme\u3002test\u27e8mixed: separator \u3002 U+3002\u27e9"),
        ("c\u2236x", "c\u2236x\u27e8mixed: separator \u2236 U+2236\u27e9"),
        ("jo@acme\u2010corp.test", "jo@acme\u2010corp.test\u27e8mixed: separator \u2010 U+2010\u27e9"),
        ("/srv/acme\u2011old", "/srv/acme\u2011old\u27e8mixed: separator \u2011 U+2011\u27e9"),
        ("ls\u037erm", "ls\u037erm\u27e8mixed: separator \u037e U+037E\u27e9"),
        ("1\u20132, a \u2013 b", "1\u20132, a \u2013 b"),
        ("\u4f60\u597d\u3002\u4e16 1\u20442", "\u4f60\u597d\u3002\u4e16 1\u20442"),
        ("\u212aelvin", "\u212aelvin\u27e8mixed: look-alike \u212a U+212A\u27e9"),
        ("Z\u0300\u0301\u0302\u0303o", "Z\u0300\u0301\u27e8U+0302\u27e9\u27e8U+0303\u27e9o"),
        ("\u0301a \u0338b", "\u27e8U+0301\u27e9a \u27e8U+0338\u27e9b"),
        ("\u27e8U+200B\u27e9", "\u27e8U+27E8\u27e9U+200B\u27e8U+27E9\u27e9"),
    ],
)  # fmt: skip
def test_the_visible_form(text: str, shown: str) -> None:
    assert visible(text) == shown
    assert bool(marks(text)) == (shown != text and "spaces" not in shown)


def test_a_letter_with_line_ends_and_tabs_hides_nothing() -> None:
    assert marks("Hello Jo,\r\n\tthe report\n  is here\n") == ()
    assert marks("a\u2028b") == ("U+2028",)


@given(TEXTS | NASTY)
def test_every_character_can_be_seen_and_read_back(text: str) -> None:
    shown = visible(text)
    assert shown.isprintable()
    assert not any(is_invisible(character) for character in shown)
    assert "   " not in shown
    assert inline(text).isprintable()
    read, rest = "", shown
    while rest:  # what the marks say is what the text holds
        if rest[0] != "\u27e8":
            read, rest = read + rest[0], rest[1:]
            continue
        mark, _, rest = rest[1:].partition("\u27e9")
        if mark.startswith("U+"):
            read += chr(int(mark[2:], 16))
        elif mark.endswith(" spaces"):
            read += " " * int(mark.split()[0])
        else:
            assert mark.startswith("mixed: ")
    assert read == text


def test_scripts_are_those_of_unicode() -> None:
    table = importlib.import_module("fontTools.unicodedata.Scripts")
    ranges = dict(zip(table.RANGES, table.VALUES, strict=True))
    codes = {"Latn": "Latin", "Cyrl": "Cyrillic", "Grek": "Greek", "Armn": "Armenian", "Hani": "Han", "Hebr": "Hebrew",
             "Arab": "Arabic", "Hira": "Hiragana", "Kana": "Katakana", "Hang": "Hangul", "Cher": "Cherokee",
             "Copt": "Coptic", "Deva": "Devanagari", "Thai": "Thai", "Geor": "Georgian", "Bopo": "Bopomofo"}  # fmt: skip
    starts = sorted(ranges)
    compared, position = 0, 0
    for code in range(0x20000):
        while position + 1 < len(starts) and starts[position + 1] <= code:
            position += 1
        expected = codes.get(ranges[starts[position]])
        found = script_of(chr(code))
        if not found or expected is None or not unicodedata.name(chr(code), ""):
            continue
        compared += 1
        assert found == expected, (hex(code), unicodedata.name(chr(code)))
    assert compared > 30_000


@pytest.mark.parametrize(
    ("more", "where", "found"),
    [
        ({"args": {"to": "jo@\u0430cme.test"}}, "steps.a.args.to", "mixed: Cyrillic \u0430 U+0430"),
        ({"args": {"deep": [{"x": "a\u200bb"}]}}, "steps.a.args.deep[0].x", "U+200B"),
        ({"args": {"k\u034f": "v"}}, "steps.a.args.k\u034f", "U+034F"),
        ({"agent": "b\u043et"}, "steps.a.agent", "mixed: Cyrillic \u043e U+043E"),
        ({"dedupe_key": "w\u00ad1"}, "steps.a.dedupe_key", "U+00AD"),
    ],
)
def test_check_warns_of_what_hides(more: dict[str, Any], where: str, found: str) -> None:
    (warning,) = [each for each in examine(plan(step("a", **more))).warnings if "cannot be seen" in each.message]
    assert (warning.where, found in warning.message) == (where, True)


def test_check_warns_of_the_goal_and_the_requester_and_not_of_honest_texts() -> None:
    asked = plan(step("a", args={"body": "Hi J\u00f3,\n\n  fine \u2013 \u20ac 5"}), goal="g\u202e", requested_by="\u0430nn")
    warned = {each.where for each in examine(asked).warnings}
    assert warned == {"goal", "requested_by"}


@given(NASTY, NASTY, NASTY)
def test_no_text_of_a_plan_is_invisible_in_the_preview(goal: str, value: str, name: str) -> None:
    agent = f"bot {name}.".strip()
    run = awaiting(
        plan(step("a", agent=agent, args={"x": value}), goal=goal, requested_by=f"r{name}r"),
        a=preview("a", args={"x": value}),
    )
    assert run.sealed is not None
    text = render_preview(run.sealed, str(run.digest))
    assert all(line.isprintable() and not any(map(is_invisible, line)) for line in text.split("\n"))
    assert "\N{REPLACEMENT CHARACTER}" not in text  # nothing was left to the last guard
    assert quoted(goal) in text or not goal
    assert visible(json.dumps(value, ensure_ascii=False)) in text
    assert quoted(run.sealed.steps[0].agent) in text


def test_errors_of_the_command_line_show_what_they_echo() -> None:
    assert safe("no plan 'p\u200b'\nat all\u2028") == "no plan 'p\u27e8U+200B\u27e9' at all\u27e8U+2028\u27e9"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://evil.example", "https⟨U+003A⟩//evil.example"),
        ("MAILTO:jo@acme.test", "MAILTO⟨U+003A⟩jo@acme.test"),
        ("{namespace} {runId} {id}", "⟨U+007B⟩namespace} ⟨U+007B⟩runId} {id}"),
        ("file:report.md", "file:report.md"),
    ],
)
def test_temporals_page_makes_no_link_of_a_text_and_fills_nothing_in(text: str, shown: str) -> None:
    assert inline(text) == shown
