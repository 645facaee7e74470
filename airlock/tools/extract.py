"""`text_extract`: values in a text, found by fixed patterns in linear time."""

import re
from datetime import date, datetime
from typing import Annotated, Literal

from pydantic import Field, JsonValue
from typing_extensions import TypedDict

from airlock.base.errors import ToolFailed
from airlock.plans.refs import UNKNOWN
from airlock.plans.tool import tool
from airlock.plans.tool_call import Preview, ToolCall
from airlock.tools.common import Arguments, fits

# Every repetition is bounded and every match starts at a boundary, so the time is linear in the length of the text.
_EMAIL = re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,8}")
_URL = re.compile(r"\bhttps?://[^\s<>\"'`]{1,2000}")
_NUMBER = re.compile(r"(?<![\w.,])[-+]?\d{1,30}(?:\.\d{1,30})?(?![\w]|[.,]\d)")
_ISO_DATE = re.compile(r"(?<!\d)\d{4}-\d{2}-\d{2}(?!\d)")
_WORD_DATE = re.compile(r"(?<!\w)(\d{1,2}) ([A-Z][a-z]{2,8}) (\d{4})(?!\w)|(?<!\w)([A-Z][a-z]{2,8}) (\d{1,2}), (\d{4})")


class TextExtract(Arguments):
    """A text and what to look for in it."""

    text: Annotated[str, Field(max_length=100_000, description="the text to look in")]
    kind: Annotated[
        Literal["emails", "urls", "numbers", "dates", "fields"],
        Field(description="what to extract; `fields` reads lines such as `Label: value`"),
    ]
    fields: Annotated[tuple[str, ...], Field(max_length=50, description="the labels to read, for kind `fields`")] = ()
    limit: Annotated[int, Field(ge=1, le=1_000, description="the most values to return")] = 100


class Values(TypedDict):
    """The values found, in the order of the text, each once; for `fields`, objects with `label` and `value`."""

    values: list[JsonValue]


@tool(name="text_extract", risk="LOW", reversibility="read_only", timeout=10, idempotent=True)
def text_extract(args: TextExtract, _call: ToolCall) -> Values:
    """Extract emails, links, numbers, dates (as YYYY-MM-DD) or labelled fields from a text."""
    return {"values": extract(args)}


@text_extract.dry_run
def look(args: TextExtract, _call: ToolCall) -> Preview:
    """Extract the values: this changes nothing."""
    values = extract(args)
    return Preview(effect=f"Would extract {len(values)} {args.kind}.", output={"values": values})


@text_extract.mock
def mock(args: TextExtract, _call: ToolCall) -> Values:
    """Return the values in the text, or one plausible value of some if a mocked text holds none."""
    plausible: dict[str, list[JsonValue]] = {
        "emails": ["jo@example.test"],
        "urls": ["https://example.test/"],
        "numbers": [1],
        "dates": ["2030-01-01"],
        "fields": [{"label": label, "value": "a value"} for label in (args.fields if fits(args) else ["label"])],
    }
    found = extract(args) if fits(args) and (args.fields or args.kind != "fields") else []
    return {"values": found or [*plausible.get(str(args.kind), []), UNKNOWN]}


def extract(args: TextExtract) -> list[JsonValue]:
    """Return the values found, each once, at most `limit`.

    Raises:
        ToolFailed: If the kind is `fields` and no label is named.
    """
    found: list[JsonValue]
    if args.kind == "emails":
        found = [match.rstrip("-") for match in _EMAIL.findall(args.text)]
    elif args.kind == "urls":
        found = [match.rstrip(".,;:!?)]}") for match in _URL.findall(args.text)]
    elif args.kind == "numbers":
        found = [float(match) if "." in match else int(match) for match in _NUMBER.findall(args.text)]
    elif args.kind == "dates":
        found = [value for _, value in sorted(_dates(args.text))]
    else:
        found = _fields(args)
    return list({repr(value): value for value in found}.values())[: args.limit]


def _dates(text: str) -> list[tuple[int, str]]:
    """Return the position and the ISO form of every date that exists in the calendar."""
    found: list[tuple[int, str]] = []
    for match in _ISO_DATE.finditer(text):
        try:
            found.append((match.start(), date.fromisoformat(match.group()).isoformat()))
        except ValueError:
            continue
    for match in _WORD_DATE.finditer(text):
        day, month, year = match.group(1, 2, 3) if match.group(1) else match.group(5, 4, 6)
        for form in ("%d %B %Y", "%d %b %Y"):
            try:
                found.append((match.start(), datetime.strptime(f"{day} {month} {year}", form).date().isoformat()))  # noqa: DTZ007 a calendar date has no time zone
            except ValueError:
                continue
            break
    return found


def _fields(args: TextExtract) -> list[JsonValue]:
    if not args.fields:
        raise ToolFailed("kind 'fields' needs the labels to read: set `fields`")
    wanted = {label.strip().rstrip(":").casefold(): label for label in args.fields}
    found: list[JsonValue] = []
    for line in args.text.splitlines():
        label, separator, value = line.partition(":")
        known = wanted.get(label.strip(" \t-*").casefold())
        if separator and known is not None:
            found.append({"label": known, "value": value.strip()})
    return found
