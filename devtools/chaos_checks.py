"""The claims about a chaos run, checked on the real systems alone: the journal, the shelves, the mailbox."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from airlock.plans.state import State
from airlock.run.presentation.views import PlanResult, StatusView
from devtools.chaos_plans import Batch
from sandbox.chaos_store import Row, Visit
from sandbox.chaos_tools import KEY_HEADER

NEVER = float("inf")
_SHOWN = 5


@dataclass(frozen=True)
class Closure:
    """A lock of the live gate: from its proof that all had stopped until the unlock was sent, in seconds since the epoch."""

    quiesced: float
    unlocked: float


@dataclass(frozen=True)
class Evidence:
    """The facts that the checks read."""

    batch: Batch
    ended: dict[str, PlanResult]
    """The result of every plan whose run is closed."""
    still: dict[str, StatusView | str]
    """The last status of every other plan; a text where no worker answered: why, with what Temporal knows."""
    visits: Sequence[Visit]
    rows: Sequence[Row]
    mails: Sequence[dict[str, Any]]
    deaths: dict[int, float]
    """The time from which a process was certainly dead, in seconds since the epoch, by its id."""
    closure: Closure | None
    server_restarts: int
    replays: dict[str, str]
    """Error of the replay of each history, by workflow and run; empty if it replays."""
    lost_tasks: tuple[str, ...] = ()
    """The plans whose workflow task the killed server never handed out: no worker can know that they go on."""


@dataclass(frozen=True)
class Finding:
    """One claim, with the number of things that were checked and those that contradict it."""

    claim: str
    seen: str
    wrong: tuple[str, ...] = field(default=())

    @property
    def holds(self) -> bool:
        """True if nothing contradicts the claim."""
        return not self.wrong


def judge(evidence: Evidence) -> list[Finding]:
    """Return a finding for every claim of the chaos run."""
    return [check(evidence) for check in CHECKS]


def chaos_happened(seen: Evidence) -> Finding:
    """Check that there was something to survive: otherwise all the other claims prove nothing."""
    wrong = []
    cut = [visit for visit in seen.visits if visit.ended is None and visit.pid in seen.deaths]
    if not seen.deaths:
        wrong.append("no worker was killed")
    if seen.server_restarts < 1:
        wrong.append("the Temporal server was not killed")
    if seen.closure is None:
        wrong.append("the lock never proved that everything had stopped, or was never lifted")
    if not [visit for visit in seen.visits if visit.kind == "undo"]:
        wrong.append("nothing was rolled back")
    if not seen.mails:
        wrong.append("no mail was sent")
    told = f"{len(seen.deaths)} workers killed, {len(cut)} calls cut off, server restarts: {seen.server_restarts}"
    return Finding("there was chaos", told, tuple(wrong))


def all_settled(seen: Evidence) -> Finding:
    """Check that every plan has ended, or waits for a human who can settle it."""
    counts: Counter[str] = Counter(result.outcome.value for result in seen.ended.values())
    wrong = []
    for plan in seen.batch.plans:
        plan_id = plan["plan_id"]
        if plan_id in seen.ended:
            continue
        if plan_id in seen.lost_tasks:
            counts["whose task the killed server lost"] += 1
            continue
        status = seen.still.get(plan_id)
        if status is None or isinstance(status, str):
            wrong.append(f"{plan_id}: no worker answers for it: {status or 'it was not submitted'}")
        elif status.state is State.AWAITING_APPROVAL or (status.state is State.LOCKED and status.possible):
            counts[f"waits for a human in {status.state.value}"] += 1
        else:
            wrong.append(f"{plan_id}: stuck in {status.state.value}: {status.why}; waits for {status.waits_for}")
    told = ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))
    return Finding("every plan has ended or a human can settle it", told, tuple(wrong))


def mails_once(seen: Evidence) -> Finding:
    """Check that no irreversible call took effect twice, under one key or as the same call of two plans."""
    keys = Counter(mail["headers"].get(KEY_HEADER, "") for mail in seen.mails)
    texts = Counter((tuple(mail["to"]), mail["subject"]) for mail in seen.mails)
    wrong = [f"key {key!r}: {count} mails" for key, count in sorted(keys.items()) if count > 1 or not key]
    wrong += [
        f"to {', '.join(to)}, {subject!r}: {count} mails" for (to, subject), count in sorted(texts.items()) if count > 1
    ]
    told = f"{len(seen.mails)} mails, {len(seen.batch.twins)} pairs of plans with the same mail"
    return Finding("no irreversible effect happened twice", told, tuple(wrong))


def nothing_left(seen: Evidence) -> Finding:
    """Check that there is no row of a plan that was rolled back."""
    back = {plan for plan, result in seen.ended.items() if result.state is State.ABORTED}
    left = Counter((row.plan, row.step) for row in seen.rows if row.plan in back)
    wrong = [f"{plan}/{step}: {count} rows" for (plan, step), count in sorted(left.items())]
    missed = [plan for plan in seen.batch.refused if plan in seen.ended and plan not in back]
    wrong += [f"{plan}: had a call that fails, and was not rolled back" for plan in missed]
    return Finding("no effect of a rolled-back plan is left", f"{len(back)} plans rolled back", tuple(wrong))


def as_reported(seen: Evidence) -> Finding:
    """Check that every call that a plan reports live is there once, and nothing else is there."""
    rows = Counter((row.plan, row.step) for row in seen.rows)
    mails = Counter(_step_of(mail) for mail in seen.mails)
    wrong, live = [], 0
    for (plan, step), document in sorted(seen.batch.steps.items()):
        if plan not in seen.ended:
            continue
        found = (mails if document["tool"] == "notify" else rows)[plan, step]
        reported = step in seen.ended[plan].live
        live += reported
        if found != int(reported):
            wrong.append(f"{plan}/{step}: {'reported live' if reported else 'not reported live'}, effects: {found}")
    return Finding("what a plan reports is what the world shows", f"{live} live calls", tuple(wrong))


def alone(seen: Evidence) -> Finding:
    """Check that no two plans were at one shelf at once.

    A plan is there from its first to its last call under one fencing token. A call that never ended is there until its
    process was dead: later it can do nothing any more.
    """
    stays: dict[str, list[tuple[float, float, str]]] = defaultdict(list)
    for (shelf, plan, _), visits in _by_stay(seen.visits).items():
        left = max(_left(visit, seen.deaths) for visit in visits)
        stays[shelf].append((min(visit.began for visit in visits), left, plan))
    wrong = [f"{visit.shelf}: {visit.plan} found {visit.clash} there" for visit in seen.visits if visit.clash]
    for shelf, found in sorted(stays.items()):
        there: list[tuple[float, float, str]] = []
        for came, left, plan in sorted(found):
            there = [other for other in there if other[1] > came]
            wrong += [f"{shelf}: {plan} came while {other} was there" for _, _, other in there if other != plan]
            there.append((came, left, plan))
    shared = sum(len({plan for _, _, plan in found}) > 1 for found in stays.values())
    told = f"{len(seen.visits)} calls, {shared} resources shared by several plans"
    return Finding("no two plans held one resource at once", told, tuple(wrong))


def fences_grow(seen: Evidence) -> Finding:
    """Check that every live call has a fencing token, and that the tokens of a resource never decrease."""
    wrong, highest = [], dict[str, tuple[int, str]]()
    for visit in seen.visits:
        if visit.kind != "live":
            continue
        if visit.fence is None:
            wrong.append(f"{visit.plan}/{visit.step}: no token")
            continue
        token, holder = highest.get(visit.shelf, (visit.fence, visit.plan))
        if visit.fence < token or (visit.fence == token and holder != visit.plan):
            wrong.append(f"{visit.shelf}: {visit.plan} came with {visit.fence} after {holder} with {token}")
        highest[visit.shelf] = max((token, holder), (visit.fence, visit.plan))
    return Finding("fencing tokens only grow", f"{len(highest)} resources", tuple(wrong))


def still_while_locked(seen: Evidence) -> Finding:
    """Check that no live call began between the lock's proof and the unlock, and none was running then."""
    claim = "nothing started while locked"
    if seen.closure is None:
        return Finding(claim, "", ("the lock was not proved",))
    begin, end = seen.closure.quiesced, seen.closure.unlocked
    live = [visit for visit in seen.visits if visit.kind == "live"]
    wrong = [
        f"{visit.plan}/{visit.step}: {'began' if visit.began >= begin else 'was running'} {visit.began - begin:+.2f} s"
        for visit in live
        if visit.began < end and _left(visit, seen.deaths) > begin
    ]
    before, after = sum(visit.began < begin for visit in live), sum(visit.began >= end for visit in live)
    if not (before and after):
        wrong.append("the lock was not in the middle: no live call before it, or none after it")
    return Finding(claim, f"locked for {end - begin:.1f} s, {before} live calls before, {after} after", tuple(wrong))


