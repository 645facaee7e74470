"""The content of a plan's page, taken from its checked preview, its status and its audit."""

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace

from airlock.base.names import UNDO_PREFIX
from airlock.base.person import folded, same_person
from airlock.base.visible import marks
from airlock.client.plan_handle import PlanHandle
from airlock.client.seals import earlier_seal
from airlock.console.graph import Picture, picture
from airlock.plans.contract import Mode
from airlock.plans.state import Event, State
from airlock.run.audit import AuditEntry, AuditKind
from airlock.run.call_record import CallStatus
from airlock.run.presentation.changes import StepChange, changes
from airlock.run.presentation.last_status import last_status
from airlock.run.presentation.lock_decision import lock_decision
from airlock.run.presentation.preview_check import fitting_status
from airlock.run.presentation.preview_lines import conflict_lines, requirement_lines, rollback_lines
from airlock.run.presentation.seal_difference import DifferenceLine, difference_lines
from airlock.run.presentation.settlement_words import SETTLEMENTS
from airlock.run.presentation.undo_preview import undo_order_lines
from airlock.run.presentation.views import AuditView, PreviewView, StatusView, StepView
from airlock.run.sealing.sealed import ReplacedSeal, Sealed
from airlock.temporal.history import Unreadable

ANSWER_WITHIN = 12.0
"""Seconds for the answers of a plan."""
PART_STEPS = 40
PART_CHARACTERS = 400_000
"""Steps and characters of one part of a preview: a browser must be able to show it, and a person to read it."""
_WITHOUT_EFFECT = frozenset(
    (
        "waiting",
        *(status.value for status in (CallStatus.FAILED_BEFORE, CallStatus.UNDONE, CallStatus.KEPT, CallStatus.DUPLICATE)),
    )
)
"""The statuses of steps of which an undo after the end has nothing to undo."""
_REMEMBERED = 16
"""Seals of which the steps are remembered."""
Steps = tuple[tuple[StepChange, ...], tuple[tuple[StepChange, ...], ...]]
"""The steps of a seal, all of them and in parts."""


@dataclass(frozen=True)
class Parked:
    """A step that waits to be settled."""

    step: str
    error: str
    outcomes: tuple[tuple[str, str], ...]
    """The answers, each with its meaning."""


