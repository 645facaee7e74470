"""The seals that a run keeps for the record, each with the policy and the contracts that it was made under."""

from datetime import datetime

from airlock.run.sealing.seal_record import SealRecord
from airlock.run.sealing.sealed import Sealed
from airlock.run.state import Run

MAX_SEALS = 50
"""Seals that a run keeps for the record."""


def keep_seal(run: Run) -> None:
    """Keep the current seal for the record, with the policy and the contracts that it was made under."""
    if run.sealed is None or run.digest is None or any(record.digest == run.digest for record in run.seals):
        return
    keep_record(run, run.digest, run.sealed, run.sealed_at)


def keep_record(run: Run, digest: str, sealed: Sealed, sealed_at: datetime | None) -> None:
    """Keep a seal for the record: the current one, or that of reads before the preview."""
    admitted = run.contracts()
    wanted = {step.contract_hash for step in sealed.steps}
    record = SealRecord(
        digest=digest,
        sealed=sealed,
        sealed_at=sealed_at,
        policy=admitted.policy if admitted.policy_hash == sealed.policy_hash else None,
        contracts={row.contract_hash: row.contract for row in admitted.steps.values() if row.contract_hash in wanted},
    )
    run.seals = [*run.seals, record][-MAX_SEALS:]