def histories_replay(seen: Evidence) -> Finding:
    """Check that a worker which knows nothing of a run can take it over: plans, gates and monitors, ended or not."""
    wrong = tuple(f"{run}: {why}" for run, why in sorted(seen.replays.items()) if why)
    wrong = wrong if seen.replays else ("there was no history",)
    return Finding("every history replays", f"{len(seen.replays)} runs of plans, gates and monitors", wrong)


CHECKS = (
    chaos_happened, all_settled, mails_once, nothing_left, as_reported, alone, fences_grow, still_while_locked,
    histories_replay,
)  # fmt: skip


def _by_stay(visits: Iterable[Visit]) -> dict[tuple[str, str, str], list[Visit]]:
    found: dict[tuple[str, str, str], list[Visit]] = defaultdict(list)
    for visit in visits:
        stay = visit.call if visit.fence is None else str(visit.fence)
        found[visit.shelf, visit.plan, stay].append(visit)
    return found


def _left(visit: Visit, deaths: dict[int, float]) -> float:
    return visit.ended if visit.ended is not None else deaths.get(visit.pid, NEVER)


def _step_of(mail: dict[str, Any]) -> tuple[str, str]:
    plan, _, rest = str(mail["headers"].get(KEY_HEADER, "")).partition("/")
    return plan, rest.partition("/")[0]


def shown(wrong: Sequence[str]) -> list[str]:
    """Return the first few faults, and the number of the others."""
    return [*wrong[:_SHOWN], *([f"... and {len(wrong) - _SHOWN} more"] if len(wrong) > _SHOWN else [])]
