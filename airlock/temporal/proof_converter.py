"""Unproved answers arrive as markers, and messages say what is proved about them."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, get_args

from temporalio import activity, workflow
from temporalio.api.common.v1 import Payload
from temporalio.converter import (
    ActivitySerializationContext,
    DataConverter,
    SerializationContext,
    WorkflowSerializationContext,
)

from airlock.base.errors import AirlockError
from airlock.base.incoming import Undecodable
from airlock.base.keyring import Channel, Demands
from airlock.base.model import WorkerMessage
from airlock.temporal import proof
from airlock.temporal.codec import PREFIX
from airlock.temporal.converter import ForgivingPayloadConverter
from airlock.temporal.proof import Stamp, channel_of
from airlock.temporal.seeds import seeds


@dataclass(frozen=True)
class Unproven:
    """Stands for an answer that none of Airlock's workers is known to have made. Not JSON: no model accepts it."""

    why: str


class UnprovenAnswer(AirlockError):
    """A gate, a monitor or a claim answered with something that none of Airlock's workers is known to have made."""


class SentObject(dict[str, Any]):
    """A JSON object that was sent to a workflow, with what is proved about it."""

    stamp: Stamp = Stamp()
    demands: Demands = Demands()

    def is_due(self, at: datetime) -> bool:
        """Return True if a message of that moment that claims to come from a worker needs a proof."""
        return self.demands.due(Channel.RUN, at)

    def objection(self, kind: str, by: str, at: datetime) -> str:
        """Return why this is not what a worker said; empty if it is, or if no proof was demanded at that moment.

        Args:
            kind: The class of the message.
            by: The part of a worker that says it: `BY_WORKFLOW` or `BY_WORKER`.
            at: The time of its arrival, UTC.
        """
        if not self.is_due(at):
            return ""
        if not self.stamp.proven:
            return self.stamp.checked
        if (self.stamp.by, self.stamp.kind) != (by, kind):
            return f"it is a {self.stamp.kind} of a {self.stamp.by}, not a {kind} of a {by}"
        return f"its key {self.stamp.key} is revoked" if self.demands.revokes(self.stamp.key, at) else ""


class Progress(list[Any], WorkerMessage):
    """The progress of an activity, as its heartbeats carry it: a JSON list."""


@dataclass(frozen=True)
class _Question:
    ask: str
    asked_at: datetime


@dataclass
class _Questions:
    """The questions of one workflow instance, by activity id; all copies of its converter share it."""

    latest: dict[str, _Question] = field(default_factory=dict)
    times: dict[str, int] = field(default_factory=dict)

    def ask(self, activity_id: str) -> str:
        """Note a question and return its nonce.

        A run's genuine seed is its own, changes at the point of a reset, and is the same in every replay: of two questions
        with the same activity id, in one run or in two, the nonce differs, without a command and without a random number.
        """
        times = self.times[activity_id] = self.times.get(activity_id, 0) + 1
        nonce = f"{seeds().latest:x}:{times}"
        self.latest[activity_id] = _Question(nonce, workflow.now())
        return nonce


