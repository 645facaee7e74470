"""The reliability of a tool, and its effect on the confidence that an agent states."""

from airlock.base.model import WireModel

PRIOR_CALLS = 20
"""The number of observed calls that the stated confidence is worth."""


class Reliability(WireModel):
    """The live calls of a tool that ended, and those of them that succeeded."""

    ok: int
    calls: int


def calibrated_confidence(confidence: float, ok: int, calls: int) -> float:
    """Return a step's confidence shrunk by how reliable its tool was; never higher than what the agent stated.

    It is the posterior mean of the tool's success rate when the statement is taken as a prior belief worth `PRIOR_CALLS`
    observed calls: `(PRIOR_CALLS * confidence + ok) / (PRIOR_CALLS + calls)`, the Beta prior being conjugate to the binomial
    (Gelman et al., "Bayesian Data Analysis", section 2.4). Without observations it is the statement itself; with many it is
    the observed rate. A lower bound of an interval would instead punish a tool for being new.

    Args:
        confidence: What the agent stated, 0.0-1.0.
        ok: How many live calls of the tool worked.
        calls: How many ended.

    Raises:
        ValueError: If `confidence` is out of range, or `ok` is not between 0 and `calls`.
    """
    if not 0.0 <= confidence <= 1.0 or not 0 <= ok <= calls:
        raise ValueError(f"confidence {confidence} with {ok} of {calls} calls is out of range")
    # what agrees with the statement must not lower it by an error of the last digit
    if ok >= confidence * calls:
        return confidence
    return min(confidence, (PRIOR_CALLS * confidence + ok) / (PRIOR_CALLS + calls))
