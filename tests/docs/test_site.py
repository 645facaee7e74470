"""The documents build as a site, without a warning: every link and every anchor in them leads somewhere."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.fences import ROOT


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = build(ROOT / "mkdocs.yml", folder)
    assert done.returncode == 0, done.stderr
    assert not re.search(r"^(?!INFO)\S", done.stderr, re.MULTILINE), done.stderr
    return folder


def build(config: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """Build a site as `make docs-site` does."""
    return subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--config-file", config, "--site-dir", folder],
        cwd=ROOT, env={**os.environ, "NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip


def test_every_document_is_a_page(site: Path) -> None:
    for document in (ROOT / "docs").rglob("*.md"):
        page = document.relative_to(ROOT / "docs").with_suffix("")
        place = page.parent if page.name == "README" else page
        assert (site / place / "index.html").is_file(), document


def test_files_outside_the_documents_are_pages_of_the_site(site: Path) -> None:
    page = (site / "guides" / "writing-a-tool" / "index.html").read_text(encoding="utf-8")
    link = re.search(r'href="([^"]*repository/examples/my_tools\.py/)"', page)
    assert link
    target = site / "guides" / "writing-a-tool" / link[1] / "index.html"
    assert "FlagSettings" in target.read_text(encoding="utf-8")


def test_diagrams_are_drawn(site: Path) -> None:
    assert '<pre class="mermaid">' in (site / "reference" / "states" / "index.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("link", "said"),
    [("nowhere.md", "not found"), ("other.md#nothing", "does not contain an anchor"), ("../outside.txt", "not found")],
)
def test_a_link_that_leads_nowhere_stops_the_build(tmp_path: Path, link: str, said: str) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "README.md").write_text(f"# Home\n\n[There]({link}) and [other](other.md)\n", encoding="utf-8")
    (tmp_path / "docs" / "other.md").write_text("# Other\n", encoding="utf-8")
    config = re.sub(r"^nav:\n.*", "", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    config = config.replace("devtools/site.py", str(ROOT / "devtools" / "site.py"))
    (tmp_path / "mkdocs.yml").write_text(config, encoding="utf-8")
    done = build(tmp_path / "mkdocs.yml", tmp_path / "site")
    assert done.returncode != 0
    assert said in done.stderr + done.stdout