class ProofConverter(ForgivingPayloadConverter):
    """Marks what workers say to each other, so that the codec proves it; judges answers by what the codec found.

    One instance serves one workflow instance, or one client.

    Args:
        demands: Which messages need a proof here.
    """

    def __init__(self, demands: Demands | None = None) -> None:
        super().__init__()
        self._demands = demands or Demands()
        self._questions = _Questions()
        self._context: SerializationContext | None = None

    def fresh(self) -> "ProofConverter":
        """Return a converter for another workflow instance or client.

        It shares the encodings and their cache of types, which are dear to make and know nothing of what was converted.
        """
        other = self._copied()
        other._questions = _Questions()
        return other

    def with_context(self, context: SerializationContext) -> "ProofConverter":
        """Return the converter for the payloads of one workflow or activity."""
        other = self._copied()
        other._of_a_workflow = isinstance(context, WorkflowSerializationContext)
        other._context = context
        return other

    def _copied(self) -> "ProofConverter":
        other = object.__new__(type(self))  # made several times for each payload: `copy.copy` takes three times as long
        other.__dict__.update(self.__dict__)
        return other

    def to_payloads(self, values: Sequence[Any]) -> list[Payload]:
        """Encode; in a workflow's own loop, note what is asked under which activity id."""
        payloads = super().to_payloads(values)
        for payload, value in zip(payloads, values, strict=True):
            for name in [name for name in payload.metadata if name.startswith(PREFIX)]:
                del payload.metadata[name]  # a raw payload that is passed on must not be proved in its sender's words
            if isinstance(value, WorkerMessage):
                self._mark(payload, type(value).__name__)
        return payloads

    def _mark(self, payload: Payload, kind: str) -> None:
        marks = {proof.KIND: kind}
        if workflow.in_workflow():
            info = workflow.info()
            marks |= {proof.BY: proof.BY_WORKFLOW, proof.RUN: info.run_id, proof.FIRST: info.first_execution_run_id}
            if isinstance(self._context, ActivitySerializationContext):
                marks[proof.ASK] = self._questions.ask(self._context.activity_id or "")
        if channel_of(self._context) not in self._demands.channels:
            return  # without a key there is no proof, and metadata would hide the text from the Temporal CLI
        for name, text in marks.items():
            payload.metadata[name] = text.encode()

    def from_payloads(self, payloads: Sequence[Payload], type_hints: list[type] | None = None) -> list[Any]:
        """Decode; an answer that does not count becomes `Unproven`.

        Raises:
            UnprovenAnswer: Outside of workflows, where a worker's message is expected and demanded, and is not proven.
        """
        context = self._context
        if isinstance(context, ActivitySerializationContext):
            question = self._questions.latest.get(context.activity_id or "")
            if question is not None:
                return [self._answer(payload, question, type_hints) for payload in payloads]
            if not type_hints and not activity.in_activity():
                return [self._left_behind(payload) for payload in payloads]
        if self._of_a_workflow and any(_is_worker_message(hint) for hint in type_hints or ()):
            self._demand(payloads)
        return super().from_payloads(payloads, type_hints)

    def _answer(self, payload: Payload, question: _Question, type_hints: list[type] | None) -> Any:
        """Return the answer to a question, or `Unproven`; details of failures come here too."""
        stamp = Stamp.of(payload)
        why = self._objection(stamp, question)
        if why and self._demands.due(channel_of(self._context), question.asked_at):
            return Unproven(why)  # not decoded: what any client can send may take longer than a workflow task has
        try:
            (value,) = super().from_payloads([payload], type_hints)
        except Exception as error:
            if stamp.proven and not why:
                raise  # from a worker of another version: nothing is lost until this one understands it
            return Unproven(f"{why or 'it cannot be decoded'}; {type(error).__name__}")
        if isinstance(value, Undecodable):
            return Unproven(why or value.why)
        return value

    def _objection(self, stamp: Stamp, question: _Question) -> str:
        if not stamp.proven:
            return "" if stamp.unchecked else stamp.checked
        if stamp.by != proof.BY_ACTIVITY:
            return f"it was made by a {stamp.by}, not by an activity"
        if stamp.ask != question.ask:
            return "it answers another question"
        if self._demands.revokes(stamp.key, question.asked_at):
            return f"its key {stamp.key} is revoked"
        return ""

    def _left_behind(self, payload: Payload) -> Any:
        """Return what an earlier attempt of the activity left, on the activity's worker, before it begins."""
        (value,) = super().from_payloads([payload])
        stamp, question = Stamp.of(payload), proof.asked()
        fits = stamp.proven and stamp.by == proof.BY_ACTIVITY and stamp.ask == question.ask
        revoked = self._demands.revokes(stamp.key, _now())
        if isinstance(value, Undecodable) or (self._due_now() and (not fits or revoked)):
            return Unproven(f"it was not left by a worker that carried out this activity: {stamp.checked}")
        return value

    def _demand(self, payloads: Sequence[Payload]) -> None:
        for stamp in map(Stamp.of, payloads):
            if self._due_now() and (not stamp.proven or self._demands.revokes(stamp.key, _now())):
                raise UnprovenAnswer(f"no worker of Airlock is known to have made this answer: {stamp.checked}")

    def _due_now(self) -> bool:
        return self._demands.due(channel_of(self._context), _now())

    def _decoded(self, payload: Payload, limit: int | None) -> Any:
        value = super()._decoded(payload, limit)
        if not self._of_a_workflow or not isinstance(value, dict):
            return value
        sent = SentObject(value)
        sent.stamp, sent.demands = Stamp.of(payload), self._demands
        return sent


def demands_of(converter: DataConverter) -> Demands:
    """Return the demands of a process, from its codec: the SDK hands out its payload converter in a wrapper of its own."""
    codec = converter.payload_codec
    return codec.keyring.demands if isinstance(codec, proof.ProofCodec) else Demands()


def _is_worker_message(hint: Any) -> bool:
    """Return True for a worker's message, and for a union of them such as the answer of a gate."""
    if isinstance(hint, type):
        return issubclass(hint, WorkerMessage)
    return any(_is_worker_message(member) for member in get_args(hint))


def _now() -> datetime:
    return datetime.fromtimestamp(time.time(), UTC)
