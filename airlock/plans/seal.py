"""The seal: one digest over everything that the approver sees."""

from pydantic import BaseModel

from airlock.base.canonical import digest

DIGEST_PREFIX_LENGTH = 12
"""The fewest hex characters by which a decision may name a seal."""
SIGNED_PREFIX_LENGTH = 32
"""The fewest hex characters by which a person may name the seal to sign: a preview that shares 12 with another one can be
found by trying, and any worker that polls can show it."""


def seal(sealed: BaseModel) -> str:
    """Return the digest of the content that the approver sees.

    Fields with their default value are left out. A later version with more fields therefore computes the same seal for the
    runs that are open already.
    """
    return digest(sealed.model_dump(mode="json", exclude_defaults=True))


def names_digest(claimed: str, actual: str | None) -> bool:
    """Return True if a decision names this seal: by its whole digest, or by a prefix of 12 or more hex characters."""
    claimed = claimed.strip().lower()
    return actual is not None and len(claimed) >= DIGEST_PREFIX_LENGTH and actual.startswith(claimed)
