"""The identity of an irreversible call: a digest over its tool and arguments."""

from collections.abc import Mapping
from typing import Any

from airlock.base.canonical import digest
from airlock.base.errors import RefError
from airlock.plans.arguments.canonical_args import bind_canonical, identity
from airlock.plans.contract import Contract
from airlock.plans.plan import Step
from airlock.plans.refs import as_marker, bind
from airlock.plans.tool import Tool

DIGEST_LENGTH = 32
"""The number of hex characters of a SHA-256 that identify a call; they are part of a workflow id."""


def call_digest(tool: str, args: Mapping[str, Any], dedupe_key: str | None, occasion: str = "") -> str:
    """Return the identity of a call: equal for the same tool and arguments, or for the same tool and `dedupe_key`.

    A call with a key never equals a call without one. The agent, the plan and the step do not count.

    Args:
        tool: The tool's name.
        args: The arguments with references filled in; a `$secret` stays a marker and is never its value.
        dedupe_key: The stand-in for the arguments, or None.
        occasion: The time at which a schedule started the plan: each of its runs means a call of its own.

    Returns:
        32 lower-case hex characters.
    """
    stands_for: dict[str, Any] = {"args": dict(args)} if dedupe_key is None else {"dedupe_key": dedupe_key}
    own = {"occasion": occasion} if occasion else {}
    return digest({"tool": tool, **stands_for, **own})[:DIGEST_LENGTH]


def known_digest(step: Step, contract: Contract, outputs: Mapping[str, Any], occasion: str = "") -> str | None:
    """Return the identity of a step's call, as far as these outputs determine it.

    Args:
        step: The step.
        contract: Its contract.
        outputs: Outputs by step. An absent output, and every part that equals `airlock.plans.refs.UNKNOWN`, is not known
            yet.
        occasion: As in `call_digest`.

    Returns:
        The digest. None if an argument is not known yet and no `dedupe_key` stands for the arguments, if a reference finds
        nothing (such a call is never made), or if the call is not irreversible and needs no claim.
    """
    if not contract.irreversible:
        return None
    if step.dedupe_key is not None:
        return call_digest(contract.tool, {}, step.dedupe_key, occasion)
    try:
        bound = bind(step.args, outputs, as_marker)
    except RefError:
        return None
    return None if bound.unknown else call_digest(contract.tool, bound.args, None, occasion)


def canonical_digest(tool: Tool, args: Mapping[str, Any], outputs: Mapping[str, Any], occasion: str = "") -> str | None:
    """Return the identity of a call without a `dedupe_key`, the same in every spelling.

    Args:
        tool: The tool.
        args: The canonical arguments of the step.
        outputs: As in `known_digest`.
        occasion: As in `call_digest`.

    Returns:
        The digest; None if an argument is not known yet.

    Raises:
        RefError: If a reference finds nothing.
        NotCanonical: If the arguments have no canonical form.
    """
    bound = bind_canonical(tool.arguments, args, outputs)
    return None if bound.unknown else call_digest(tool.name, identity(tool.arguments, bound.args), None, occasion)


def of_this_plan(step: str) -> str:
    """Return the reason to leave out a step whose call an earlier step of the same plan makes."""
    return f"step {step} of this plan is the same call"
