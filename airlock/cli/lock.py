"""`lock` and `unlock`: one plan, or everything, with the proof that it has stopped."""

import asyncio
from collections.abc import Coroutine, Mapping
from typing import Annotated, Any

import typer

from airlock.base.errors import Problem
from airlock.base.incoming import Verdict
from airlock.base.names import LIVE_GATE
from airlock.base.text import count, listed
from airlock.cli.decisions import ByOption, ReasonOption, decide, me, print_commands, signal_command
from airlock.cli.display.lock_screen import open_barrier
from airlock.cli.display.screens import moment, plans_table, unlock_hint
from airlock.cli.output import OK, REFUSED, AsJson, Refusal, command, console, emit, safe, say, warn
from airlock.cli.patience import patiently
from airlock.cli.signing import PrintOption, Signing, SignKeyOption, SshAgentOption, evidence_of
from airlock.client import Airlock, NoAnswer
from airlock.client.live_gate import ChangesSinceLock, HolderState, LiveGate, Proof
from airlock.gates.lock_proof import LockProof, Proved, ProvedExcept, Unknown
from airlock.gates.view import GateView
from airlock.program import program

_LISTED = 50

SomePlan = Annotated[
    str | None, typer.Argument(metavar="PLAN", help="The plan id, or its workflow id; without one: all plans.")
]
ScopeOption = Annotated[
    str | None, typer.Option("--scope", metavar="KIND:NAME", help="Only plans with this agent:x, tool:y or resource:z.")
]


@command
async def lock(
    reason: ReasonOption,
    plan: SomePlan = None,
    scope: ScopeOption = None,
    by: ByOption = None,
    sign_key: SignKeyOption = None,
    ssh_agent: SshAgentOption = False,
    print_command: PrintOption = False,
    within: Annotated[
        float, typer.Option("--timeout", metavar="SECONDS", min=0.0, help="The longest wait until everything has stopped.")
    ] = 60.0,
    as_json: AsJson = False,
) -> int:
    """Stop one plan, or everything.

    Calls that are running finish. No further call starts until an operator unlocks. Without a plan the command closes the
    live gate, and shows for every plan that was live when it has stopped. It exits 0 when that proves that no call is
    running. It exits 1 when some plans have not stopped in time, or calls are in doubt and may still take effect; it names
    them. The lock stays either way.
    """
    _one_or_all(plan, scope)
    signing = Signing(sign_key, ssh_agent, print_command)
    airlock = await Airlock.connect()
    if plan is not None:
        return await decide(airlock.plan(plan), "lock", as_json=as_json, signing=signing, by=me(by), reason=reason)
    gate = LiveGate(airlock.client)
    message = await gate_message(gate, "lock", me(by), reason, scope, signing)
    if signing.printed:
        return print_commands(LIVE_GATE, "lock", message, as_json=as_json)
    verdict = await _answer(gate.send("lock", message), "lock", message)
    if not verdict.accepted and not await _locked(gate, scope):
        return _refused("lock", verdict, as_json)
    if not as_json:
        say(verdict.reason if verdict.accepted else f"{verdict.reason}. It stays; this is its proof:")
    proof = await _watched(gate, scope, within, as_json)
    if as_json:
        emit(
            {
                "decision": "lock",
                "scope": scope,
                "quiesced": proof.quiesced,
                **_proof_fields(proof),
                **verdict.model_dump(),
                **proof.model_dump(mode="json", exclude={"doubts", "gaps"}),
            }
        )
    else:
        _conclude(proof, within)
        if scope is not None and not proof.rows:
            warn(safe(f"No plan that was live has {scope}: if that was not expected, check its spelling."))
    # 1 even if all has stopped but a call in doubt: a script must not take that for a proof
    return OK if proof.quiesced else REFUSED


@command
async def unlock(
    reason: ReasonOption,
    plan: SomePlan = None,
    scope: ScopeOption = None,
    by: ByOption = None,
    sign_key: SignKeyOption = None,
    ssh_agent: SshAgentOption = False,
    print_command: PrintOption = False,
    as_json: AsJson = False,
) -> int:
    """Let a locked plan go on, or everything.

    The remaining steps are rehearsed and need a new approval. Live calls are not repeated. Without a plan the command opens
    the live gate, and lists the plans that the lock held up and the plans that changed meanwhile.
    """
    _one_or_all(plan, scope)
    signing = Signing(sign_key, ssh_agent, print_command)
    airlock = await Airlock.connect()
    if plan is not None:
        return await decide(airlock.plan(plan), "unlock", as_json=as_json, signing=signing, by=me(by), reason=reason)
    gate = LiveGate(airlock.client)
    message = await gate_message(gate, "unlock", me(by), reason, scope, signing)
    if signing.printed:
        return print_commands(LIVE_GATE, "unlock", message, as_json=as_json)
    before = await patiently(gate.status(patient=True))
    since = None if before is None else next((lock.at for lock in before.locks if lock.scope == scope), None)
    # before the unlock: afterwards the plans that wait no longer wait
    changed = ChangesSinceLock() if since is None else await gate.meanwhile(since)
    verdict = await _answer(gate.send("unlock", message), "unlock", message)
    if not verdict.accepted or before is None or since is None:
        return _refused("unlock", verdict, as_json)
    if as_json:
        emit({"decision": "unlock", "scope": scope, "since": since.isoformat(), **verdict.model_dump(),
              "waiting": held_up(before), "queue": before.waits, **changed.model_dump(mode="json")})  # fmt: skip
    else:
        say(f"{safe(verdict.reason)}. It was locked since {moment(since)} UTC.")
        _print_waiting(before)
        _print_changed(changed)
    return OK


def plans(number: int) -> str:
    """Return a number of plans, in words."""
    return count(number, "plan") if number else "no plans"


