"""The observed reliability of a tool, and the confidence calibrated by it."""

from airlock.base.model import WireModel

PRIOR_CALLS = 20
"""The weight of the stated confidence, as a number of observed calls."""


class Reliability(WireModel):
    """The observed live calls of a tool."""

    ok: int
    """The calls that succeeded."""
    calls: int
    """The calls that ended."""


def calibrated_confidence(confidence: float, ok: int, calls: int) -> float:
    """Return a step's confidence, lowered by the observed reliability of its tool; never more than the agent stated.

    The result is the posterior mean of the tool's success rate if the statement is a prior belief worth `PRIOR_CALLS`
    observed calls: `(PRIOR_CALLS * confidence + ok) / (PRIOR_CALLS + calls)`, the Beta prior being conjugate to the binomial
    (Gelman et al., "Bayesian Data Analysis", section 2.4). Without observations it equals the statement; with many it
    approaches the observed rate. A lower bound of an interval would instead punish a tool for being new.

    Args:
        confidence: The confidence that the agent stated, 0.0-1.0.
        ok: The number of live calls of the tool that succeeded.
        calls: The number of live calls of the tool that ended.

    Raises:
        ValueError: If `confidence` is out of range, or `ok` is not between 0 and `calls`.
    """
    if not 0.0 <= confidence <= 1.0 or not 0 <= ok <= calls:
        raise ValueError(f"confidence {confidence} with {ok} of {calls} calls is out of range")
    # observations that agree with the statement must not lower it by a rounding error
    if ok >= confidence * calls:
        return confidence
    return min(confidence, (PRIOR_CALLS * confidence + ok) / (PRIOR_CALLS + calls))
