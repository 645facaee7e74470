"""A decision before it is signed: the statement of it, and the evidence that a signature or a passkey makes of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from pydantic import BaseModel

from airlock.base.errors import AirlockError
from airlock.signing.evidence import PasskeyEvidence, SshEvidence
from airlock.signing.statement import MAX_VALID_FOR, Statement, statement

VALID_FOR: Final = timedelta(hours=1)
"""The time for which a signed decision counts unless another is given."""


@dataclass(frozen=True)
class ToSign:
    """A decision that a person can sign: what is signed, and what is sent with it."""

    decision: str
    fields: Mapping[str, Any]
    """The fields of its message, without evidence."""
    statement: Statement
    expires: datetime

    @property
    def text(self) -> str:
        """The text that an SSH key signs: the canonical JSON of the statement."""
        return self.statement.text

    @property
    def challenge(self) -> bytes:
        """The bytes that a passkey signs: the nonce, and the SHA-256 of the text."""
        return self.statement.challenge

    def with_ssh(self, signature: str) -> SshEvidence:
        """Return the evidence of a signature: what `ssh-keygen -Y sign -n airlock` prints, or its base64."""
        return SshEvidence(kind="ssh", nonce=self.statement.nonce, expires=self.expires, signature=signature)

    def with_passkey(self, assertion: Mapping[str, Any]) -> PasskeyEvidence:
        """Return the evidence of an assertion: the JSON that the browser makes of `navigator.credentials.get`.

        Raises:
            AirlockError: If it is no assertion.
        """
        try:
            response = assertion["response"]
            return PasskeyEvidence(
                kind="passkey",
                nonce=self.statement.nonce,
                expires=self.expires,
                credential=assertion["id"],
                authenticator_data=response["authenticatorData"],
                client_data=response["clientDataJSON"],
                signature=response["signature"],
            )
        except (KeyError, TypeError, ValueError) as error:
            raise AirlockError(f"this is no assertion of a passkey: {type(error).__name__}") from error


def to_sign(
    decision: str,
    message: BaseModel,
    *,
    namespace: str,
    subject: str,
    life: str,
    nonce: str,
    seal: str | None,
    valid_for: timedelta,
) -> ToSign:
    """Return a decision as its person signs it.

    Args:
        decision: The name of the decision.
        message: Its message.
        namespace: The namespace of Temporal.
        subject: The workflow id of the plan, of its undo after the end, or of a gate.
        life: The life of that run, as its status tells.
        nonce: The nonce of its status.
        seal: The whole digest of the seal.
        valid_for: The time from now for which it counts, 7 days at most.

    Raises:
        AirlockError: If the run cannot take signed decisions, or none that counts for so long a time.
    """
    if not timedelta() < valid_for <= MAX_VALID_FOR:
        raise AirlockError(f"valid_for is {valid_for}: a signed decision counts for {MAX_VALID_FOR.days} days at most")
    if not life or not nonce:
        raise AirlockError(f"{subject!r} is served by a worker that takes no signed decisions")
    said = message.model_dump(mode="json", exclude={"evidence"})
    expires = (datetime.now(UTC) + valid_for).replace(microsecond=0)
    made = statement(
        decision, said, namespace=namespace, subject=subject, life=life, seal=seal, nonce=nonce, expires=expires
    )
    fields = {name: value for name, value in said.items() if value is not None}
    return ToSign(decision=decision, fields=fields, statement=made, expires=expires)
