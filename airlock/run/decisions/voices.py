"""Decisions that several people must make: each voice waits until enough people have decided the same."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from airlock.admission.admitted import VOICE_EPOCH
from airlock.admission.policy import Policy
from airlock.base.canonical import canonical_json
from airlock.base.incoming import Verdict
from airlock.base.person import same_person
from airlock.run.audit import AuditKind
from airlock.run.decisions.authority import is_of_airlock, refusal_by, statement_of, voices_needed
from airlock.run.messages import NAME_OF, Amend, Message, parse_message
from airlock.run.standing_decisions import Voice
from airlock.run.state import Run
from airlock.signing.proof import proof_of

MAX_AT_ONCE: Final = 10
"""The decisions that are compared with all that wait in one workflow task: their evidence is looked at again each time."""
MAX_VOICES: Final = 60
"""The voices that wait at the same time; a policy asks for 50 people at most."""
MAX_BYTES: Final = 200_000
"""The size of the decisions that they make, in bytes of JSON; a settlement states an output."""
MAX_GIVEN: Final = 200
"""The decisions of one name that a run records before it takes no further voice that only waits."""
_TOO_MANY_NOW: Final = "too many decisions arrived at the same time, and this one was not looked at: send it again"
_TOO_MANY: Final = "too many people have decided something else, or the same people too often; one of these must agree"


def take_voice(run: Run, message: Message, verdict: Verdict, policy: Policy, now: datetime) -> tuple[Verdict, bool]:
    """Return the verdict on an accepted decision, and True if it waits for another person to decide the same.

    Args:
        run: The plan's run; changed in place.
        message: The decision.
        verdict: The verdict so far.
        policy: The policy that counts.
        now: UTC.
    """
    needed = 1 if is_of_airlock(message) else voices_needed(run, message, policy)
    if needed < 2:
        return verdict, False
    name = NAME_OF[type(message)]
    if _is_bounded(run) and run.voice_load.full(now, MAX_AT_ONCE):
        return Verdict(accepted=False, reason=f"{name}: {_TOO_MANY_NOW}"), False
    standing = _standing(run, policy, now)
    said = _said(message)
    same = [one for one in standing if one.name == name and _said(_message(one)) == said]
    if any(same_person(_by(one), message.by) for one in same):
        return Verdict(accepted=False, reason=f"{message.by!r} has decided this already: another person must"), False
    if len(same) + 1 >= needed:
        run.voices = ()
        return verdict, False
    sent = message.model_dump(mode="json", exclude_none=True)
    voice = Voice(name=name, message=sent, at=now, moves=run.moves)
    if not _is_bounded(run):
        run.voices = (*standing, voice)
    elif (taken := _with(run, standing, voice)) is None:
        return Verdict(accepted=False, reason=f"{name}: {_TOO_MANY}"), False
    else:
        run.voices = taken
    waits = f"{name} by {len(same) + 1} of {needed} people: it waits for another person to decide the same"
    return Verdict(accepted=True, reason=waits), True


def _is_bounded(run: Run) -> bool:
    return run.admitted is not None and run.admitted.epoch >= VOICE_EPOCH


def _with(run: Run, standing: Sequence[Voice], voice: Voice) -> tuple[Voice, ...] | None:
    """Return the voices with one more, which takes the place of what its person said before; None if they are too many.

    A run holds its voices, and each entry of the audit about one: without a bound a person who decides something else a
    thousand times, or the same under a thousand names, makes it too large to be stored.
    """
    others = [one for one in standing if not (one.name == voice.name and same_person(_by(one), _by(voice)))]
    kept = (*others, voice)
    given = sum(entry.kind is AuditKind.DECISION and entry.what == voice.name for entry in run.audit)
    size = sum(len(canonical_json(one.message)) for one in kept)
    return None if given >= MAX_GIVEN or len(kept) > MAX_VOICES or size > MAX_BYTES else kept


def _standing(run: Run, policy: Policy, now: datetime) -> tuple[Voice, ...]:
    """Return the voices that count still: of this stay in a state, not too old, of people who may decide by the policy."""
    age = timedelta(seconds=policy.approval_valid_for_seconds)
    return tuple(
        voice
        for voice in run.voices
        if voice.moves == run.moves and now < voice.at + age and _counts(run, _message(voice), policy)
    )


def _counts(run: Run, message: Message, policy: Policy) -> bool:
    stated = statement_of(run, message)
    if stated is None or message.evidence is None:
        return refusal_by(run, message, policy) is None
    proof = proof_of(message.evidence, stated, policy.registered)
    return proof.problem is None and refusal_by(run, message, policy) is None


def _message(voice: Voice) -> Message:
    message = parse_message(voice.name, (voice.message,))
    assert not isinstance(message, Amend)  # one person amends: it waits for no other voice
    return message


def _by(voice: Voice) -> str:
    return str(voice.message["by"])


def _said(message: Message) -> tuple[str, str]:
    """Return what a decision says, without its person and reason."""
    # as text: in Python 1, 1.0 and true are equal, and two people would settle a call with two outputs
    return NAME_OF[type(message)], canonical_json(message.model_dump(mode="json", exclude={"by", "reason", "evidence"}))
