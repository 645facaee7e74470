"""Redaction: what a call makes of a secret is found in texts, masked, and put back where a tool needs it again."""

import base64
import html
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any
from urllib.parse import quote, quote_plus

SHORTEST = 4
"""Characters of the shortest secret that is masked; a shorter one would be found in any text."""
PART = 9
"""Characters of the shortest part of a secret that is masked."""
MAX_ENCODED = 4_096
"""Characters of the longest secret that is looked for in every encoding; a longer one is found as text and in JSON."""
_BASE64_PART, _HEX_PART = 12, 18  # what encodes PART bytes
_REACH = max(PART, _BASE64_PART, _HEX_PART)
_MAX_PLACES = 8  # of one gram: only a secret that repeats itself has more, and then each of them matches alike
_UNESCAPED = "!$&'()*+,;=:@/?~"  # left as they are by URL libraries that escape no more than they must


@dataclass(frozen=True, eq=False)
class Form:
    """One way to write a secret."""

    name: str
    label: str
    text: str
    window: int
    """Characters of the shortest part of this form that is masked."""


@dataclass(frozen=True)
class Found:
    """A part of a text that is a part of a form, from `place` of the form on."""

    start: int
    end: int
    form: Form
    place: int

    @property
    def whole_secret(self) -> bool:
        """True if this is the secret itself, all of it."""
        return self.form.label == "text" and self.place == 0 and self.end - self.start == len(self.form.text)


class Redactor:
    """Finds some secrets in JSON values: in each of their forms, whole or in parts."""

    def __init__(self, secrets: Mapping[str, str]) -> None:
        # the longest match counts; where two are alike, the secret itself rather than a part of one that holds it
        given = sorted(secrets.items(), key=lambda item: len(item[1]))
        self._forms = [form for name, secret in given if len(secret) >= SHORTEST for form in forms(name, secret)]
        self._short = [form for form in self._forms if form.window < PART]
        self._grams: dict[str, list[tuple[Form, int]]] = {}
        for form in self._forms:
            for place in range(len(form.text) - form.window + 1) if form.window >= PART else ():
                places = self._grams.setdefault(form.text[place : place + PART], [])
                if len(places) < _MAX_PLACES:
                    places.append((form, place))
        self._texts = {(form.name, form.label): form.text for form in self._forms}
        names = "|".join(sorted({re.escape(form.name) for form in self._forms}, key=len, reverse=True))
        self._mark = re.compile(rf"\(secret ({names})(?: as (\S+) (\d{{1,6}}):(\d{{1,6}}))?\)") if names else None

    def shown(self, value: Any) -> Any:
        """Return a JSON value with every part of a secret replaced by the secret's name."""
        return _mapped(value, self._shown) if self._forms else value

    def kept(self, value: Any) -> Any:
        """Return a JSON value with every part of a secret replaced by a mark, from which `restored` makes it again."""
        return _mapped(value, self._kept) if self._forms else value

    def restored(self, value: Any) -> Any:
        """Return a JSON value from `kept` or `shown` with the secrets in it; only what is not whole needs `kept`."""
        return value if self._mark is None else _mapped(value, self._restored)

    def _shown(self, text: str) -> str:
        found = self.found(text)
        masks: list[str] = []
        before = None
        for each in found:
            joined = before is not None and before.end == each.start and before.form.name == each.form.name
            masks.append("" if joined else masked(each.form.name))
            before = each
        return _replaced(text, found, masks)

    def _kept(self, text: str) -> str:
        found = self.found(text)
        return _replaced(text, found, [_mark(each) for each in found])

    def _restored(self, text: str) -> str:
        def secret(match: re.Match[str]) -> str:
            name, label, start, end = match.groups()
            form = self._texts.get((name, label or "text"))
            if form is None:
                return match[0]
            return form if label is None else form[int(start) : int(end)]

        return text if self._mark is None else self._mark.sub(secret, text)

    def found(self, text: str) -> list[Found]:
        """Return the parts of a text that are parts of a secret, in order, none over another."""
        hits = [*self._long_hits(text), *self._short_hits(text)]
        hits.sort(key=lambda hit: (hit.start, -hit.end))
        found: list[Found] = []
        cursor = 0
        for hit in hits:
            if hit.end > cursor:
                skipped = max(cursor - hit.start, 0)
                found.append(Found(hit.start + skipped, hit.end, hit.form, hit.place + skipped))
                cursor = hit.end
        return found

    def _short_hits(self, text: str) -> Iterator[Found]:
        for form in self._short:
            start = text.find(form.text)
            while start >= 0:
                yield Found(start, start + len(form.text), form, 0)
                start = text.find(form.text, start + 1)

    def _long_hits(self, text: str) -> Iterator[Found]:
        grams, start, last = self._grams, 0, len(text) - PART
        while start <= last:
            places = grams.get(text[start : start + PART])
            best = max((_match(text, start, *each) for each in places), key=lambda hit: hit.end) if places else None
            if best is None or best.end == start:
                start += 1
                continue
            yield best
            # one that begins inside this one and ends after it holds at least a window, so it is found from here on
            start = max(start + 1, best.end - _REACH + 1)


