"""Words to an agent about a plan that has ended, the same through every door."""

from airlock.base.text import quoted

KEEP_ON = "Do not repeat the call unless the user asks."


def ended(outcome: str, why: str, limit: int) -> str:
    """Return how a plan has ended, in one sentence.

    Args:
        outcome: The outcome, such as `denied`.
        why: The reason. It stands in quotes, so that a model sees which words are those of a person or of another system.
        limit: Characters of the reason that are shown.
    """
    return f"The plan ended {outcome}: {quoted(why, limit)}."
