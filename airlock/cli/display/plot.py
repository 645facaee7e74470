"""`health --plot`: the plots of health as a picture file."""

from pathlib import Path

import typer

from airlock.base.errors import Problem
from airlock.cli.output import Refusal
from airlock.client.health_plot import CannotDraw, plotted
from airlock.client.monitors import CountedTotals
from airlock.monitoring.rolling import Window

FORMATS = (".svg", ".png")


def usable(path: Path) -> None:
    """Check the target of a picture, before anything else is done.

    Raises:
        typer.BadParameter: If its name does not end in one of `FORMATS`.
        Refusal: If there is no folder to hold it.
    """
    if path.suffix.lower() not in FORMATS:
        raise typer.BadParameter(f"{path}: name a file that ends in {' or '.join(FORMATS)}", param_hint="--plot")
    if not path.parent.is_dir():
        problem = Problem(where="--plot", message=f"there is no folder {path.parent}", fix="make it, or name another file")
        raise Refusal("the picture cannot be written", [problem])


def plot(path: Path, counted: CountedTotals, window: Window) -> None:
    """Draw the counts into a file, which is written over. See `plotted`.

    Raises:
        Refusal: If matplotlib is not installed, or the file cannot be written.
    """
    try:
        drawn = plotted(counted, window, path.suffix.lower().removeprefix("."))
    except CannotDraw as error:
        problem = Problem(where="--plot", message=str(error), fix="pip install 'airlock-temporal[plot]'")
        raise Refusal("the picture cannot be drawn", [problem]) from error
    try:
        path.write_bytes(drawn)
    except OSError as error:
        raise Refusal(f"the picture cannot be written: {path}: {error.strerror}") from error
