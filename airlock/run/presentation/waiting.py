"""The sentence about the event that a run waits for: a worker, an approval, its turn, a person."""

from airlock.base.text import count, listed
from airlock.plans.state import State
from airlock.run.call_record import CallStatus
from airlock.run.decisions.approval import still_asked, votes_needed
from airlock.run.decisions.approval_today import rules_of
from airlock.run.decisions.vote_scope import names_current, people, voices
from airlock.run.handed_back import asked_since
from airlock.run.presentation.approval_needs import demands_of_policy, in_brackets
from airlock.run.presentation.decision_commands import hint
from airlock.run.state import Run
from airlock.run.unlocking import needs_settling


def waits_for(run: Run) -> str:
    """Return one sentence about the event that the run waits for."""
    if run.outcome is not None:
        return "nothing, it has ended"
    match run.state:
        case State.MOCK | State.DRY_RUN if (since := asked_since(run)) is not None:
            return f"a rehearsing worker with the plan's contracts, asked for since {since:%Y-%m-%d %H:%M:%S} UTC"
        case State.MOCK | State.DRY_RUN:
            return "a worker that rehearses"
        case State.AWAITING_APPROVAL:
            return _approvals_waited_for(run)
        case State.LIVE | State.ROLLBACK if run.gate_wait is not None:
            by = f", held by {', '.join(run.gate_wait.holders[:5])}" if run.gate_wait.holders else ""
            return f"its turn at {run.gate_wait.name} (place {run.gate_wait.position} in the queue{by})"
        case State.LIVE if (since := asked_since(run)) is not None:
            return f"a live worker with the approved contract, asked for since {since:%Y-%m-%d %H:%M:%S} UTC"
        case State.LIVE | State.ROLLBACK:
            return f"calls that are running: {listed(run.in_flight)}" if run.in_flight else "a worker"
        case State.LOCKED:
            return _locked_waits_for(run)
        case _:
            return "nothing, it has ended"


def _approvals_waited_for(run: Run) -> str:
    policy = run.contracts().policy
    needed = votes_needed(run, rules_of(run), None) - len(people(run, run.votes))
    demands = "" if run.sealed is None else in_brackets(run.sealed, demands_of_policy(run.sealed, policy))
    asked = [need.phrase(number) for need, number in still_asked(run, run.votes, policy).items()]
    most, lacking = _lacking(run)
    if needed <= 0 and not asked:  # the votes so far are for different steps
        if most <= 0 and run.votes and not any(names_current(run, vote.approval) for vote in run.votes):
            return "an approval of the amended preview: those of its steps are enough, but none is of it as a whole yet"
        return f"more approvals{demands}{lacking or ': no step has its quorum yet'}"
    until = f"{run.expires_at:%Y-%m-%d %H:%M:%S} UTC" if run.expires_at else ""
    if not until:
        return f"approval{demands}{lacking}"
    needed = max(needed, most)
    own = (f"{count(needed, 'approval')}{demands}",) if needed > 0 else ()
    return f"{listed((*own, *asked))} until {until}{lacking}"


def _lacking(run: Run) -> tuple[int, str]:
    """Return how many approvals a step of an amended plan lacks at most, and for each step, as the end of a sentence.

    It is nothing for any other plan, whose steps all lack the same.
    """
    shown = run.sealed.steps if run.sealed is not None else ()
    if not run.earlier and not any(step.proposed_by for step in shown):
        return 0, ""
    given, lacking = voices(run, run.votes), dict[int, list[str]]()
    for step in shown:
        if step.id in given and not step.approval_waived:
            needed = votes_needed(run, rules_of(run), (step.id,))
            lacking.setdefault(needed - len(given[step.id]), []).append(step.id)
    found = [f"{number} for {listed(steps)}" for number, steps in sorted(lacking.items()) if number > 0]
    return max(lacking, default=0), f": {'; '.join(found)}" if found else ""


def outcomes_of(run: Run, step: str) -> tuple[str, ...]:
    """Return the outcomes with which a person settles a parked step."""
    doubt = run.calls[step].status is CallStatus.IN_DOUBT
    return ("happened", "did_not_happen") if doubt else ("retry", "skip", "compensated")


def _locked_waits_for(run: Run) -> str:
    if run.in_flight:
        return f"calls that are still finishing: {listed(run.in_flight)}"
    if needs_settling(run):
        step = run.parked[0]
        settle = f"airlock resolve {run.name} {step} {'|'.join(outcomes_of(run, step))} --reason ..."
        return f"a human to settle {', '.join(run.parked)}: {hint(run, 'resolve', settle, step)}"
    if run.lock is not None and run.lock.gate:
        unlock = hint(run, "unlock", "airlock unlock")
        return f"{unlock}, with --scope if that was locked alone: {run.lock.reason} (or rollback, abort)"
    unlock = hint(run, "unlock", f"airlock unlock {run.name} --reason ...")
    return f"unlock, rollback or abort: {unlock}"
