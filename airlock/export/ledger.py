"""Hash chains and digests of the exported files, which make a change visible.

The hash of a line is SHA-256 over the canonical JSON (`airlock.base.canonical`) of the line, the hash before it included.
`plan_index` is left out, because it is the position of the plan in one export: a plan has the same chain in every export.

An attacker who can rewrite all files can compute all hashes again. Only a copy elsewhere reveals that: the root digest, or
the histories in Temporal.
"""

import json
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel

from airlock.base.canonical import canonical_json, digest
from airlock.export.documents import Document
from airlock.export.fields import SCHEMA_VERSION
from airlock.export.files import APPROVALS, SIGNALS
from airlock.export.lines import Link

L = TypeVar("L", bound=Link)
D = TypeVar("D", bound=Document)

UNCHAINED = ("plan_index", "hash")
"""Fields of a line that its hash does not cover."""
SEALED_CONTENT = ("content", "content_hash")
"""Fields of a seal's line that its hash does not cover: the digest of the seal does."""
_NO_PART = ("parts", "hash")


def plan_genesis(workflow_id: str, first_run_id: str) -> str:
    """Return the hash at which a plan's chain begins. It differs for all runs: no plan can use another's chain."""
    return digest({"chain": "plan", "schema_version": SCHEMA_VERSION, "workflow_id": workflow_id, "run_id": first_run_id})


def signals_genesis() -> str:
    """Return the hash at which the chain of the learning signals begins."""
    return digest({"chain": SIGNALS, "schema_version": SCHEMA_VERSION})


def linked(line: L, seq: int, prev: str) -> L:
    """Return the line as number `seq` of a chain, after the link whose hash is `prev`."""
    numbered = line.model_copy(update={"seq": seq, "prev": prev})
    return numbered.model_copy(update={"hash": line_hash(numbered.model_dump(mode="json"))})


def seals_genesis(workflow_id: str, first_run_id: str) -> str:
    """Return the hash at which the chain of a plan's seals begins."""
    return digest({"chain": APPROVALS, "schema_version": SCHEMA_VERSION, "workflow_id": workflow_id, "run_id": first_run_id})


def line_hash(line: Mapping[str, Any]) -> str:
    """Return the hash that a line must have.

    The line of a seal has a digest of its content, so that its hash leaves the content out.

    Raises:
        ValueError: If it has a value that JSON cannot represent.
    """
    left_out = (*UNCHAINED, *SEALED_CONTENT) if "by_step" in line else UNCHAINED
    return digest({name: value for name, value in line.items() if name not in left_out})


def parts_of(document: Mapping[str, Any]) -> dict[str, str]:
    """Return the digest of every field of a document.

    Raises:
        ValueError: If it has a value that JSON cannot represent.
    """
    return {name: digest(value) for name, value in sorted(document.items()) if name not in _NO_PART}


def closed(document: D) -> D:
    """Return the document with the digests of its fields, and its own."""
    parts = parts_of(document.model_dump(mode="json"))
    return document.model_copy(update={"parts": parts, "hash": digest(parts)})


def line_text(line: BaseModel | Mapping[str, Any]) -> str:
    """Return a line as it must be written: canonical JSON and a line feed."""
    return canonical_json(line.model_dump(mode="json") if isinstance(line, BaseModel) else line) + "\n"


def document_text(document: BaseModel | Mapping[str, Any]) -> str:
    """Return a document as it must be written: sorted keys, two spaces per level, ASCII, a line feed at the end."""
    value = document.model_dump(mode="json") if isinstance(document, BaseModel) else document
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=True, allow_nan=False) + "\n"
