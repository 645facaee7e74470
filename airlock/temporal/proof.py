"""Proofs: a payload carries in its metadata who made it and for what, under a message authentication code."""

import base64
import contextvars
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from temporalio import activity
from temporalio.api.common.v1 import Payload
from temporalio.converter import (
    ActivitySerializationContext,
    PayloadCodec,
    SerializationContext,
    WithSerializationContext,
    WorkflowSerializationContext,
)

from airlock.base.keyring import Channel, Keyring
from airlock.temporal.codec import CompressionCodec, folded, inflated, is_compressed, undecodable

KIND: Final = "airlock-kind"
"""The class of the value. Only payloads with it get a proof; the converter sets it."""
BY: Final = "airlock-by"
RUN: Final = "airlock-run"
FIRST: Final = "airlock-first"
ASK: Final = "airlock-ask"
ATTEMPT: Final = "airlock-attempt"
PROOF: Final = "airlock-proof"
"""`<key id>.<base64>`, made by the codec over everything else."""
CHECKED: Final = "airlock-checked"
"""The finding of the receiver's codec; it never believes one that was sent."""

BY_WORKFLOW: Final = "workflow"
BY_ACTIVITY: Final = "activity"
BY_WORKER: Final = "worker"

LARGE: Final = 600_000
"""Size in bytes from which a decompressed payload is larger than any message to a workflow may be."""
MAX_CHECKED: Final = 200
"""Compressed payloads of one activation whose proofs are checked, which takes a millisecond or two for each."""
MAX_METADATA: Final = 16
"""Entries of metadata of one payload. Airlock's own have nine; tens of thousands take long to check and to copy."""

_NO_PROOF = "it carries no proof"
_NOT_CHECKED = "so many large messages arrived at the same time that its proof was not checked"
_NO_KEYS = "no keys"
_FITS = "ok"
_REHEARSALS = frozenset({"prepare", "rehearse", "preview", "look_at_undo"})


@dataclass(frozen=True)
class Stamp:
    """The stated origin of a payload, and whether it is proved."""

    checked: str = _NO_KEYS
    """`ok`, `no keys` where this process cannot check it, else the reason why it is not proved."""
    by: str = ""
    """`workflow`, `activity`, or `worker` for anything else that a worker sends."""
    kind: str = ""
    run: str = ""
    """The run that made it, or for which an activity made it."""
    first: str = ""
    """The first run of the chain of continue-as-new; only of what a workflow made."""
    ask: str = ""
    """The scheduling of an activity that this asks or answers."""
    attempt: str = ""
    key: str = ""
    """The id of the key."""

    @property
    def proven(self) -> bool:
        """True if the proof fits."""
        return self.checked == _FITS

    @property
    def unchecked(self) -> bool:
        """True if this process has no keys to check it with."""
        return self.checked == _NO_KEYS

    @classmethod
    def of(cls, payload: Payload) -> "Stamp":
        """Return the stamp of a payload that the codec has decoded."""

        def said(name: str) -> str:
            return payload.metadata[name].decode("utf-8", "replace") if name in payload.metadata else ""

        return cls(
            checked=said(CHECKED) or _NO_KEYS, by=said(BY), kind=said(KIND), run=said(RUN), first=said(FIRST),
            ask=said(ASK), attempt=said(ATTEMPT), key=said(PROOF).partition(".")[0],
        )  # fmt: skip


_question: contextvars.ContextVar[Stamp | None] = contextvars.ContextVar("airlock_question", default=None)


def asked() -> Stamp:
    """Return what is proved about the input of the activity that runs here."""
    return _question.get() or Stamp(checked=_NO_PROOF)


def channel_of(context: SerializationContext | None) -> Channel:
    """Return the channel whose keys vouch for payloads of a context."""
    rehearsal = isinstance(context, ActivitySerializationContext) and context.activity_type in _REHEARSALS
    return Channel.REHEARSE if rehearsal else Channel.RUN


