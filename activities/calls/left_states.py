"""The states that the calls of a plan left: what a call says of them, and what a later call compares with."""

import json
from typing import Any

from pydantic import JsonValue

from airlock.activities.calls.permitted import Permitted
from airlock.activities.functions.secrets import Secrets
from airlock.base.canonical import bounded_json
from airlock.plans.left_states import NotAsForeseen, completed
from airlock.plans.outcome import Attempt, CallSucceeded
from airlock.plans.own_steps import MAX_LEFT_BYTES
from airlock.plans.refs import contains_unknown
from airlock.plans.tool_call import ToolCall
from airlock.run.live.call_messages import CallRequest, LeftStates


class ChainStates:
    """The states that the calls of one chain left, and those that the request brings from earlier calls.

    Args:
        permitted: The permit of the chain, which makes and checks receipts.
    """

    def __init__(self, permitted: Permitted) -> None:
        self._permitted = permitted
        self._of_chain: dict[str, LeftStates] = {}

    def take(self, attempt: Attempt, *, now: bool, undone: int) -> Attempt:
        """Keep the states that a call left; return the attempt with their receipt, if this worker makes receipts.

        Args:
            attempt: The outcome of the call.
            now: True if this worker has just made the call; what an earlier run knows of it brings its own receipt.
            undone: The number of times that the call was compensated.
        """
        if not isinstance(attempt, CallSucceeded) or not attempt.leaves:
            return attempt
        if now:
            attempt = attempt.model_copy(update={"left_receipt": self._permitted.left(attempt.step, undone, attempt.leaves)})
        proof = attempt.left_receipt
        self._of_chain[attempt.step] = LeftStates(states=attempt.leaves, undone=undone, proof=proof)
        return attempt

    def observed(self, request: CallRequest) -> JsonValue:
        """Return the state that a call compares with: as previewed, with its open parts as earlier calls left them.

        Raises:
            NotAsForeseen: If it must not be made, because that is not known or not as foreseen.
        """
        preview = request.preview
        if preview is None or not preview.follows or not contains_unknown(preview.observed):
            return None if preview is None else preview.observed
        known = {**request.left, **self._of_chain}
        left: dict[str, JsonValue] = {}
        for name, step in preview.follows.items():
            if step in known and name in known[step].states:
                if not self._permitted.is_left(step, known[step]):
                    raise NotAsForeseen(f"{name} comes from step {step!r} with no receipt of a live call")
                left[name] = known[step].states[name]
        return completed(preview.observed, preview.follows, left)


def left_by(call: ToolCall, secrets: Secrets) -> dict[str, JsonValue]:
    """Return the states that a live call left, as far as later steps need them and they may be kept.

    One that holds a secret, is too large or is no JSON is left out: the call took effect all the same, and what compares
    with it is stale.
    """
    given: Any = call.leaves  # a tool's author may have put anything there
    states = given if isinstance(given, dict) else {}
    kept: dict[str, JsonValue] = {}
    for name in call.wanted:
        try:
            written = bounded_json(states[name]) if name in states else ""
            state = json.loads(written) if written and len(written) <= MAX_LEFT_BYTES else None
        except (TypeError, ValueError, RecursionError):
            continue
        if (state is not None or written == "null") and secrets.redact(state) == state:
            kept[name] = state
    return kept
