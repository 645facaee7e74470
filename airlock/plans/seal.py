"""The seal: one digest over everything the approver is shown."""

from pydantic import BaseModel

from airlock.base.canonical import digest

DIGEST_PREFIX_LENGTH = 12
"""The fewest hex characters of a digest that a decision may name."""


def seal(sealed: BaseModel) -> str:
    """Return the digest of what the approver is shown.

    Fields that hold their default are left out, so that a later version which adds a field computes the same seal for
    the runs that are already open.
    """
    return digest(sealed.model_dump(mode="json", exclude_defaults=True))


def names_digest(claimed: str, actual: str | None) -> bool:
    """Return True if what a decision names is the seal: the whole digest, or a prefix of 12 or more hex characters."""
    claimed = claimed.strip().lower()
    return actual is not None and len(claimed) >= DIGEST_PREFIX_LENGTH and actual.startswith(claimed)