@dataclass(frozen=True)
class ProofCodec(PayloadCodec, WithSerializationContext):
    """Proves what the converter marked, checks what arrives, and compresses what is large. Never raises for a payload."""

    keyring: Keyring
    context: SerializationContext | None = None
    _compression: CompressionCodec = field(default_factory=CompressionCodec)
    _large: list[Payload] = field(default_factory=list)
    """The large payload that this codec has decompressed for a workflow."""
    _compressed: list[Payload] = field(default_factory=list)
    """The compressed payloads that this codec has checked for a workflow."""

    def with_context(self, context: SerializationContext) -> "ProofCodec":
        """Return the codec for the payloads of one workflow or activity."""
        return ProofCodec(self.keyring, context, self._compression)

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Add a proof to each payload that the converter marked, then compress what is large."""
        return await self._compression.encode([self._proven(payload) for payload in payloads])

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Decompress, then note on each payload whether its proof fits."""
        if isinstance(self.context, WorkflowSerializationContext):
            return [self._sparingly(payload) for payload in payloads]
        if isinstance(self.context, ActivitySerializationContext) and not activity.in_activity():
            return [self._folded(payload) for payload in payloads]
        return [self._checked(payload) for payload in await self._compression.decode(payloads)]

    def _folded(self, payload: Payload) -> Payload:
        """Check the question or the answer of an activity, and leave it compressed until its converter reads it.

        Any client can answer an activity by its id, with 20 KB that become 20 MB, and one workflow task brings the answers
        of all activities that have ended. The converter reads those that count.
        """
        if not is_compressed(payload):
            return self._checked(payload)
        return folded(payload, self._checked(inflated(payload) or undecodable("it is too large")))

    def _sparingly(self, payload: Payload) -> Payload:
        """Check a payload of a workflow, and leave it compressed until its converter reads it.

        One workflow task brings all messages that have arrived, and 20 KB of any sender can become 20 MB. Only the input of
        a run is ever that large, which comes first; a worker has one codec for each task.
        """
        if not is_compressed(payload):
            return self._checked(payload)
        if len(self._compressed) >= MAX_CHECKED:
            return folded(payload, self._refused(_NOT_CHECKED))
        self._compressed.append(payload)
        inner = inflated(payload, LARGE)
        if inner is not None:
            return folded(payload, self._checked(inner))
        if self._large:
            return undecodable("it is too large for a message")
        self._large.append(payload)
        return self._checked(inflated(payload) or undecodable("it is too large"))

    def _refused(self, why: str) -> Payload:
        """Return what stands for a payload that is not checked; where proofs are, it is not proved."""
        made = undecodable(why)
        if self.keyring.of(channel_of(self.context)):
            made.metadata[CHECKED] = why.encode()
        return made

    def _proven(self, payload: Payload) -> Payload:
        channel = channel_of(self.context)
        if KIND not in payload.metadata or not self.keyring.of(channel) or self._asked_by_a_stranger():
            return payload
        made = Payload()
        made.CopyFrom(payload)
        if BY not in made.metadata:  # a workflow says so in its own loop, where it knows its run
            for name, text in self._origin().items():
                made.metadata[name] = text.encode()
        proof = self.keyring.sign(channel, self._text(channel, made))
        made.metadata[PROOF] = (proof or "").encode()
        return made

    def _asked_by_a_stranger(self) -> bool:
        """Return True in an activity that no run of Airlock is known to have asked for, where that must be known.

        A client without keys can take a workflow task and command any activity. What a worker says then must not count:
        neither its answer, which would be an answer to a question of the client's own, nor what it tells gates and claims.
        """
        if not activity.in_activity():
            return False
        info = activity.info()
        channel = Channel.REHEARSE if info.activity_type in _REHEARSALS else Channel.RUN
        demands, question = self.keyring.demands, asked()
        if not demands.due(channel, info.scheduled_time):
            return False
        if info.workflow_run_id is None:  # any client can start an activity that belongs to no workflow
            return True
        fits = question.proven and question.by == BY_WORKFLOW and question.run == info.workflow_run_id
        return not fits or demands.revokes(question.key, info.scheduled_time)

    def _origin(self) -> dict[str, str]:
        if not activity.in_activity():
            return {BY: BY_WORKER}
        info, question = activity.info(), asked()
        if not isinstance(self.context, ActivitySerializationContext):
            return {BY: BY_WORKER, RUN: info.workflow_run_id or ""}
        return {BY: BY_ACTIVITY, RUN: info.workflow_run_id or "", ASK: question.ask, ATTEMPT: str(info.attempt)}

    def _checked(self, payload: Payload) -> Payload:
        channel = channel_of(self.context)
        if len(payload.metadata) > MAX_METADATA:
            return self._noted(self._refused(f"it has {len(payload.metadata):,} entries of metadata"))
        if not self.keyring.of(channel) and CHECKED not in payload.metadata:
            return self._noted(payload)
        seen = Payload()
        seen.CopyFrom(payload)
        seen.metadata.pop(CHECKED, None)
        if self.keyring.of(channel):
            seen.metadata[CHECKED] = self._judged(channel, seen).encode()
        return self._noted(seen)

    def _judged(self, channel: Channel, payload: Payload) -> str:
        if PROOF not in payload.metadata:
            return _NO_PROOF
        proof = payload.metadata[PROOF].decode("utf-8", "replace")
        return self.keyring.check(channel, self._text(channel, payload), proof) or _FITS

    def _noted(self, payload: Payload) -> Payload:
        # the input of an activity is decoded in the task in which the activity then runs, and before it has begun
        before = isinstance(self.context, ActivitySerializationContext) and not activity.in_activity()
        # what an earlier attempt left is decoded there too, after the input, and any client can write it
        if before and _question.get() is None:
            _question.set(Stamp.of(payload))
        return payload

    def _text(self, channel: Channel, payload: Payload) -> bytes:
        metadata = {
            name: base64.b64encode(value).decode()
            for name, value in payload.metadata.items()
            if name not in (PROOF, CHECKED)
        }
        content = hashlib.sha256(payload.data).hexdigest()
        text = ["airlock-proof/1", channel.value, _place(self.context), metadata, content]
        return json.dumps(text, sort_keys=True).encode()


def _place(context: SerializationContext | None) -> list[str | None]:
    # task queue and workflow type are left out: the SDK does not always know them
    if isinstance(context, ActivitySerializationContext):
        return ["activity", context.namespace, context.workflow_id, context.activity_id, context.activity_type]
    if isinstance(context, WorkflowSerializationContext):
        return ["workflow", context.namespace, context.workflow_id]
    return ["none"]
