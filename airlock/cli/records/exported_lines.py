"""The lines of an export, read one by one, for `verify` and for `export --since`."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Generic, TypeVar

from airlock.export.approvals import SealLine
from airlock.export.documents import FileDigest
from airlock.export.files import APPROVALS, EXECUTIONS, ROLLBACKS, TRANSITIONS
from airlock.export.lines import ExecutionLine, Link, RollbackLine, TransitionLine
from airlock.export.verification import DamagedContent, Finding, NumberedLine, PlanLines, read_line

L = TypeVar("L", bound=Link)
P = TypeVar("P", TransitionLine, RollbackLine, SealLine)

MAX_LINE_BYTES = 256 * 1024 * 1024
"""The most bytes of one line. A plan of 5,000 steps that was retried for a year stays far below."""


class DamagedFile(DamagedContent):
    """An error about a line that cannot be read; `finding` names the line."""

    def __init__(self, finding: Finding) -> None:
        self.finding = finding
        super().__init__(finding.message, finding.line or 1)


class LineFile(Generic[L]):
    """One JSONL file of an export, with a look at its next line. One line is in memory at a time."""

    def __init__(self, folder: Path, name: str, model: type[L]) -> None:
        self.name = name
        self.taken = 0
        self._model = model
        self._file = (folder / name).open("rb")
        self._sha256 = hashlib.sha256()
        self._bytes = self._read = 0
        self._next: NumberedLine[L] | None = None

    def close(self) -> None:
        """Close it."""
        self._file.close()

    def peek(self) -> NumberedLine[L] | None:
        """Return the next line, or None at the end.

        Raises:
            DamagedFile: If it is no line as export writes it.
        """
        if self._next is None and (data := self._data()):
            try:
                self._next = NumberedLine(self._read, read_line(data, self._model))
            except DamagedContent as error:
                raise DamagedFile(Finding(file=self.name, line=self._read, message=str(error))) from error
        return self._next

    def take(self) -> NumberedLine[L] | None:
        """Return the next line and advance; None at the end.

        Raises:
            DamagedFile: If it is no line as export writes it.
        """
        found = self.peek()
        if found is not None:
            self._next, self.taken = None, found.number
        return found

    def rest(self, most: int) -> list[Finding]:
        """Read to the end, and return the first damaged lines, at most so many. The lines are not compared."""
        found: list[Finding] = []
        while True:
            try:
                if self.take() is None:
                    return found
            except DamagedFile as error:
                if len(found) < most:
                    found.append(error.finding)

    @property
    def digest(self) -> FileDigest:
        """The digest and the number of lines of the file, once it was read to its end."""
        return FileDigest(lines=self._read, bytes=self._bytes, sha256=self._sha256.hexdigest())

    def _data(self) -> bytes:
        data = self._file.readline(MAX_LINE_BYTES)
        self._sha256.update(data)
        self._bytes += len(data)
        self._read += bool(data)
        return data


class PlanFiles:
    """The files with lines about plans, read side by side, plan by plan. An export of seven files has no seals."""

    def __init__(self, folder: Path) -> None:
        self.executions = LineFile(folder, EXECUTIONS, ExecutionLine)
        self.transitions = LineFile(folder, TRANSITIONS, TransitionLine)
        self.rollbacks = LineFile(folder, ROLLBACKS, RollbackLine)
        self.approvals = LineFile(folder, APPROVALS, SealLine) if (folder / APPROVALS).is_file() else None

    def close(self) -> None:
        """Close it."""
        for file in (self.executions, *self.others):
            file.close()

    @property
    def others(self) -> tuple["LineFile[TransitionLine] | LineFile[RollbackLine] | LineFile[SealLine]", ...]:
        """The files with more than one line of a plan."""
        return self.transitions, self.rollbacks, *(() if self.approvals is None else (self.approvals,))

    def plans(self) -> Iterator[PlanLines]:
        """Yield the lines of each plan. Whether they belong together is not judged here.

        Raises:
            DamagedFile: At the first line that is damaged in itself.
        """
        index = 0
        while (execution := self.executions.take()) is not None:
            transitions = _of_plan(self.transitions, index)
            rollbacks = _of_plan(self.rollbacks, index)
            seals = () if self.approvals is None else _of_plan(self.approvals, index)
            after = {file.name: file.taken + 1 for file in self.others}
            yield PlanLines(index, execution, transitions, rollbacks, after, seals)
            index += 1


def _of_plan(file: LineFile[P], index: int) -> tuple[NumberedLine[P], ...]:
    found: list[NumberedLine[P]] = []
    while (line := file.peek()) is not None and line.value.plan_index == index:
        found.append(line)
        file.take()
    return tuple(found)
