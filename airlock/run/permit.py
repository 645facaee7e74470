"""The permit of a run, which only the live role can make: a receipt for its evidence, a token for each call, a pass.

The orchestrating workers hold no key of the channel `live`. They carry these texts from the entry to the calls, and can
neither make nor change one. Without such a key the texts carry no proof, and only remind the next worker of what was said.
"""

import base64
import hmac
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from airlock.base.canonical import canonical_json, digest
from airlock.base.keyring import Channel, Keyring
from airlock.base.model import WireModel
from airlock.plans.outcome import EarlyRead, StepPreview

_ROOT: Final = "permit/1"
_TOKEN: Final = "token/1"
_PASS: Final = "pass/1"
_OUTPUT: Final = "output/1"
_LEFT: Final = "left/1"
_READ: Final = "read/1"
_TOKEN_BYTES: Final = 16


class RunPermit(WireModel):
    """The permit as the run holds it; it is bound to the run and never carried to another one."""

    digest: str
    """The digest of the seal that was examined."""
    receipt: str = ""
    tokens: dict[str, str]
    """The token of each step that may be called."""
    entry: str = ""
    """The pass of the latest stay; empty until every gate granted."""


@dataclass(frozen=True)
class Root:
    """The subject of a permit: one seal in one run, examined under one policy."""

    namespace: str
    workflow_id: str
    run_id: str
    digest: str
    """The digest of the seal."""
    policy: str
    """The digest of the policy of the worker that examined it."""
    checked_at: str
    until: str
    """The time from which it must be examined again; empty for no end."""

    @property
    def fields(self) -> list[str]:
        """The fields in the order in which they are proved."""
        return [
            _ROOT, self.namespace, self.workflow_id, self.run_id, self.digest, self.policy, self.checked_at, self.until
        ]  # fmt: skip


@dataclass(frozen=True)
class Entry:
    """The content of a pass: one stay of a run, for which every gate granted its slot."""

    stay: str
    expires: datetime


