"""The trial of one call: mock, dry run, live call, the same call again, probe, compensation."""

from typing import Any

from pydantic import JsonValue

from airlock.plans.contract import Mode
from airlock.plans.refs import UNKNOWN
from airlock.plans.tool_call import Preview, Probe
from airlock.testing.trial import Trial


class OneCall:
    """The functions of a tool for one call, tried in the order in which a plan uses them.

    Args:
        trial: The tool on its target.
    """

    def __init__(self, trial: Trial) -> None:
        self._trial = trial
        self._output: Any = None
        self._token: JsonValue = None

    async def run(self) -> None:
        """Make the call, after its mock and its dry run; make it again, probe it and undo it."""
        before = await self._trial.look()
        await self._mock(before)
        observed = await self._dry_run(before)
        after = await self._live(before, observed)
        await self._same_key(after, observed)
        await self._probe(after)
        await self._undo_check(after)
        await self._compensate(before)

    async def _mock(self, before: Any) -> None:
        if (function := self._trial.function("mock")) is not None:
            returned = await self._trial.run("mock", function, self._trial.call(Mode.MOCK))
            self._trial.shape("mock", returned)
            self._trial.expect(await self._trial.look() == before, "the mock leaves the target as it was")

    async def _dry_run(self, before: Any) -> JsonValue:
        function = self._trial.function("dry_run") if self._trial.contract.has_dry_run else None
        if function is None:
            return None
        said = await self._trial.run("dry run", function, self._trial.call(Mode.DRY_RUN))
        self._trial.expect(await self._trial.look() == before, "the dry run leaves the target as it was")
        if not self._trial.is_a(Preview, said, "dry run"):
            return None
        if UNKNOWN not in str(said.output):
            self._trial.shape("dry run", said.output)
        # as the live call of a plan gets it: the history holds the names of secrets, not their values
        observed: JsonValue = self._trial.secrets.restore(self._trial.secrets.redact(said.observed))
        return observed

    async def _live(self, before: Any, observed: JsonValue) -> Any:
        call = self._trial.call(Mode.LIVE, observed=observed)
        self._output = self._trial.shape("live call", await self._trial.run("live call", self._trial.tool.live, call))
        self._token = call.undo
        after = await self._trial.look()
        if self._trial.contract.read_only:
            self._trial.must(after == before, "a tool that only reads leaves the target as it was")
        else:
            fix = "choose arguments that change something, and a snapshot that sees it, or declare the tool read_only"
            self._trial.must(after != before, "the live call changes what the snapshot sees", fix)
        return after

    async def _same_key(self, after: Any, observed: JsonValue) -> None:
        """Make the call again as the next attempt after a worker died: same key, no undo token."""
        again = self._trial.call(Mode.LIVE, observed=observed, attempt=2)
        output = self._trial.shape(
            "second call", await self._trial.run("second call with the same key", self._trial.tool.live, again)
        )
        if not self._trial.contract.read_only:
            self._trial.must(await self._trial.look() == after, "the same idempotency key again has no second effect")
            self._trial.expect(output == self._output, "the same idempotency key again returns the same output")
        if self._token is not None:
            self._trial.expect(again.undo is not None, "the same idempotency key again sets the undo token again")
            self._token = again.undo if again.undo is not None else self._token

    async def _probe(self, after: Any) -> None:
        if (function := self._trial.function("probe")) is None:
            return
        call = self._trial.call(Mode.LIVE)
        said = await self._trial.run("probe", function, call)
        self._trial.expect(await self._trial.look() == after, "the probe leaves the target as it was")
        if not self._trial.is_a(Probe, said, "probe"):
            return
        # None is an honest answer: the target cannot tell
        self._trial.expect(said.happened is not False, "the probe does not deny a call that took effect")
        if said.happened:
            self._trial.shape("probe", said.output)
            if self._token is not None:
                self._trial.expect(call.undo is not None, "the probe sets the undo token of a call that took effect")
        other = await self._trial.run("probe", function, self._trial.call(Mode.LIVE, step="never-called"))
        happened = isinstance(other, Probe) and other.happened is True
        self._trial.expect(not happened, "the probe does not confirm a call that was never made")

    async def _undo_check(self, after: Any) -> None:
        if (function := self._trial.function("undo_check")) is not None:
            said = await self._trial.run("undo check", function, self._trial.call(Mode.LIVE, undo=self._token))
            self._trial.is_a(Preview, said, "undo check")
            self._trial.expect(await self._trial.look() == after, "the undo check leaves the target as it was")

    async def _compensate(self, before: Any) -> None:
        function = self._trial.function("compensate") if self._trial.contract.undoable else None
        if function is None:
            return
        await self._trial.run("compensate", function, self._trial.call(Mode.LIVE, undo=self._token))
        self._trial.must(await self._trial.look() == before, "live, then compensate, restores the target")
        await self._trial.run("second compensate", function, self._trial.call(Mode.LIVE, undo=self._token))
        self._trial.expect(await self._trial.look() == before, "a second compensate does no harm")
