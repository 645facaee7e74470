"""Estimates of a true rate from an observed share of successes."""

from math import erf, sqrt

from airlock.base.model import WireModel

Z_95 = 1.959964
"""The number of standard deviations around the mean of a normal distribution that cover 95 % of it."""


class Interval(WireModel):
    """The bounds (0.0-1.0) of the true rate."""

    low: float
    high: float


def wilson(hits: int, number: int, z: float = Z_95) -> Interval:
    """Return the Wilson score interval of a rate; 0.0 to 1.0 if nothing was observed.

    Source: E. B. Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22 (1927).

    Args:
        hits: The number of successes, 0 to `number`.
        number: The number of observations.
        z: The width in standard deviations; 1.96 is the 95 % interval.

    Raises:
        ValueError: If `hits` is not between 0 and `number`.
    """
    _check(hits, number)
    if number == 0:
        return Interval(low=0.0, high=1.0)
    rate, square = hits / number, z * z
    middle = (rate + square / (2 * number)) / (1 + square / number)
    half = z / (1 + square / number) * sqrt(rate * (1 - rate) / number + square / (4 * number * number))
    # at 0 and 1 the formula is exact, but its floating-point arithmetic is not
    low = 0.0 if hits == 0 else max(0.0, middle - half)
    high = 1.0 if hits == number else min(1.0, middle + half)
    return Interval(low=low, high=high)


def certainty(hits: int, number: int, reference: float) -> float:
    """Return the confidence that the true rate is on the observed side of a reference; 0.0 if nothing was observed.

    The result (0.0-1.0) is the level of the widest Wilson interval that excludes the reference. The Wilson interval is the
    set of rates that the score test does not reject, so `z = |rate - reference| / sqrt(reference (1 - reference) / number)`
    is the width at which the interval ends at the reference, and `erf(z / sqrt(2))` is its level.

    Args:
        hits: The number of successes, 0 to `number`.
        number: The number of observations.
        reference: The rate to compare with, between 0.0 and 1.0, both excluded.

    Raises:
        ValueError: If `hits` or `reference` is out of range.
    """
    _check(hits, number)
    if not 0.0 < reference < 1.0:
        raise ValueError(f"the reference {reference} is not between 0 and 1")
    if number == 0:
        return 0.0
    z = abs(hits / number - reference) / sqrt(reference * (1 - reference) / number)
    return erf(z / sqrt(2))


def _check(hits: int, number: int) -> None:
    if not 0 <= hits <= number:
        raise ValueError(f"{hits} of {number} is not a share")
