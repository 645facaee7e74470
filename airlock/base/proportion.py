"""Estimates of a true rate from a share of successes, with their confidence."""

from math import erf, sqrt

from airlock.base.model import WireModel

Z_95 = 1.959964
"""Standard deviations of the normal distribution on either side that hold 95 % of it."""


class Interval(WireModel):
    """Between which rates (0.0-1.0) the true one lies."""

    low: float
    high: float


def wilson(hits: int, number: int, z: float = Z_95) -> Interval:
    """Return the Wilson score interval of a rate; everything from 0.0 to 1.0 where nothing was observed.

    Source: E. B. Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22 (1927).

    Args:
        hits: How often it happened, 0 to `number`.
        number: How often it could have happened.
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
    # at the ends the formula is exact, its floating-point arithmetic is not
    low = 0.0 if hits == 0 else max(0.0, middle - half)
    high = 1.0 if hits == number else min(1.0, middle + half)
    return Interval(low=low, high=high)


def certainty(hits: int, number: int, reference: float) -> float:
    """Return the confidence that the true rate is on the observed side of a reference, 0.0-1.0; 0.0 without observations.

    It is the level of the widest Wilson interval that leaves the reference out: the Wilson interval is the set of rates the
    score test does not reject, so that `z = |rate - reference| / sqrt(reference (1 - reference) / number)` is where the
    interval ends at the reference, and `erf(z / sqrt(2))` its level.

    Args:
        hits: How often it happened, 0 to `number`.
        number: How often it could have happened.
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
