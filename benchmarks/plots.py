"""The pictures of the benchmarks, as SVG."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

_ONCE, _AGAIN, _NEVER = "#4c78a8", "#e45756", "#bab0ac"
_COLOURS = ("#4c78a8", "#f58518", "#54a24b", "#b279a2", "#9d755d", "#72b7b2", "#ff9da6", "#bab0ac")


def _figure(width: float, height: float) -> tuple[Any, Any]:
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "airlock"  # the same picture is the same file
    from matplotlib import pyplot

    return pyplot.subplots(figsize=(width, height), layout="constrained")


def _written(figure: Any, path: Path) -> Path:
    from matplotlib import pyplot

    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, format="svg", metadata={"Date": None})
    pyplot.close(figure)
    return path


def draw_killed(path: Path, made: Sequence[tuple[str, Sequence[int]]]) -> Path:
    """Draw a square for each call of each system: made once, again, or never."""
    figure, axes = _figure(8.5, 1.2 + 0.36 * len(made))
    for row, (_system, times) in enumerate(made):
        for column, count in enumerate(times, 1):
            colour = _NEVER if count == 0 else _ONCE if count == 1 else _AGAIN
            axes.scatter(column, row, s=190, marker="s", color=colour if count else "none", edgecolors=colour)
            if count != 1:
                axes.annotate(str(count), (column, row), ha="center", va="center", fontsize=8,
                              color="white" if count else "#555555")  # fmt: skip
    axes.set_yticks(range(len(made)), [system for system, _times in made])
    axes.set_xticks(range(1, 11))
    axes.invert_yaxis()
    axes.set_xlabel("call (killed in the fifth): blue made once, red again, empty never")
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    return _written(figure, path)


def draw_ratios(
    path: Path, title: str, shapes: Sequence[str], systems: Sequence[str], values: Sequence[Sequence[Sequence[float] | None]]
) -> Path:
    """Draw the medians with their ranges, a group of points for each shape, on a scale of ratios.

    Args:
        path: The file.
        title: The words under the scale.
        shapes: The groups.
        systems: The points of a group.
        values: For each system and each shape lowest, median and highest; None where there is nothing.
    """
    figure, axes = _figure(8.5, 1.4 + 0.115 * len(shapes) * (len(systems) + 2))
    for number, (system, each) in enumerate(zip(systems, values, strict=True)):
        offset = (number - (len(systems) - 1) / 2) / (len(systems) + 2)
        points = [(row + offset, found) for row, found in enumerate(each) if found is not None]
        if not points:
            continue
        middle = [found[1] for _row, found in points]
        errors = [[m - found[0] for m, (_row, found) in zip(middle, points, strict=True)],
                  [found[2] - m for m, (_row, found) in zip(middle, points, strict=True)]]  # fmt: skip
        axes.errorbar(
            middle, [row for row, _found in points], xerr=errors, fmt="o", markersize=4, linewidth=1.2,
            color=_COLOURS[number % len(_COLOURS)], label=system,
        )  # fmt: skip
    axes.set_xscale("log")
    axes.axvline(1.0, color="#888888", linewidth=0.8)
    axes.set_yticks(range(len(shapes)), shapes)
    for row in range(len(shapes) - 1):
        axes.axhline(row + 0.5, color="#dddddd", linewidth=0.6)
    axes.set_ylim(len(shapes) - 0.5, -0.5)
    axes.set_xlabel(title)
    axes.xaxis.set_major_formatter("{x:g}")
    axes.tick_params(axis="y", length=0)
    figure.legend(loc="outside upper center", ncols=min(4, len(systems)), frameon=False, fontsize=8)
    return _written(figure, path)