@dataclass(frozen=True)
class Permits:
    """Makes and reads permits with the keys of one worker."""

    keyring: Keyring

    @property
    def proven(self) -> bool:
        """True if this worker has a key of the channel `live`, so that what it makes is proved."""
        return bool(self.keyring.of(Channel.LIVE))

    def receipt(self, root: Root) -> str:
        """Return the receipt of examined evidence."""
        return self._signed(root.fields)

    def read(self, receipt: str) -> Root | None:
        """Return what a receipt is about; None if no live worker with these keys made it."""
        fields = self._fields(receipt, _ROOT, 8)
        return None if fields is None else Root(*fields[1:])

    def tokens(self, root: Root, leaves: Mapping[str, str]) -> dict[str, str]:
        """Return the token of each step, from the digest of its call; none without a key."""
        keys = self.keyring.of(Channel.LIVE)[:1]
        return {step: _token(key.mac(_text(root, step, leaf))) for key in keys for step, leaf in leaves.items()}

    def fits(self, root: Root, step: str, leaf: str, token: str) -> bool:
        """Return True if a live worker made this token for that call."""
        text, given = _text(root, step, leaf), token.encode("utf-8", "replace")
        keys = self.keyring.of(Channel.LIVE)
        return any(hmac.compare_digest(_token(key.mac(text)).encode(), given) for key in keys)

    def entry(self, root: Root, stay: str, fences: Iterable[tuple[str, int]], expires: datetime) -> str:
        """Return the pass of a stay: every gate granted its slot, with these fences."""
        held = canonical_json([[gate, fence] for gate, fence in fences])
        return self._signed([_PASS, digest(root.fields), stay, held, expires.isoformat()])

    def read_entry(self, root: Root, text: str) -> Entry | None:
        """Return what a pass is about; None if no live worker made it for this root."""
        fields = self._fields(text, _PASS, 5)
        if fields is None or fields[1] != digest(root.fields):
            return None
        try:
            return Entry(stay=fields[2], expires=datetime.fromisoformat(fields[4]))
        except ValueError:
            return None

    def output_receipt(self, place: tuple[str, str], step: str, undone: int, output: Any) -> str:
        """Return the receipt of the output of a live call; empty without a key.

        Args:
            place: The namespace and the workflow id.
            step: The step.
            undone: The number of times that its call was compensated.
            output: The output, as the run keeps it.
        """
        return self.keyring.sign(Channel.LIVE, _output_text(place, step, undone, output)) or ""

    def is_of_output(self, place: tuple[str, str], step: str, undone: int, output: Any, receipt: str) -> bool:
        """Return True if a live worker returned this output for that call."""
        return self.keyring.check(Channel.LIVE, _output_text(place, step, undone, output), receipt) == ""

    def left_receipt(self, place: tuple[str, str], step: str, undone: int, states: Mapping[str, Any]) -> str:
        """Return the receipt of the states that a live call left; empty without a key. See `output_receipt`."""
        return self.keyring.sign(Channel.LIVE, _output_text(place, step, undone, dict(states), _LEFT)) or ""

    def is_of_left(self, place: tuple[str, str], step: str, undone: int, states: Mapping[str, Any], receipt: str) -> bool:
        """Return True if a live call left these states."""
        return self.keyring.check(Channel.LIVE, _output_text(place, step, undone, dict(states), _LEFT), receipt) == ""

    def read_receipt(self, place: tuple[str, str], step: str, leaf: str, read: EarlyRead) -> str:
        """Return the receipt of a read before the preview; empty without a key.

        Args:
            place: The namespace and the workflow id.
            step: The step.
            leaf: The digest of its call, from `leaf_of`.
            read: When it was made, and the digest of its output.
        """
        return self.keyring.sign(Channel.LIVE, _read_text(place, step, leaf, read)) or ""

    def is_of_read(self, place: tuple[str, str], step: str, leaf: str, read: EarlyRead) -> bool:
        """Return True if a live worker made this read, and it returned this output at that time."""
        return self.keyring.check(Channel.LIVE, _read_text(place, step, leaf, read), read.proof) == ""

    def _signed(self, fields: list[str]) -> str:
        proof = self.keyring.sign(Channel.LIVE, canonical_json(fields).encode())
        return canonical_json([*fields, proof or ""])

    def _fields(self, text: str, label: str, number: int) -> list[str] | None:
        try:
            read = json.loads(text)
        except (ValueError, RecursionError):
            return None
        if not isinstance(read, list) or len(read) != number + 1 or not all(isinstance(field, str) for field in read):
            return None
        *fields, proof = read
        if fields[0] != label:
            return None
        if self.proven and self.keyring.check(Channel.LIVE, canonical_json(fields).encode(), proof):
            return None
        return fields


def leaf_of(
    *, tool: str, agent: str, args: Mapping[str, Any], contract: str, preview: StepPreview | None,
    dedupe_key: str | None, undone: int,
    may_drift: tuple[str, ...] = (), epoch: int = 0,
) -> str:  # fmt: skip
    """Return the digest of everything about one call that a token vouches for.

    Args:
        tool: The tool.
        agent: The agent.
        args: The sealed arguments, with their references.
        contract: The digest of the contract.
        preview: The sealed preview.
        dedupe_key: The sealed dedupe key.
        undone: The number of times that the call was compensated.
        may_drift: The sealed arguments that may differ.
        epoch: The rules of the run.
    """
    shown = None if preview is None else [preview.args, preview.observed, *_followed(preview)]
    return digest([tool, agent, dict(args), contract, shown, dedupe_key, undone, list(may_drift), epoch])


def _followed(preview: StepPreview) -> list[dict[str, str]]:
    # nothing is added where nothing is followed: tokens of earlier versions fit on
    return [preview.follows] if preview.follows else []


def _token(mac: bytes) -> str:
    return base64.urlsafe_b64encode(mac[:_TOKEN_BYTES]).decode().rstrip("=")


def _text(root: Root, step: str, leaf: str) -> bytes:
    return canonical_json([_TOKEN, digest(root.fields), step, leaf]).encode()


def _read_text(place: tuple[str, str], step: str, leaf: str, read: EarlyRead) -> bytes:
    return canonical_json([_READ, *place, step, leaf, read.contract, read.digest, read.at.isoformat()]).encode()


def _output_text(place: tuple[str, str], step: str, undone: int, output: Any, label: str = _OUTPUT) -> bytes:
    return canonical_json([label, *place, step, undone, digest(output)]).encode()
