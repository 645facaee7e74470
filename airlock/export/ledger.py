"""Hash chains and digests of what is exported: what makes a change visible.

A line's hash is SHA-256 over the canonical JSON (`airlock.base.canonical`) of the whole line, the hash before it included.
`plan_index` is left out: it says where the plan stands in this export, so that a plan's chain is the same in every export.

A person who can rewrite everything can compute all of it again. Against that helps only what is kept elsewhere: the root
digest,
or the histories in Temporal.
"""

import json
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel

from airlock.base.canonical import canonical_json, digest
from airlock.export.model import SCHEMA_VERSION, SIGNALS, Document, Link

L = TypeVar("L", bound=Link)
D = TypeVar("D", bound=Document)

UNCHAINED = ("plan_index", "hash")
"""The fields of a line that its hash does not cover."""
_NO_PART = ("parts", "hash")


def plan_genesis(workflow_id: str, first_run_id: str) -> str:
    """Return the beginning of a plan's chain: no two runs share one, so a chain cannot pass for another plan's."""
    return digest({"chain": "plan", "schema_version": SCHEMA_VERSION, "workflow_id": workflow_id, "run_id": first_run_id})


def signals_genesis() -> str:
    """Return the beginning of the chain of learning signals."""
    return digest({"chain": SIGNALS, "schema_version": SCHEMA_VERSION})


def linked(line: L, seq: int, prev: str) -> L:
    """Return the line as number `seq` of a chain, after the link whose hash is `prev`."""
    placed = line.model_copy(update={"seq": seq, "prev": prev})
    return placed.model_copy(update={"hash": line_hash(placed.model_dump(mode="json"))})


def line_hash(line: Mapping[str, Any]) -> str:
    """Return the hash that a line must have.

    Raises:
        ValueError: If it holds what JSON cannot say.
    """
    return digest({name: value for name, value in line.items() if name not in UNCHAINED})


def parts_of(document: Mapping[str, Any]) -> dict[str, str]:
    """Return the digest of every field of a document.

    Raises:
        ValueError: If it holds what JSON cannot say.
    """
    return {name: digest(value) for name, value in sorted(document.items()) if name not in _NO_PART}


def closed(document: D) -> D:
    """Return the document with the digests of its fields and its own."""
    parts = parts_of(document.model_dump(mode="json"))
    return document.model_copy(update={"parts": parts, "hash": digest(parts)})


def line_text(line: BaseModel | Mapping[str, Any]) -> str:
    """Return the one way to write a line: canonical JSON and a line feed."""
    return canonical_json(line.model_dump(mode="json") if isinstance(line, BaseModel) else line) + "\n"


def document_text(document: BaseModel | Mapping[str, Any]) -> str:
    """Return the one way to write a document: sorted keys, two spaces a level, ASCII, a line feed at the end."""
    value = document.model_dump(mode="json") if isinstance(document, BaseModel) else document
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=True, allow_nan=False) + "\n"