def _match(text: str, start: int, form: Form, place: int) -> Found:
    """Return the longest match from there on; an empty one if it is shorter than the form's window."""
    written = form.text
    if not text.startswith(written[place : place + form.window], start):
        return Found(start, start, form, place)
    length, most = form.window, min(len(written) - place, len(text) - start)
    while length < most and text[start + length] == written[place + length]:
        length += 1
    return Found(start, start + length, form, place)


def forms(name: str, secret: str) -> Iterator[Form]:
    """Yield the secret as text and in each encoding that is looked for, each text once."""
    seen: set[str] = set()
    for label, text, part in _written(secret):
        if len(text) >= SHORTEST and text not in seen:
            seen.add(text)
            # of a secret that is no longer than the parts left alone, only the whole counts
            yield Form(name, label, text, min(part, len(text)) if len(secret) >= PART else len(text))


def _written(secret: str) -> Iterator[tuple[str, str, int]]:
    yield "text", secret, PART
    for label, written in (("json", json.dumps(secret)), ("json-utf8", json.dumps(secret, ensure_ascii=False))):
        if written[1:-1] != secret:
            yield f"quoted-{label}", written, PART
            yield label, written[1:-1], PART
    if len(secret) > MAX_ENCODED:
        return
    data = secret.encode("utf-8", "surrogatepass")
    for before in range(3):  # the bytes in front of it decide how it falls into groups of three
        encoded = base64.b64encode(bytes(before) + data).decode()
        own = encoded[-(-before * 8 // 6) : (before + len(data)) * 8 // 6]
        yield f"base64+{before}", own, _BASE64_PART
        yield f"base64url+{before}", own.replace("+", "-").replace("/", "_"), _BASE64_PART
    yield "hex", data.hex(), _HEX_PART
    yield "HEX", data.hex().upper(), _HEX_PART
    for label, separator in (("hex-colon", ":"), ("hex-dash", "-")):
        yield label, data.hex(separator), _HEX_PART
        yield label.upper(), data.hex(separator).upper(), _HEX_PART
    if (written := repr(secret))[1:-1] != secret:
        yield "quoted-repr", written, PART
        yield "repr", written[1:-1], PART
    yield "bytes", repr(data)[2:-1], PART
    yield "html", html.escape(secret), PART
    yield "html-text", html.escape(secret, quote=False), PART
    urls: dict[str, Callable[[str], str]] = {
        "url": _quoted(""),
        "path": _quoted("/"),
        "form": quote_plus,
        "uri": _quoted(_UNESCAPED),
    }
    for label, encode in urls.items():
        once = encode(secret.encode("utf-8", "replace").decode())
        yield label, once, PART
        yield f"{label}-lower", re.sub("%..", lambda code: code[0].lower(), once), PART
        yield f"{label}-twice", encode(once), PART
    yield "lower", secret.lower(), PART
    yield "upper", secret.upper(), PART
    yield "reversed", secret[::-1], PART


def _quoted(safe: str) -> Callable[[str], str]:
    return lambda text: quote(text, safe=safe)


@lru_cache(maxsize=4)
def redactor(secrets: tuple[tuple[str, str], ...]) -> Redactor:
    """Return the redactor of some secrets, by name; the steps of a plan often share them."""
    return Redactor(dict(secrets))


def masked(name: str) -> str:
    """Return the text in place of a secret wherever a person looks."""
    return f"(secret {name})"


def _mark(found: Found) -> str:
    form = found.form
    if found.whole_secret:
        return masked(form.name)
    return f"(secret {form.name} as {form.label} {found.place}:{found.place + found.end - found.start})"


def _replaced(text: str, found: list[Found], masks: list[str]) -> str:
    if not found:
        return text
    between = [text[left.end : right.start] for left, right in pairwise(found)]
    pieces = [piece for pair in zip(masks, [*between, text[found[-1].end :]], strict=True) for piece in pair]
    return "".join((text[: found[0].start], *pieces))


def _mapped(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, Mapping):
        return {_mapped(key, change): _mapped(child, change) for key, child in value.items()}
    if isinstance(value, list | tuple):
        return [_mapped(child, change) for child in value]
    return value
