"""Docstrings, comments and messages follow the rules of CONTRIBUTING for English."""

import ast
import io
import re
import subprocess
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOMS = (
    "airlock/base", "airlock/plans", "airlock/admission", "airlock/gates", "airlock/run", "airlock/monitoring",
    "airlock/export", "airlock/temporal", "airlock/tools", "airlock/client", "airlock/cli", "airlock/worker",
    "airlock/adapters", "airlock/alerts", "airlock/notify", "airlock/console", "workflows", "activities", "devtools",
    "sandbox", "examples", "benchmarks", "tests",
)  # fmt: skip
QUESTION = re.compile(r"(What|Whether|How|Which|Why|Who|Whose|Where|When|That)\b")
"""A docstring names a thing or an action; it does not answer a question."""
VAGUE = re.compile(r"\b(somebody|nobody|anybody|whoever|whomever|whom|anew|mend|mends|mended|mending)\b", re.IGNORECASE)
"""Words without an actor, and words that the field has others for: fix, again, expired, caller, holder, approver."""
WORD = re.compile(r"""[rfb]?(["'])\w+\1""")
"""A string of one word is a name, not a text."""
REPOSITORY = re.compile(
    r"\b(docs|examples|schemas|tests|deploy|devtools)/\w+|requirements\.lock|CONTRIBUTING|README|CHANGELOG|pyproject\.toml"
    r"|docker-compose|\bmake (setup|dev|demo|docs|test)\b"
)
"""Files and commands of the repository: a reader who installed Airlock has none of them."""
INSTALLED = ("airlock", "workflows", "activities")
Found = tuple[str, int, str]


def sources(room: str) -> list[Path]:
    """Return the Python files of a room that git knows, links left out."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", f"{room}/**.py"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    return [path for name in listed if (path := ROOT / name).is_file() and not path.is_symlink()]


def docstrings(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield every docstring, and every text below a constant or a field, with its line."""
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if not isinstance(body, list):
            continue
        for each in body:
            if isinstance(each, ast.Expr) and isinstance(each.value, ast.Constant) and isinstance(each.value.value, str):
                yield each.lineno, each.value.value


def texts(source: str, *, messages: bool) -> Iterator[tuple[int, str]]:
    """Yield comments and docstrings with their lines, and all other strings too where `messages` says so."""
    yield from docstrings(ast.parse(source))
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        string = token.type in (tokenize.STRING, getattr(tokenize, "FSTRING_MIDDLE", -1))
        if token.type == tokenize.COMMENT or (messages and string and not WORD.fullmatch(token.string)):
            yield token.start[0], token.string


def questions(path: Path) -> Iterator[Found]:
    """Yield the docstrings of a file that begin like a question."""
    for line, text in docstrings(ast.parse(path.read_text(encoding="utf-8"))):
        if QUESTION.match(text.strip()):
            yield str(path.relative_to(ROOT)), line, text.strip().splitlines()[0]


def vague(path: Path) -> Iterator[Found]:
    """Yield the texts of a file that hold a word of the list."""
    # strings of tests are data: names of unknown signals, mailboxes that do not exist
    messages = "tests" not in path.relative_to(ROOT).parts
    source = path.read_text(encoding="utf-8")
    sealed = {number for number, line in enumerate(source.splitlines(), 1) if "# sealed: never reworded" in line}
    for line, text in texts(source, messages=messages):
        if line in sealed:  # a digest that open plans hold is made of it
            continue
        if found := VAGUE.search(text):
            yield str(path.relative_to(ROOT)), line, found[0]


def repository_files(path: Path) -> Iterator[Found]:
    """Yield the messages of a file that send their reader to a file which only the repository has."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    told = {line for line, _ in docstrings(tree)}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Constant) or not isinstance(node.value, str) or node.lineno in told:
            continue
        if found := REPOSITORY.search(node.value):
            yield str(path.relative_to(ROOT)), node.lineno, found[0]


def shown(found: list[Found]) -> str:
    """Return findings as lines to click on."""
    return "\n".join(f"{path}:{line}: {what}" for path, line, what in found)


@pytest.mark.parametrize("room", ROOMS)
def test_docstrings_begin_with_a_verb_or_a_noun(room: str) -> None:
    found = [each for path in sources(room) for each in questions(path)]
    assert not found, shown(found)


@pytest.mark.parametrize("room", ROOMS)
def test_texts_name_the_actor(room: str) -> None:
    found = [each for path in sources(room) for each in vague(path) if path != Path(__file__)]
    assert not found, shown(found)


def test_documents_name_the_actor() -> None:
    pages = subprocess.run(
        ["git", "ls-files", "*.md"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()  # fmt: skip
    found = [
        (name, number, word[0])
        for name in pages
        if not name.startswith("examples/memory/") and not any(part in name for part in ("adr/", "CHANGELOG", "NOTICE"))
        for number, line in enumerate((ROOT / name).read_text(encoding="utf-8").splitlines(), 1)
        if (word := VAGUE.search(line))
    ]
    assert not found, shown(found)


def test_the_rules_notice_what_they_are_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{__name__}.ROOT", tmp_path)
    page = tmp_path / "page.py"
    page.write_text(
        'def f():\n    """Whether it holds."""\n    # somebody may wait\n    return f"ask {1} whom"\n', encoding="utf-8"
    )
    assert [line for _, line, _ in questions(page)] == [2]
    assert [word for _, _, word in vague(page)] == ["somebody", "whom"]


@pytest.mark.parametrize("room", INSTALLED)
def test_messages_name_no_file_that_is_not_installed(room: str) -> None:
    found = [each for path in sources(room) for each in repository_files(path)]
    allowed = {("airlock/program.py", "pyproject.toml")}  # read where it is, and named in no message
    assert not (left := [each for each in found if (each[0], each[2]) not in allowed]), shown(left)


def test_a_message_that_names_such_a_file_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    (tmp_path / "odd.py").write_text('"""See docs/a.md."""\n\nFIX = f"see docs/reference/{1}"\nB = "make keys"\n')
    assert list(repository_files(tmp_path / "odd.py")) == [("odd.py", 3, "docs/reference")]
