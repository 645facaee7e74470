"""An in-toto Statement about an export: what a signer signs to say that these files are the record."""

from typing import Any, Final

from airlock.export.documents import OrchestrationSummary
from airlock.export.files import SUMMARY

STATEMENT_TYPE: Final = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE: Final = "urn:airlock:export:v1"


def statement(summary: OrchestrationSummary, summary_sha256: str) -> dict[str, Any]:
    """Return the statement: the SHA-256 of every file, and the root of the export with its totals.

    Args:
        summary: The summary of an export in which nothing is wrong.
        summary_sha256: The SHA-256 of its file, which the summary cannot hold itself.
    """
    digests = {SUMMARY: summary_sha256, **{name: file.sha256 for name, file in summary.files.items()}}
    told = summary.model_dump(mode="json", exclude={"files", "parts", "hash"})
    return {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": name, "digest": {"sha256": digest}} for name, digest in sorted(digests.items())],
        "predicateType": PREDICATE_TYPE,
        "predicate": {"root": summary.hash, "summary": told},
    }
