"""A table for terminals of any width."""

from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

_ANY_WIDTH = 10_000


class FittingTable(Table):
    """A table that breaks no word: a terminal that is too narrow for its words gets a line for each value instead."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        words = Measurement.get(console, options.update(max_width=_ANY_WIDTH), self).minimum
        if words <= options.max_width:
            yield from super().__rich_console__(console, options)
            return
        if self.title:
            yield Text(str(self.title), style="italic")
        for row in zip(*(column.cells for column in self.columns), strict=True):
            lines = Table.grid(padding=(0, 1))  # a value that goes on below begins no line: it could pass for another one
            lines.add_column(style="dim", no_wrap=True)
            lines.add_column(overflow="fold")
            for column, cell in zip(self.columns, row, strict=True):
                value = cell if isinstance(cell, Text) else Text(str(cell))
                if value.plain:
                    lines.add_row(column.header, value)
            yield Text("")
            yield lines