@dataclass(frozen=True)
class PlanView:
    """One plan at one moment."""

    workflow_id: str
    status: StatusView
    preview: PreviewView
    audit: AuditView
    steps: tuple[StepChange, ...]
    parts: tuple[tuple[StepChange, ...], ...]
    """The steps in parts that fit a page."""
    changed: tuple[DifferenceLine, ...] = ()
    """The lines that differ from the preview before, as far as that one is known."""

    @property
    def sealed(self) -> Sealed | None:
        """The content of the seal."""
        return self.preview.sealed

    @property
    def digest(self) -> str | None:
        """The digest that covers what this view shows."""
        return self.preview.digest

    @property
    def open(self) -> bool:
        """True if it takes decisions still."""
        return self.status.outcome is None and not self.status.state.closed

    @property
    def awaits_approval(self) -> bool:
        """True if this preview can be approved."""
        return self.open and self.preview.state is State.AWAITING_APPROVAL and self.digest is not None

    @property
    def can_be_amended(self) -> bool:
        """True if steps of this preview can be amended; the plan itself judges who may."""
        return self.awaits_approval and self.sealed is not None and self.sealed.undo is None

    @property
    def writing(self) -> tuple[str, ...]:
        """The steps that an approval would let change something."""
        return tuple(step.id for step in self.steps if step.writes)

    @property
    def live_steps(self) -> tuple[str, ...]:
        """The steps that an approval would let go live; those of an undo are approved as a whole."""
        return () if self.sealed is None else self.sealed.live_steps

    @property
    def hidden(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """The steps with marks of what hides in them, and these marks."""
        return tuple((step.id, step.hidden) for step in self.steps if step.hidden)

    @property
    def hidden_in_goal(self) -> tuple[str, ...]:
        """The marks of what hides in the goal."""
        return () if self.sealed is None else marks(self.sealed.goal)

    @property
    def irreversible(self) -> tuple[str, ...]:
        """The steps that would go live and cannot be undone."""
        return tuple(step.id for step in self.steps if step.writes and step.reversibility == "irreversible")

    @property
    def calls(self) -> tuple[tuple[str, int, bool], ...]:
        """The tools that an approval would let change something: each with its calls, and True if they cannot be undone.

        The goal is what an agent says of its plan; this is what stands in it, wherever in a large plan.
        """
        counted = Counter((step.tool, step.reversibility == "irreversible") for step in self.steps if step.writes)
        order = sorted(counted, key=lambda each: (not each[1], each[0]))
        return tuple((tool, counted[tool, final], final) for tool, final in order)

    @property
    def derived(self) -> tuple[str, ...]:
        """The steps that would change something with values that come from other steps."""
        return tuple(step.id for step in self.steps if step.writes and any(each.derived for each in step.blocks))

    @property
    def picture(self) -> Picture | None:
        """The graph of the steps, if it can be read."""
        return picture(self.steps)

    @property
    def part_of(self) -> dict[str, int]:
        """The number of the part that shows each step, from 1."""
        return {step.id: number for number, part in enumerate(self.parts, 1) for step in part}

    @property
    def requirements(self) -> tuple[str, ...]:
        """The needs of an approval, sentence by sentence."""
        return () if self.sealed is None else tuple(requirement_lines(self.sealed))

    @property
    def conflicts(self) -> tuple[str, ...]:
        """The conflicts of the plan, each with its answer."""
        return () if self.sealed is None else tuple(line.strip() for line in conflict_lines(self.sealed) if line)[1:]

    @property
    def rollback(self) -> tuple[str, ...]:
        """The order of the calls, the point of no return, and what happens when a call fails."""
        if self.sealed is None:
            return ()
        if self.sealed.undo is not None:
            return tuple(undo_order_lines(self.sealed))
        return tuple(rollback_lines(self.sealed))

    @property
    def replaced(self) -> ReplacedSeal | None:
        """The seal before this one, with what changed after it."""
        return self.preview.replaced[-1] if self.preview.replaced and self.digest is not None else None

    @property
    def votes(self) -> tuple[AuditEntry, ...]:
        """The approvals and denials of this seal, oldest first."""
        return tuple(
            entry
            for entry in self.audit.entries
            if entry.kind is AuditKind.DECISION and entry.what in ("approve", "deny") and entry.digest == self.digest
        )

    @property
    def lock(self) -> AuditEntry | None:
        """The decision of the person who locked it; None if it is not locked, or by no person."""
        return lock_decision(self.status.state, self.audit.entries)

    @property
    def parked(self) -> tuple[Parked, ...]:
        """The steps that wait to be settled, each with what can be said of it."""
        waiting = set(self.status.parked)
        return tuple(Parked(step.id, step.error, _answers(step.status)) for step in self.status.steps if step.id in waiting)

    @property
    def undoable(self) -> bool:
        """True if it has ended and something of it may be in effect that an undo could undo."""
        ended = not self.open and not self.workflow_id.startswith(UNDO_PREFIX)
        return ended and any(step.status not in _WITHOUT_EFFECT for step in self.status.steps)

    def became(self, step: StepView) -> str:
        """Return the status of a step, which waits for nothing any more once the plan has ended."""
        return last_status(step, self.status.outcome)

    def voted(self, person: str) -> bool:
        """Return True if a person's approval of this seal counts already."""
        return folded(person) in map(folded, self.status.approvals)

    def proposed_by(self, person: str) -> tuple[str, ...]:
        """Return the steps that a person has proposed: their approval does not count for them."""
        steps = () if self.sealed is None else self.sealed.steps
        return tuple(step.id for step in steps if any(same_person(person, each) for each in step.proposed_by))

    def can(self, event: str) -> bool:
        """Return True if the table of states has an event for where the plan is."""
        return self.open and Event(event).value in self.status.possible


def _answers(status: str) -> tuple[tuple[str, str], ...]:
    known = {each.value: answers for each, answers in SETTLEMENTS.items()}
    return tuple((answer.value, meaning) for answer, meaning in known.get(status, ()))


async def with_changes(view: PlanView, handle: PlanHandle) -> PlanView:
    """Return a view that tells, line by line, what differs from the preview before; as it is if that one is not known."""
    if view.replaced is None or view.sealed is None:
        return view
    try:
        async with asyncio.timeout(ANSWER_WITHIN):
            before = await earlier_seal(handle.workflow_client, view.workflow_id, view.replaced.digest)
    except (Unreadable, TimeoutError):
        return view
    # thousands of lines take a while to compare, in which the other pages must be served
    return view if before is None else replace(view, changed=await asyncio.to_thread(difference_lines, before, view.sealed))


class PlanReader:
    """Reader of plans for their pages. The steps of a seal are made once: its digest covers all that they are made of."""

    def __init__(self) -> None:
        self._steps: OrderedDict[str, Steps] = OrderedDict()

    async def read(self, handle: PlanHandle) -> PlanView:
        """Return a plan as it is now.

        Raises:
            NoAnswer: If no worker answers; then there are only the facts that Temporal has.
            NoSuchPlan: If there is no such plan.
            PreviewMismatch: If the digest of the preview does not cover it.
            TimeoutError: If it takes too long.
        """
        async with asyncio.timeout(ANSWER_WITHIN):
            preview, status, audit = await asyncio.gather(handle.preview(), handle.status(), handle.audit())
        steps, parts = await self._steps_of(preview)
        return PlanView(handle.workflow.id, fitting_status(status, preview), preview, audit, steps, parts)

    async def _steps_of(self, preview: PreviewView) -> Steps:
        if preview.sealed is None or preview.digest is None:
            return (), ((),)
        known = self._steps.get(preview.digest)
        if known is None:
            # thousands of steps take seconds, in which the other pages must be served
            known = self._steps[preview.digest] = await asyncio.to_thread(_made, preview.sealed)
        self._steps.move_to_end(preview.digest)
        while len(self._steps) > _REMEMBERED:
            self._steps.popitem(last=False)
        return known


def _made(sealed: Sealed) -> Steps:
    steps = tuple(changes(sealed))
    return steps, tuple(_parts(steps))


def _parts(steps: Sequence[StepChange]) -> list[tuple[StepChange, ...]]:
    parts: list[tuple[StepChange, ...]] = []
    part: list[StepChange] = []
    size = 0
    for step in steps:
        length = _size(step)
        if part and (len(part) >= PART_STEPS or size + length > PART_CHARACTERS):
            parts.append(tuple(part))
            part, size = [], 0
        part.append(step)
        size += length
    return [*parts, tuple(part)]


def _size(step: StepChange) -> int:
    blocks = [*step.blocks, *(block for block in (step.relies_on, step.predicted) if block is not None)]
    return sum(
        len(block.value) + sum(len(line.text) for line in block.lines) + sum(len(cell) for row in block.rows for cell in row)
        for block in blocks
    )


def live_mode(step: StepChange) -> bool:
    """Return True if an approval would let a step go live."""
    return step.goes_to == Mode.LIVE.value
