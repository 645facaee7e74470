"""Hook of MkDocs: files outside docs/ that the documents link to become pages of the site.

Links such as ../../examples/my_tools.py work in the repository as they stand. The site holds only docs/, so each of these
files gets a page below repository/, and the links lead there.
"""

import posixpath
import re

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from devtools.environment import ROOT

PREFIX = "repository/"
_LINK = re.compile(r"(\]\()([^)\s#]+)(?=[#)])")
_KINDS = {".py": "python", ".json": "json", ".toml": "toml", ".yml": "yaml", ".yaml": "yaml"}


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add a page for every file outside docs/ that a document, or such a page, links to."""
    waiting = [file for file in files if file.src_uri.endswith(".md")]
    while waiting:
        source = waiting.pop()
        for target in _links(source.content_string, _place(source.src_uri)):
            address = _address(target)
            if not address.startswith(PREFIX) or files.get_file_from_path(address) or not (ROOT / target).is_file():
                continue
            page = File.generated(config, address, content=_content(target))
            files.append(page)
            waiting.append(page)
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links that leave docs/ towards the pages that stand for their targets."""
    here = page.file.src_uri

    def turned(match: re.Match[str]) -> str:
        target = _target(match[2], _place(here))
        if target is None or files.get_file_from_path(_address(target)) is None:
            return match[0]
        return match[1] + posixpath.relpath(_address(target), posixpath.dirname(here) or ".")

    return _LINK.sub(turned, markdown)


def _links(markdown: str, place: str) -> list[str]:
    return [target for match in _LINK.finditer(markdown) if (target := _target(match[2], place)) is not None]


def _target(link: str, place: str) -> str | None:
    """Return the path in the repository that a link of the file at `place` leads to, or None for an address."""
    return None if ":" in link else posixpath.normpath(posixpath.join(posixpath.dirname(place), link))


def _place(uri: str) -> str:
    """Return the path in the repository of a file of the site."""
    if not uri.startswith(PREFIX):
        return f"docs/{uri}"
    path = uri.removeprefix(PREFIX)
    return path if (ROOT / path).is_file() else path.removesuffix(".md")


def _address(path: str) -> str:
    """Return where a file of the repository stands in the site."""
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    return PREFIX + (path if path.endswith(".md") else f"{path}.md")


def _content(path: str) -> str:
    text = (ROOT / path).read_text(encoding="utf-8")
    if path.endswith(".md"):
        return text
    kind = _KINDS.get(posixpath.splitext(path)[1], "text")
    return f"# {path}\n\n~~~~~~{kind}\n{text.rstrip()}\n~~~~~~\n"
