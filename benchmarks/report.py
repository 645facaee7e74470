"""The result of a benchmark: printed, and saved as JSON and Markdown under `.airlock/bench`, with machine and versions."""

import json
import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from devtools.environment import ROOT

FOLDER = ROOT / ".airlock" / "bench"
_PACKAGES = ("temporalio", "pydantic")
_WIDTH = 130


@dataclass(frozen=True)
class Sheet:
    """One table."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    left: int = 1
    """The number of columns that hold words, from the first one."""

    def printed(self) -> Table:
        """Return it for a terminal."""
        table = Table(title=self.title)
        for number, column in enumerate(self.columns):
            table.add_column(column, justify="left" if number < self.left else "right")
        for row in self.rows:
            table.add_row(*row)
        return table

    def markdown(self) -> str:
        """Return it for a document."""
        line = ["---" if number < self.left else "---:" for number in range(len(self.columns))]
        return "\n".join(f"| {' | '.join(row)} |" for row in (self.columns, line, *self.rows)) + "\n"


def machine(more: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return the things that a reader needs to compare: no name of a host, no path.

    Args:
        more: Versions of further packages.
    """
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "cores": os.cpu_count(),
        "memory_gib": round(memory, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "load": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
        "packages": {name: version(name) for name in _PACKAGES} | dict(more or {}),
    }


def spread(values: Sequence[float], digits: int = 2) -> str:
    """Return the median of some values, with the lowest and the highest."""
    low, middle, high = (f"{each:,.{digits}f}" for each in (min(values), statistics.median(values), max(values)))
    return f"{middle} ({low}-{high})"


def save(
    name: str, sheets: Sequence[Sheet], measured: Any = None, packages: Mapping[str, str] | None = None, show: bool = True
) -> Path:
    """Print the tables, and save them as `NAME.json` and `NAME.md`; return the path of the JSON.

    Args:
        name: The benchmark.
        sheets: Its tables.
        measured: The values behind the tables, as JSON.
        packages: Versions of packages beside Airlock's own.
        show: False to print nothing.
    """
    where, at = machine(packages), datetime.now(UTC)
    FOLDER.mkdir(parents=True, exist_ok=True)
    content = {
        "benchmark": name,
        "at": at.isoformat(timespec="seconds"),
        "machine": where,
        "tables": [{"title": each.title, "columns": each.columns, "rows": each.rows} for each in sheets],
        "measured": measured,
    }
    path = FOLDER / f"{name}.json"
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    versions = ", ".join(f"{package} {number}" for package, number in where["packages"].items())
    words = (
        f"Measured on {at:%d %B %Y}: {where['system']}, {where['cores']} cores, {where['memory_gib']} GiB, "
        f"load average {where['load']}, Python {where['python']}, {versions}.\n"
    )
    tables = [f"## {each.title}\n\n{each.markdown()}" for each in sheets]
    path.with_suffix(".md").write_text("\n".join([f"# {name}\n", words, *tables]), encoding="utf-8")
    if show:
        for each in sheets:
            Console(width=_WIDTH).print(each.printed())
        print(f"Saved as {os.path.relpath(path)} and .md")
    return path
