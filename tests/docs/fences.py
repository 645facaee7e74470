"""Contents of the documents: their files, their fenced blocks, their links, the commands in them."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted(
    path for path in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "deploy").glob("*.md")) if path.is_file()
)
GENERATED = (
    "docs/reference/states.md",
    "docs/reference/calls.md",
    "docs/reference/starter.md",
    "docs/contributing/corpus.md",
)
GENERATED_DOCUMENTS = [path for path in DOCUMENTS if path.relative_to(ROOT).as_posix() in GENERATED]
WRITTEN = [path for path in DOCUMENTS if path.relative_to(ROOT).as_posix() not in GENERATED]

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`([^`\n]+)`")


@dataclass(frozen=True)
class Fence:
    """One fenced block of a document."""

    path: Path
    kind: str
    text: str
    line: int

    def __str__(self) -> str:
        return f"{self.path.relative_to(ROOT)}:{self.line}"


def fences(*kinds: str, paths: list[Path] | None = None) -> list[Fence]:
    """Return every fenced block of some kinds, in all documents unless `paths` names some."""
    found = []
    for path in WRITTEN if paths is None else paths:
        text = path.read_text()
        for match in _FENCE.finditer(text):
            if match[1] in kinds:
                found.append(Fence(path, match[1], match[2], text[: match.start()].count("\n") + 1))
    return found


def lines(fence: Fence) -> Iterator[str]:
    """Yield the commands of a block: continued lines joined, comments left out."""
    for line in fence.text.replace("\\\n", " ").splitlines():
        if line.strip() and not line.lstrip().startswith("#"):
            yield line.strip()


def prose(path: Path) -> str:
    """Return the document without its blocks."""
    return _FENCE.sub("", path.read_text())


def inline(path: Path) -> list[str]:
    """Return everything between single backticks, outside of blocks."""
    return _INLINE.findall(prose(path))


def commands() -> list[tuple[str, str]]:
    """Return every command line of the documents with its place."""
    found = [(str(fence), line) for fence in fences("sh", "text") for line in lines(fence)]
    found += [(str(path.relative_to(ROOT)), text) for path in WRITTEN for text in inline(path)]
    return found


def words_after(program: str, line: str) -> list[str] | None:
    """Return the arguments of a program in a command line, or None where the line does not run it."""
    match = re.search(rf"(?:^|[\s(/]){re.escape(program)} (?=\S)(.*)", line)
    if match is None:
        return None
    text = match[1].split(" | ")[0].split(" > ")[0]
    try:
        return shlex.split(text)
    except ValueError:
        return None
