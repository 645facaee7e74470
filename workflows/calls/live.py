"""LIVE: make the approved calls, as parallel as the graph allows, and record the outcome of every call."""

import asyncio
from collections.abc import Callable
from functools import partial

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from airlock.gates.answers import AcquireGranted
    from airlock.plans.schedule import MAX_IN_FLIGHT, Schedule
    from airlock.run.decisions.approval_age import too_old
    from airlock.run.live.call_messages import CallRequest
    from airlock.run.live.call_results import after_calls
    from airlock.run.live.gate_requests import all_held, held_names, tool_slots
    from airlock.run.live.load import Load
    from airlock.run.live.opening import Opening
    from airlock.run.state import Run
    from airlock.workflows.calls.chain_calls import ChainCalls
    from airlock.workflows.calls.gate_visits import GateVisits
    from airlock.workflows.calls.probes import probe_calls_in_doubt
    from airlock.workflows.calls.stay import Stay


class LiveStage:
    """The LIVE stage of a run, from entry to exit.

    It ends when no call is in flight, and the run has left LIVE or must continue as new.

    Args:
        run: The plan's run.
        gates: The gates that granted this run its slots.
        publish: Called after each change that `status`, details or search attributes show.
        full: Returns True when the history is so long that the run must continue as new between calls.
        held: The names of what the run will hold; by default of what it holds.
    """

    def __init__(
        self, run: Run, gates: GateVisits, publish: Callable[[], None], full: Callable[[], bool],
        held: frozenset[str] | None = None,
    ) -> None:  # fmt: skip
        self._run = run
        self._publish = publish
        self._full = full
        self._stay = Stay(run)
        self._tasks: set[asyncio.Task[None]] = set()
        self._started_any = False
        self._opened: tuple[str, ...] = ()
        admitted = run.contracts()
        contracts = {step: admitted.contract(step) for step in run.approved}
        held = held_names(run) if held is None else held
        self._schedule = Schedule(
            admitted.parents,
            wanted=run.approved,
            done=run.live,
            late=[step for step, contract in contracts.items() if contract.irreversible],
            chainable=[
                step
                for step, contract in contracts.items()
                if not contract.guarded and all_held(run, self._stay.steps[step], held)
            ],
            group={step: contract.tool for step, contract in contracts.items() if contract.max_concurrent is not None},
            slots=tool_slots(run),
        )
        self._calls = ChainCalls(run, self._stay, self._schedule, gates, full)
        self._load = Load(self._calls.weight, bounded=admitted.epoch >= 1)

    async def run(self, opening: Opening | None = None) -> None:
        """Make the calls, then advance the run to its next state.

        Args:
            opening: The attempts at the calls that `begin` returned; the stage goes on after them.
        """
        if opening is not None:
            self._go_on(opening)
        watch = asyncio.create_task(self._stay.watch_deadline()) if self._run.deadline_at else None
        try:
            await self._make_calls()
        finally:
            if watch is not None:
                watch.cancel()
        await probe_calls_in_doubt(self._run)
        if not (self._full() and self._stay.may_start()):
            now = workflow.now()
            after_calls(
                self._run,
                self._calls.stale,
                now,
                deadline_passed=self._stay.deadline_passed,
                aged=self._stay.aged or too_old(self._run, now),
                stuck=not self._started_any and not self._run.displaced,
            )
        if self._stay.turned_away and not self._stay.stopped():
            await self._stay.renew()

    def _go_on(self, opening: Opening) -> None:
        if not isinstance(opening.answer, AcquireGranted) or not opening.answer.receipt:
            # its worker is gone, or the gates have closed since: what remains needs another entry
            self._stay.turned_away = "the worker that entered LIVE is gone"
        self._calls.opening = opening.attempts
        self._add(self._opened)

    async def _make_calls(self) -> None:
        while True:
            if self._stay.may_start() and not self._full():
                self._start()
            self._run.in_flight = self._schedule.running if self._tasks else ()
            if not self._tasks:
                return
            if not self._calls.opening:  # the calls that opened the stay are still to be recorded, and may be all there are
                self._publish()
            stopped = self._stay.stopped()
            if stopped:
                self._calls.drop()
            # a lock must wake this loop too: otherwise it would drop waiting calls only when the next call ends
            await workflow.wait_condition(partial(self._should_wake, stopped))
            self._calls.changed = False

    def _start(self) -> None:
        limit = MAX_IN_FLIGHT - len(self._tasks)
        for chain in self._schedule.take(limit, self._load.take):
            self._add(chain)

    def _add(self, chain: tuple[str, ...]) -> None:
        self._started_any = True
        task = asyncio.create_task(self._calls.make(chain))
        self._tasks.add(task)
        task.add_done_callback(partial(self._ended, chain))

    def _ended(self, chain: tuple[str, ...], task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        self._load.drop(chain)

    def _should_wake(self, knew_stopped: bool) -> bool:
        return self._calls.changed or not self._tasks or (self._stay.stopped() and not knew_stopped)

    def begin(self) -> list[CallRequest]:
        """Return the requests for the calls that alone may start now, which start the stage; empty if there are none."""
        self._opened = self._schedule.only(self._load.take) if self._stay.may_start() else ()
        return self._calls.requests(self._opened)
