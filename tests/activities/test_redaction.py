"""Redaction: a secret is found in every encoding and in parts, masked, and put back; within a bounded time."""

import base64
import html
import json
import time
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airlock.activities.functions.redaction import PART, Redactor
from airlock.activities.functions.secrets import Secrets
from airlock.base.text import MAX_OUTPUT_BYTES

SECRET = 'it\'s\\a <b>"tök/en"+&=%?~ of-27+chars'
ENCODINGS = {
    "text": lambda text: text,
    "repr": repr,
    "json": json.dumps,
    "json-utf8": lambda text: json.dumps(text, ensure_ascii=False),
    "quote": quote,
    "quote-all": lambda text: quote(text, safe=""),
    "quote_plus": quote_plus,
    "quote-twice": lambda text: quote(quote(text, safe=""), safe=""),
    "quote_plus-twice": lambda text: quote_plus(quote_plus(text)),
    "html": html.escape,
    "html-text": lambda text: html.escape(text, quote=False),
    "hex": lambda text: text.encode().hex(),
    "hex-colon": lambda text: text.encode().hex(":"),
    "HEX-DASH": lambda text: text.encode().hex("-").upper(),
    "HEX": lambda text: text.encode().hex().upper(),
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64url": lambda text: base64.urlsafe_b64encode(text.encode()).decode().rstrip("="),
    "basic": lambda text: base64.b64encode(f"me:{text}".encode()).decode(),
    "basic-2": lambda text: base64.b64encode(f"user:{text}:more".encode()).decode(),
    "basic-3": lambda text: base64.urlsafe_b64encode(f"user1:{text}:more".encode()).decode(),
    "bytes": lambda text: repr(text.encode()),
    "lower": str.lower,
    "upper": str.upper,
    "reversed": lambda text: text[::-1],
}
SECRETS = st.text(
    st.one_of(st.characters(codec="utf-8", exclude_characters="\0"), st.sampled_from("aZ09-_./\\\"'<&+% é\n")),
    min_size=12,
    max_size=60,
).filter(lambda text: len(set(text)) > 8)


def common(text: str, written: str) -> int:
    """Return the length of the longest part that two texts share."""
    best = 0
    for start in range(len(written)):
        while start + best < len(written) and written[start : start + best + 1] in text:
            best += 1
    return best


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize(
    "secret", [SECRET, "tok_live_EXAMPLE", "-----BEGIN KEY-----\nMIIEvQ+/IBADANBg\nkqhkiG9w\n-----END KEY-----"]
)
def test_a_secret_is_found_in_every_encoding(encoding: str, secret: str) -> None:
    written = ENCODINGS[encoding](secret)
    masked = Redactor({"S": secret}).shown(f"before {written} after")
    assert masked.startswith("before ")
    assert masked.endswith(" after")
    assert masked.count("(secret S)") == 1
    # at the edges of a group base64 mixes the secret with what stands beside it
    left = masked.removeprefix("before ").removesuffix(" after").replace("(secret S)", "")
    assert common(left, written) <= (12 if encoding.startswith("b") else 1)


@given(SECRETS, st.sampled_from(sorted(ENCODINGS)), st.text(max_size=20), st.text(max_size=20), st.data())
@settings(max_examples=300, deadline=None)
def test_parts_are_masked_and_put_back(secret: str, encoding: str, before: str, after: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(secret) - PART))
    part = secret[start : data.draw(st.integers(start + PART, len(secret)))]
    redactor, text = Redactor({"S": secret}), before + ENCODINGS["text"](part) + after
    assert part not in redactor.shown(text)
    assert "(secret S)" in redactor.shown(text)
    whole = {"x": [before + ENCODINGS[encoding](secret) + after, part]}
    kept = redactor.kept(whole)
    assert secret not in json.dumps(kept, ensure_ascii=False)
    assert redactor.restored(kept) == whole


