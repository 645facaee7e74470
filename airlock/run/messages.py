"""The messages that a human may send to a plan: one JSON object for each signal, checked here and never trusted."""

from collections.abc import Mapping, Sized
from enum import StrEnum
from typing import Annotated, Any

from pydantic import BeforeValidator, FailFast, Field, JsonValue, StringConstraints, field_validator
from pydantic.json_schema import SkipJsonSchema
from pydantic_core import PydanticKnownError

from airlock.base.canonical import bounded_json
from airlock.base.incoming import MalformedMessage, Person, Reason, one_object, parse_as
from airlock.base.model import WireModel, is_empty
from airlock.base.text import MAX_OUTPUT_BYTES, shorten
from airlock.gates.signing import MAX_PROOFS
from airlock.plans.plan import MAX_PLAN_BYTES, MAX_STEPS, Step
from airlock.signing.evidence import DecisionEvidence
from airlock.signing.signed_decision import SignedDecision

Evidence = Annotated[DecisionEvidence | None, Field(exclude_if=is_empty)]
"""The proof of its person in a message: a signature or an assertion over `signing.statement`; None in an unsigned one."""
GateProof = Annotated[tuple[SignedDecision, ...], Field(max_length=MAX_PROOFS, exclude_if=is_empty)]
"""The signed decisions of people at the gate whose decision a message repeats, in their order."""
StepName = Annotated[str, StringConstraints(min_length=1, max_length=64)]


def _few(value: Any) -> Any:
    """Return a list of a message if it has no more entries than a plan may have steps.

    Pydantic counts entries as it reads them, and wrong ones not at all: a list of a million takes seconds to refuse, and a
    workflow task that takes so long never ends. Any client can send one.
    """
    if isinstance(value, Sized) and len(value) > MAX_STEPS:
        told = {"field_type": "Tuple", "max_length": MAX_STEPS, "actual_length": len(value)}
        raise PydanticKnownError("too_long", told)
    return value


_Few = BeforeValidator(_few)


class Approve(WireModel):
    """Approve the sealed preview, as a whole or some of its steps."""

    by: Person
    digest: Annotated[str, StringConstraints(strip_whitespace=True, max_length=64)]
    steps: Annotated[tuple[StepName, ...], Field(max_length=5_000), _Few] | None = None
    reason: Annotated[str, StringConstraints(max_length=2_000)] = ""
    signature: Annotated[str, StringConstraints(max_length=1_000)] | None = None
    """Base64 of an Ed25519 signature over `signature.signed_text`: an older form, see docs/adr/0016."""
    evidence: Evidence = None


class Deny(WireModel):
    """Deny the plan; with a digest, only if it is still the digest of the seal."""

    by: Person
    reason: Reason
    digest: Annotated[str, StringConstraints(strip_whitespace=True, max_length=64)] | None = None
    evidence: Evidence = None


class Lock(WireModel):
    """Stop the plan: no further call starts until a human unlocks it."""

    by: Person
    reason: Reason
    gate: bool = False
    """True if the message is part of a lock of the live gate."""
    evidence: Evidence = None
    proof: SkipJsonSchema[GateProof] = ()


class Unlock(WireModel):
    """Unlock the plan: the remaining steps are rehearsed, previewed and approved again."""

    by: Person
    reason: Reason
    gate: bool = False
    """True if only a lock by the live gate is to be lifted."""
    evidence: Evidence = None
    proof: SkipJsonSchema[GateProof] = ()


class Rollback(WireModel):
    """Undo the live calls of the plan."""

    by: Person
    reason: Reason
    to_step: StepName | None = None
    """The step to go back to: it is undone with every step after or depending on it. None undoes all."""
    evidence: Evidence = None


class Abort(WireModel):
    """End the plan and undo nothing."""

    by: Person
    reason: Reason
    withdrawn: bool = False
    """True if the requester withdraws the plan: accepted only from the requester, and only before any call that writes."""
    evidence: Evidence = None


class Settlement(StrEnum):
    """The settlement of a parked step by a human."""

    HAPPENED = "happened"
    DID_NOT_HAPPEN = "did_not_happen"
    RETRY = "retry"
    SKIP = "skip"
    COMPENSATED = "compensated"


