"""The page that `verify --html` writes: one file that shows an export and checks it in a browser, without a network."""

import base64
import hashlib
import html
import json
import os
import secrets
from importlib.resources import files
from pathlib import Path
from typing import Final

from airlock.base.errors import AirlockError
from airlock.export.files import EXPORT_FILES, export_schemas

MAX_EMBEDDED: Final = 48 * 1024 * 1024
"""Largest export, in bytes, of which the page holds a copy. Of a larger one the reader chooses the files."""
_PARTS: Final = files(__package__)
_SCRIPTS: Final = (
    "spelling.js", "schema.js", "seals.js", "decisions.js", "openings.js", "totals.js", "check.js", "report.js",
)  # fmt: skip
"""One script, in this order. The first begins with "use strict"."""


def write_report(page: Path, folder: Path, names: tuple[str, ...], root: str | None) -> None:
    """Write the page about an export, whether or not the export is as it was written.

    Args:
        page: The file to write; it takes the place of an earlier one when it is complete.
        folder: The export.
        names: The names of its files.
        root: The root digest; None if the summary cannot be read.

    Raises:
        AirlockError: If the page would be part of the export, or the disk refuses.
    """
    if page.resolve().is_relative_to(folder.resolve()):
        raise AirlockError(f"{page} is in the exported folder, which must hold nothing else: write the page elsewhere")
    beside = page.parent / f".{page.name}.{secrets.token_hex(4)}"
    try:
        beside.write_text(report_page(_embedded(folder, names), root), encoding="ascii")
        os.replace(beside, page)
    except OSError as error:
        raise AirlockError(f"cannot write {page}: {error.strerror or error}") from error
    finally:
        beside.unlink(missing_ok=True)


def _embedded(folder: Path, names: tuple[str, ...]) -> dict[str, bytes] | None:
    there = [folder / name for name in names if (folder / name).is_file()]
    if sum(path.stat().st_size for path in there) > MAX_EMBEDDED:
        return None
    return {path.name: path.read_bytes() for path in there}


def report_page(record: dict[str, bytes] | None, root: str | None) -> str:
    """Return the page as ASCII text.

    Args:
        record: The files of the export, by name; None if the page holds no copy of them.
        root: The root digest.
    """
    script, style = "".join((_part(_SCRIPTS[0]), _schemas(), *map(_part, _SCRIPTS[1:]))), _part("report.css")
    copy = None if record is None else {name: base64.b64encode(data).decode() for name, data in record.items()}
    choose = "Check files of your own, all of the folder:" if record is not None else "Choose all files of the folder:"
    values = {
        "SCRIPT_HASH": _source(script),
        "STYLE_HASH": _source(style),
        "ROOT": html.escape(root or "unknown"),
        "CHOOSE": choose,
        "WAITING": "Checking ..." if record is not None else "The export is too large for a copy in this page.",
        "EMBEDDED": json.dumps(copy),  # base64: no text of the record stands in the page as it is
        "STYLE": style,
        "SCRIPT": script,
    }
    before, *parts = _part("page.html").split("@")
    # every second part is a name: each value is set in once, and nothing in a value is replaced
    return before + "".join(values[part] if number % 2 == 0 else part for number, part in enumerate(parts))


def _schemas() -> str:
    """Return the schemas of the files, by name, as a script."""
    by_name = dict(zip(EXPORT_FILES, export_schemas().values(), strict=True))
    # no text of a schema may end the element that holds the script
    return f"const SCHEMAS = {json.dumps(by_name, separators=(',', ':')).replace('<', chr(92) + 'u003c')};\n"


def _part(name: str) -> str:
    text = (_PARTS / name).read_text(encoding="utf-8")
    return text if text.isascii() else text.encode("ascii", "backslashreplace").decode()


def _source(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