def held_up(view: GateView) -> list[str]:
    """Return the workflow ids of plans that locks stopped or kept out, as far as the gate names them."""
    return sorted({told.holder for told in view.told} | set(view.kept_out_first))


def _one_or_all(plan: str | None, scope: str | None) -> None:
    if plan is not None and scope is not None:
        problem = Problem(where="--scope", message="is for all plans, and one plan is named", fix="leave out one of the two")
        raise Refusal("either a plan or a scope", [problem])


async def gate_message(
    gate: LiveGate, decision: str, by: str, reason: str, scope: str | None, signing: Signing
) -> dict[str, Any]:
    """Return the message of a decision about the live gate, with its signature if it is to be signed."""
    if not signing.wanted:
        return {"by": by, "reason": reason} | ({"scope": scope} if scope else {})
    signed = await gate.to_sign(decision, by, reason, scope)
    evidence = await evidence_of(signed, signing)
    return {**signed.fields, "evidence": evidence.model_dump(mode="json")}


async def _answer(asked: Coroutine[Any, Any, Verdict], decision: str, message: Mapping[str, Any]) -> Verdict:
    """Return the gate's answer. Where no worker gives one, the refusal names a way that needs none."""
    try:
        return await patiently(asked)
    except NoAnswer as error:
        raise Refusal(
            f"{error}\nIt is not certain that this {decision} counts: without a worker Temporal does not store it.\n"
            "Until one does, no plan can enter LIVE; calls that workers are making go on, and nothing proves that "
            "they end.\nTo leave it for the next worker, send it as a signal:\n  "
            f"{signal_command(LIVE_GATE, decision, message)}"
        ) from error


async def _locked(gate: LiveGate, scope: str | None) -> bool:
    """Return True if the gate has a lock of this scope, by any operator."""
    view = await gate.status(patient=True)
    return view is not None and any(lock.scope == scope for lock in view.locks)


def _refused(decision: str, verdict: Verdict, as_json: bool) -> int:
    if as_json:
        emit({"error": verdict.reason, "problems": [], "decision": decision, **verdict.model_dump()})
    else:
        console(stderr=True).print(f"{decision} refused: {safe(verdict.reason)}", soft_wrap=True)
    return REFUSED


async def _watched(gate: LiveGate, scope: str | None, within: float, as_json: bool) -> Proof:
    """Follow the barrier to its end, and return the last proof. Ctrl-C ends only the following."""
    proof = Proof(problem="the gate has not been queried yet")
    try:
        with open_barrier(silent=as_json) as screen:
            async for proof in gate.barrier(scope, within):
                screen.show(proof)
    except asyncio.CancelledError:
        warn(
            "The lock stays; this command no longer follows whether everything has stopped. "
            f"To lift it: {unlock_hint(scope)}"
        )
        raise
    return proof


def _proof_fields(proof: Proof) -> dict[str, Any]:
    value = proof.value
    return {
        "proof": value.proof,
        "calls": [call.model_dump(mode="json", exclude={"scopes"}) for call in getattr(value, "calls", ())],
        "plans": [plan.model_dump(mode="json") for plan in getattr(value, "plans", ())],
    }


def _conclude(proof: Proof, within: float) -> None:
    value = proof.value
    match value:
        case Proved() if not proof.rows:
            say("Quiesced: nothing was live.")
        case Proved():
            say(f"Quiesced: {plans(len(proof.rows))} had been live; no call is running any more.")
        case Unknown() if proof.problem:
            warn(f"Not proven: {safe(proof.problem)}.")
        case Unknown(plans=unknown):
            left = [row for row in proof.rows if row.standing in (HolderState.FINISHING, HolderState.UNREACHABLE)]
            named = listed([f"{row.plan_id} ({row.standing.value})" for row in left])
            if named:
                warn(f"Not quiesced after {within:g} s: {named}. The lock stays; no further call starts.")
            for plan in [plan for plan in unknown if not plan.plan]:
                warn(f"Not proven: {safe(plan.why)}. The lock stays; no further call starts.")
        case ProvedExcept():
            warn("Not proven for the calls in doubt below. Everything else has stopped, and no further call starts.")
    _print_doubts(value)


def _print_doubts(value: LockProof) -> None:
    calls = () if isinstance(value, Proved) else value.calls
    for call in calls[:_LISTED]:
        step = f"step {call.step}" if call.step else "any step"
        warn(safe(f"In doubt: {call.plan}, {step}, since {moment(call.since)} UTC: {call.why}."))
    if len(calls) > _LISTED:
        warn(f"In doubt: {len(calls) - _LISTED} more; --json lists all.")
    if calls:
        warn(
            "A worker that is frozen or cut off may still carry these calls out. Make sure that it has ended, then settle "
            f"what is in doubt: {program()} resolve PLAN STEP OUTCOME"
        )


def _print_waiting(before: GateView) -> None:
    names = held_up(before)
    said = ", ".join(names[:_LISTED]) + (" ..." if len(names) > _LISTED else "")
    held = len(before.told) + before.kept_out
    say(f"Held up by locks: {plans(held)}{f': {said}' if said else ''}. In the gate's queue: {plans(before.waits)}.")
    if held:
        say("Those that no other lock holds are rehearsed now and need a new approval; what is live is not repeated.")
    if before.not_remembered:
        warn(f"{before.not_remembered} more were not remembered: find them with {program()} list --state LOCKED")


def _print_changed(changed: ChangesSinceLock) -> None:
    for title, found in (("ended", changed.ended), ("submitted, and still open", changed.submitted)):
        say(f"Meanwhile {title}: {plans(len(found))}.")
        if found:
            console().print(plans_table(found[:_LISTED]))
