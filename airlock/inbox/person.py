"""The person at the terminal: a name, and the way in which their decisions are signed."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from airlock.base.incoming import Verdict
from airlock.client import PlanHandle
from airlock.client.live_gate import LiveGate
from airlock.client.signing import ToSign
from airlock.signing.evidence import DecisionEvidence

Sign = Callable[[ToSign], Awaitable[DecisionEvidence]]
"""Returns the evidence of one decision."""


@dataclass(frozen=True)
class Person:
    """The one who decides."""

    name: str
    sign: Sign | None = None
    """None if decisions are sent as they are."""

    async def decide(self, handle: PlanHandle, decision: str, **fields: Any) -> Verdict:
        """Send a decision about a plan, and return its verdict. Raises like `PlanHandle.decide` and `to_sign`."""
        if self.sign is None:
            return await handle.decide(decision, by=self.name, **fields)
        signed = await handle.to_sign(decision, by=self.name, **fields)
        return await handle.decide_signed(signed, await self.sign(signed))

    async def decide_everything(self, gate: LiveGate, decision: str, reason: str) -> Verdict:
        """Lock or unlock the live gate, and return its verdict. Raises like `LiveGate.lock` and `to_sign`."""
        if self.sign is None:
            return await (gate.lock if decision == "lock" else gate.unlock)(self.name, reason)
        signed = await gate.to_sign(decision, self.name, reason)
        return await gate.decide_signed(signed, await self.sign(signed))
