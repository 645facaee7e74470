"""Salted hashes in the place of sensitive values of a seal, and the openings with which their holder shows a value.

A hidden value is an object `{"$hidden": HASH}`; HASH is the SHA-256 of the salt, as 64 hex characters, followed by the
canonical JSON of the value. The digest of a seal is made of the values themselves. A reader who has all openings of a seal
can compute its digest, and a reader without them can check everything but that digest.

The salts come from one secret key by HMAC, so that the same plans and the same key give the same bytes.
"""

import hashlib
import hmac
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from pydantic import Field, JsonValue

from airlock.base.canonical import canonical_json, digest
from airlock.export.approvals import SealLine
from airlock.export.fields import ExportedModel, Hash

HIDDEN: Final = "$hidden"
_KEPT_OF_PREVIEW: Final = ("kind", "step", "looked", "derived")


class Opening(ExportedModel):
    """Salt and value behind one hash: a line of the file of openings."""

    hash: Hash
    salt: Hash
    value: JsonValue
    path: str = Field(default="")
    """Place of the value: the digest of its seal and the path in `content`."""


@dataclass
class Openings:
    """Values that can be shown, by the hash that stands for them."""

    values: dict[str, Any] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)
    """Place of each value as its opening tells it; the check of its seal compares it."""

    def add(self, opening: Opening) -> bool:
        """Add an opening; return False if its hash is not the one of its value, and leave it out."""
        if hash_of(opening.salt, opening.value) != opening.hash:
            return False
        self.values[opening.hash] = opening.value
        if opening.path:
            self.places[opening.hash] = opening.path
        return True


def hash_of(salt: str, value: Any) -> str:
    """Return the hash that stands for a value."""
    return hashlib.sha256((salt + canonical_json(value)).encode()).hexdigest()


def hidden_line(line: SealLine, key: bytes) -> tuple[SealLine, tuple[Opening, ...]]:
    """Return the line of a seal with its sensitive values hidden, and their openings. Its hash stays the same.

    Hidden are the arguments of every step, what its dry run said, and the sentence about its undo.

    Args:
        line: The line, with the values.
        key: The secret that the salts are made from.
    """
    if line.content is None or line.content_hash is not None:
        return line, ()
    content: Any = _copied(line.content)
    openings: list[Opening] = []
    for path, holder, name in _sensitive(content):
        place = f"{line.digest}/{path}"
        salt = hmac.new(key, place.encode(), hashlib.sha256).hexdigest()
        openings.append(Opening(hash=hash_of(salt, holder[name]), salt=salt, value=holder[name], path=place))
        holder[name] = {HIDDEN: openings[-1].hash}
    return line.model_copy(update={"content": content, "content_hash": digest(content)}), tuple(openings)


def opened(content: Any, openings: Openings) -> Any:
    """Return a content with every hidden value that can be opened in its place."""
    if isinstance(content, Mapping):
        if (name := _hash_in(content)) is not None:
            return openings.values.get(name, content)
        return {key: opened(value, openings) for key, value in content.items()}
    return [opened(value, openings) for value in content] if isinstance(content, list) else content


def shows_the_same(shown: Any, true: Any) -> bool:
    """Return True if a content with hidden values is what it should be, wherever it shows something."""
    if isinstance(shown, Mapping):
        if _hash_in(shown) is not None:
            return True
        return isinstance(true, Mapping) and shown.keys() == true.keys() and all(
            shows_the_same(value, true[name]) for name, value in shown.items()
        )  # fmt: skip
    if isinstance(shown, list):
        return isinstance(true, list) and len(shown) == len(true) and all(map(shows_the_same, shown, true))
    return canonical_json(shown) == canonical_json(true)


def hidden_values(content: Any) -> Iterator[str]:
    """Yield the hash of every hidden value of a content."""
    if isinstance(content, Mapping):
        if (name := _hash_in(content)) is not None:
            yield name
            return
        for value in content.values():
            yield from hidden_values(value)
    elif isinstance(content, list):
        for value in content:
            yield from hidden_values(value)


def _hash_in(content: Mapping[str, Any]) -> str | None:
    found = content.get(HIDDEN) if len(content) == 1 else None
    return found if isinstance(found, str) else None


def opened_elsewhere(content: Mapping[str, Any], seal: str, openings: Openings) -> str | None:
    """Return the place of a hidden value whose opening tells another place; None if there is none.

    Args:
        content: The content of a seal as it is exported.
        seal: The digest of the seal.
        openings: The values that can be shown, with their places.
    """
    for path, holder, name in _sensitive(dict(content)):
        hidden = _hash_in(holder[name]) if isinstance(holder[name], Mapping) else None
        told = openings.places.get(hidden) if hidden is not None else None
        if told is not None and told != f"{seal}/{path}":
            return path
    return None


def misplaced(content: Mapping[str, Any]) -> bool:
    """Return True if a value is hidden in a place where an export hides none, such as the approvers of a seal.

    The rules that were sealed stay readable in every export. A hash in their place would switch off their check.
    """
    copied = _copied(content)
    for _, holder, name in tuple(_sensitive(copied)):
        holder[name] = None
    return any(True for _ in hidden_values(copied))


def _sensitive(content: dict[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """Yield the path, the holder and the name of every sensitive value."""
    for step in _steps(content):
        place = f"steps.{step['id']}"
        if isinstance(args := step.get("args"), dict):
            yield from ((f"{place}.args.{name}", args, name) for name in sorted(args))
        if isinstance(preview := step.get("preview"), dict):
            names = sorted(name for name in preview if name not in _KEPT_OF_PREVIEW)
            yield from ((f"{place}.preview.{name}", preview, name) for name in names)
        yield from ((f"{place}.{name}", step, name) for name in ("undo", "dedupe_key") if name in step)
    if isinstance(undo := content.get("undo"), dict):
        yield from ((f"undo.steps.{step['id']}.says", step, "says") for step in _steps(undo) if "says" in step)


def _steps(holder: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    found = holder.get("steps")
    for step in found if isinstance(found, list) else ():
        if isinstance(step, dict) and isinstance(step.get("id"), str):
            yield step


def _copied(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _copied(inner) for name, inner in value.items()}
    return [_copied(inner) for inner in value] if isinstance(value, list | tuple) else value
