"""A row of numbers as a row of bars, one character each."""

from collections.abc import Sequence

BARS = "·▁▂▃▄▅▆▇█"
"""The mark of no data, then the bars, lowest first."""
ASCII_BARS = " .:-=+*#@"
"""The same for screens that print ASCII only."""


def sparkline(values: Sequence[float | None], top: float, bars: str = BARS) -> str:
    """Return one bar for each value, from 0 (the lowest bar) to `top` (the highest).

    The scale is fixed, not stretched to what occurs: the same height means the same number in every line.

    Args:
        values: The numbers, 0 to `top`; a value beyond is drawn as the nearer of the two. None is drawn as no data.
        top: The number of the highest bar, above 0.
        bars: The characters: no data first, then the lowest bar to the highest.
    """
    highest = len(bars) - 2
    return "".join(bars[0 if value is None else 1 + round(min(max(value / top, 0.0), 1.0) * highest)] for value in values)
