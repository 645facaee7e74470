"""`memory_search`: notes in a folder, found by their words."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field
from typing_extensions import TypedDict

from airlock.base.errors import ToolFailed
from airlock.plans.refs import UNKNOWN
from airlock.plans.tool import tool
from airlock.plans.tool_call import Preview, ToolCall
from airlock.tools.common import Arguments, Settings, frozen_description, required

SUFFIXES = (".md", ".txt", ".json")
MAX_NOTES = 2_000
MAX_NOTE_BYTES = 262_144
EXCERPT = 500

_WORD = re.compile(r"\w+")


class MemorySettings(Settings):
    """The section `[settings.memory]`."""

    section: ClassVar[str] = "memory"
    path: str = ""
    """A folder of notes (.md, .txt, .json)."""
    goals: str = ""
    """A JSON file of goals; empty, `goals.json` in the folder of notes."""


class MemorySearch(Arguments):
    """The words to search notes for."""

    model_config = frozen_description("What to look for.")

    query: Annotated[str, Field(min_length=1, max_length=1_000, description="words to look for, in any order and case")]
    limit: Annotated[int, Field(ge=1, le=50, description="the most matches to return")] = 5


class Match(TypedDict):
    """One note."""

    id: str
    text: str
    score: float
    """The share (0.0-1.0) of the query's words that the note holds."""


class Matches(TypedDict):
    """The notes found, best first."""

    matches: list[Match]


@tool(
    name="memory_search",
    risk="LOW",
    reversibility="read_only",
    permissions={"memory:read"},
    timeout=15,
    idempotent=True,
    settings=MemorySettings,
)
def memory_search(args: MemorySearch, call: ToolCall) -> Matches:
    """Find notes by the words they hold, best match first."""
    folder = Path(required(call.settings.path, "settings.memory.path"))
    if not folder.is_dir():
        raise ToolFailed("settings.memory.path is not a folder: correct it")
    return {"matches": _ranked(args, folder)}


@memory_search.dry_run
def look(args: MemorySearch, call: ToolCall) -> Preview:
    """Search the notes: this changes nothing."""
    found = memory_search.live(args, call)
    return Preview(effect=f"Would find {len(found['matches'])} notes about {args.query!r}.", output=found)


@memory_search.mock
def mock(args: MemorySearch, _call: ToolCall) -> Matches:
    """Return one note with the words of the query. Which others there are is not known."""
    return {"matches": [{"id": UNKNOWN, "text": f"A note about {args.query}", "score": 1.0}]}


def _ranked(args: MemorySearch, folder: Path) -> list[Match]:
    wanted = set(_words(args.query))
    ranked = []
    for name, text in _notes(folder):
        counts = Counter(_words(text))
        found = sorted(word for word in wanted if word in counts)
        if found:
            score = round(len(found) / len(wanted), 4)
            often = sum(counts[word] for word in found)
            ranked.append((-score, -often, name, Match(id=name, text=_excerpt(text, found[0]), score=score)))
    return [match for *_, match in sorted(ranked, key=lambda entry: entry[:3])][: args.limit]


def _words(text: str) -> list[str]:
    return _WORD.findall(text.casefold())


def _excerpt(text: str, word: str) -> str:
    start = max(0, text.casefold().find(word) - EXCERPT // 5)
    return text.strip() if len(text) <= EXCERPT else text[start : start + EXCERPT].strip()


def _notes(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield the id and the text of every note; files that are not text, or too large, are skipped."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix in SUFFIXES and path.is_file())
    for path in paths[:MAX_NOTES]:
        name = path.relative_to(folder).as_posix()
        try:
            if path.stat().st_size > MAX_NOTE_BYTES:
                continue
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            continue
        yield from _parts(name, text) if path.suffix == ".json" else [(name, text)]


def _parts(name: str, text: str) -> Iterator[tuple[str, str]]:
    """Yield the notes of a JSON file: a list of `{"id", "text"}` holds many, any other JSON is one."""
    try:
        content = json.loads(text)
    except ValueError:
        return
    items = content if isinstance(content, list) else [content]
    if all(isinstance(item, dict) and isinstance(item.get("text"), str) for item in items):
        for number, item in enumerate(items):
            yield f"{name}#{item.get('id', number)}", item["text"]
    else:
        yield name, json.dumps(content, ensure_ascii=False)