@pytest.mark.parametrize(
    "encoding", ["text", "base64", "base64url", "hex", "HEX", "quote-all", "quote-twice", "json", "html"]
)
def test_every_part_longer_than_eight_characters_is_masked(encoding: str) -> None:
    secret = "qL7/vT+2=xW9&zR4'mK8_pN3"
    redactor = Redactor({"S": secret})
    for start in range(len(secret) - PART + 1):
        for end in range(start + PART, len(secret) + 1):
            written = ENCODINGS[encoding](secret[start:end])
            masked = redactor.shown(f"<{written}>")
            # of base64 at most the last character, which holds less than a byte, and the padding
            assert common(masked, written) <= (3 if encoding.startswith("base64") else 2), (start, end, masked)


def test_eight_characters_and_other_texts_stay() -> None:
    redactor = Redactor({"S": "abcdefghijklmnop", "PIN": "1234", "tiny": "abc"})
    for text in ("abcdefgh", "ijklmnop", "abcdefgh-ijklmnop", "abc", "123", "", "é" * 100):
        assert redactor.shown(text) == text
    assert redactor.shown({"1234": ["12341234", 1234, None, True, "x1234y"]}) == {
        "(secret PIN)": ["(secret PIN)", 1234, None, True, "x(secret PIN)y"]
    }


def test_marks_of_other_secrets_and_of_others_hands_stay() -> None:
    redactor = Redactor({"S": "abcdefghijklmnop"})
    for text in ("(secret OTHER)", "(secret S as nothing 0:4)", "(secret S as base64+0)", "(secret S"):
        assert redactor.restored(text) == text
    assert redactor.restored("(secret S)!") == "abcdefghijklmnop!"


def test_one_secret_inside_another_and_side_by_side() -> None:
    redactor = Redactor({"A": "first-secret", "B": "before first-secret after"})
    assert redactor.shown("before first-secret after,first-secret") == "(secret B),(secret A)"
    both = Redactor({"A": "first-secret", "B": "other-secret"})
    assert both.shown("first-secretother-secret") == "(secret A)(secret B)"
    assert both.restored(both.kept("first-secretother-secret")) == "first-secretother-secret"


def test_what_environments_and_urls_make_of_a_secret() -> None:
    hook = "http://crm.test/api/webhooks/1/EXAMPLETOKEN?wait=true"
    secrets = Secrets(
        {"AIRLOCK_SECRET_TOKEN": "tok_live_EXAMPLE\r\n", "AIRLOCK_SECRET_PIN": "it's\\EXAMPLE", "AIRLOCK_SECRET_HOOK": hook}
    )
    assert (secrets.resolve("TOKEN"), secrets.resolve("PIN")) == ("tok_live_EXAMPLE", "it's\\EXAMPLE")
    secrets.resolve("HOOK")
    assert secrets.redact(f"name={'it' + chr(39) + 's' + chr(92) + 'EXAMPLE'!r}.") == "name=(secret PIN)."
    assert secrets.redact(f"Would POST {hook.partition('?')[0]} with a body") == "Would POST (secret HOOK) with a body"
    assert secrets.redact("Illegal header value b'tok_live_EXAMPLE\\n'") == "Illegal header value b'(secret TOKEN)\\n'"


def hard_texts(secret: str) -> dict[str, Any]:
    encoded = base64.b64encode(secret.encode()).decode()
    return {
        "plain": "x" * MAX_OUTPUT_BYTES,
        "secret": secret * (MAX_OUTPUT_BYTES // len(secret)),
        "parts": (secret[:9] + "-") * (MAX_OUTPUT_BYTES // 10),
        "nearly": (secret[:8] + "-") * (MAX_OUTPUT_BYTES // 9),
        "base64": encoded * (MAX_OUTPUT_BYTES // len(encoded)),
        "small": [secret[:12]] * (MAX_OUTPUT_BYTES // 15),
    }


@pytest.mark.parametrize(
    "secret", ["tok_live_0123456789abcdefghij", "a" * 24, "%2F" * 40, "/" * 64, "MIIEvQIBADANBgkqhkiG9w+/" * 130],
    ids=["token", "same", "escapes", "slashes", "key of 3 KB"],
)  # fmt: skip
def test_the_time_is_bounded(secret: str) -> None:
    redactor = Redactor({"S": secret})
    for kind, value in hard_texts(secret).items():
        started = time.process_time()
        redactor.kept(value)
        spent = time.process_time() - started
        print(f"{kind}: {spent * 1000:.0f} ms")
        assert spent < 1.0, kind