class Resolve(WireModel):
    """Settle a call in doubt (happened, did_not_happen) or a failed compensation (retry, skip, compensated)."""

    by: Person
    step: StepName
    outcome: Settlement
    reason: Reason
    output: JsonValue = None
    """The output of the call, needed if later steps read it."""
    evidence: Evidence = None

    @field_validator("output")
    @classmethod
    def _fits(cls, value: JsonValue) -> JsonValue:
        if len(bounded_json(value)) > MAX_OUTPUT_BYTES:
            raise ValueError(f"is more than the {MAX_OUTPUT_BYTES:,} bytes one call may return")
        return value


class Amend(WireModel):
    """Replace, add or remove steps of a plan that waits for approval; what changes is rehearsed and approved again."""

    by: Person
    reason: Reason
    steps: Annotated[tuple[Step, ...], Field(max_length=MAX_STEPS), FailFast()] = ()
    """Whole steps. One with the id of a step of the plan takes its place, any other is added at the end."""
    remove: Annotated[tuple[StepName, ...], Field(max_length=MAX_STEPS), _Few] = ()
    """The ids of the steps to remove."""
    whole: bool = False
    """True if `steps` are all steps that the plan is to have."""
    digest: Annotated[str, StringConstraints(strip_whitespace=True, max_length=64)] | None = None
    """The digest of the seal that is amended; with it, no other seal is."""
    evidence: Evidence = None

    @field_validator("steps", mode="before")
    @classmethod
    def _fits(cls, value: Any) -> Any:
        # before any step is looked at: a workflow task has two seconds, and any client may send anything
        if len(bounded_json(_few(value))) > MAX_PLAN_BYTES:
            raise ValueError(f"is more than the {MAX_PLAN_BYTES:,} bytes that one plan may have")
        return value


Message = Approve | Deny | Lock | Unlock | Rollback | Abort | Resolve

MESSAGES: dict[str, type[Message | Amend]] = {
    "approve": Approve,
    "deny": Deny,
    "lock": Lock,
    "unlock": Unlock,
    "rollback": Rollback,
    "abort": Abort,
    "resolve": Resolve,
    "amend": Amend,
}

NAME_OF: dict[type[Message | Amend], str] = {model: name for name, model in MESSAGES.items()}
"""The name of each message's signal."""


def require_few_steps(start: Any) -> None:
    """Refuse the input of a plan whose list of steps is longer than that of any plan, before it is looked into.

    Raises:
        ValueError: If it is.
    """
    plan = start.get("plan") if isinstance(start, Mapping) else None
    steps = plan.get("steps") if isinstance(plan, Mapping) else None
    if isinstance(steps, Sized) and len(steps) > MAX_STEPS:
        raise ValueError(f"plan.steps: has {len(steps):,} entries; give at most {MAX_STEPS:,} entries")


def parse_message(name: str, arguments: tuple[Any, ...]) -> Message | Amend:
    """Return the message of a signal.

    Args:
        name: The name of the signal.
        arguments: The arguments of the signal, decoded as plain JSON.

    Raises:
        MalformedMessage: If they are not one JSON object with the fields of that signal.
    """
    model = MESSAGES.get(name)
    if model is None:
        raise MalformedMessage(f"unknown signal {shorten(name, 100)!r}; there are {', '.join(MESSAGES)}")
    return parse_as(model, name, arguments)


def parse_decision(arguments: tuple[Any, ...]) -> tuple[str, Message | Amend]:
    """Return the signal name and the message of a `decide` update: the signal's object with a field `decision`.

    Raises:
        MalformedMessage: If the arguments cannot be understood.
    """
    sent = one_object("decide", arguments, " with a field 'decision'")
    name = sent.get("decision")
    if not isinstance(name, str) or name not in MESSAGES:
        raise MalformedMessage(f"decision: must be one of {', '.join(MESSAGES)}, got {shorten(repr(name), 80)}")
    return name, parse_message(name, ({key: value for key, value in sent.items() if key != "decision"},))
