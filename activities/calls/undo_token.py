"""The undo token that a call leaves, or that a probe finds again: bounded JSON without secrets."""

import json

from pydantic import JsonValue

from airlock.activities.functions.secrets import Secrets
from airlock.base.canonical import bounded_json, canonical_json
from airlock.base.text import MAX_OUTPUT_BYTES
from airlock.plans.tool_call import ToolCall


class UnkeptToken(Exception):
    """The call took effect, but its undo token cannot be stored."""


def undo_token(call: ToolCall, secrets: Secrets) -> JsonValue:
    """Return the undo token as bounded JSON with its secrets masked; the compensation restores them.

    Raises:
        UnkeptToken: If the token is not JSON, or larger than `MAX_OUTPUT_BYTES`.
    """
    try:
        written = bounded_json(call.undo)
        token: JsonValue = secrets.keep(json.loads(written)) if len(written) <= MAX_OUTPUT_BYTES else None
    except (TypeError, RecursionError) as error:
        raise UnkeptToken(f"its undo token is not JSON ({type(error).__name__})") from None
    except ValueError as error:
        raise UnkeptToken(f"its undo token cannot be kept: {error}") from None
    if max(len(written), len(canonical_json(token))) > MAX_OUTPUT_BYTES:
        raise UnkeptToken(f"its undo token is larger than {MAX_OUTPUT_BYTES:,} bytes")
    return token
