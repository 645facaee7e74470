"""Recall of a gate's earlier state: after a run that ended badly, and after a reset, which forgets holders and locks."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from airlock.base.text import shorten
    from airlock.gates.messages import CarriedGate, RecallRequest
    from airlock.gates.restored import tell_again, unite
    from airlock.gates.semaphore import Gate
    from airlock.workflows.gates import gate_rounds
    from airlock.workflows.gates.refusals import Refusals
    from airlock.workflows.patches import RECALLED, SEEN_RESET, from_here_on, patched


class GateRecall:
    """Earlier state that a gate still has to take up before it may grant anything.

    Args:
        gate_id: The workflow id of the gate.
        refusals: Its refused messages.
    """

    def __init__(self, gate_id: str, refusals: Refusals) -> None:
        self._id = gate_id
        self._refusals = refusals
        self._resets = self._heeded = 0
        self.ready = True
        """False until the state of an earlier run is taken up."""
        self.after = ""
        """The run whose state is to be taken up; empty if it is unknown."""
        self.unasked = False
        """True until an earlier run is asked for of which the start does not tell: a client may have copied it."""

    def was_reset(self) -> None:
        """Note a reset of the run."""
        self._resets += 1

    @property
    def forgot(self) -> bool:
        """True if the gate was reset, and that has not been considered yet."""
        return self._resets != self._heeded

    @property
    def due(self) -> bool:
        """True if there is something to take up. After a reset the first message that waits for it makes it due."""
        return self.forgot or not self.ready

    async def wait(self) -> None:
        """Wait until the gate may grant: the earlier run may have granted every slot, or be locked."""
        self._heed()
        if not self.ready:
            await workflow.wait_condition(lambda: self.ready)

    async def take_up(self, gate: Gate) -> Gate:
        """Return the gate with the state of its earlier run, if there is one to take up.

        If that state cannot be read, the gate is locked.
        """
        self._heed()
        while not self.ready:
            seen = self._resets
            gate = await self._recall(gate, was_reset=seen > 0)
            # a reset during the recall: its answer may be that of another point
            self.ready = seen == self._resets or not patched(SEEN_RESET)
        return gate

    def _heed(self) -> None:
        # older code did not see a reset: a run that went on then keeps going as its history says
        if self.forgot and patched(SEEN_RESET):
            self.ready = False
        self._heeded = self._resets
        # a client, or older code, that completed earlier tasks has only put off the question
        if self.unasked and from_here_on(RECALLED):
            self.ready = self.unasked = False

    async def _recall(self, gate: Gate, *, was_reset: bool) -> Gate:
        request = RecallRequest(gate=self._id, run=workflow.info().run_id, after=self.after, reset=was_reset)
        found = await gate_rounds.recall(request)
        if found.carried is not None:
            gate = self._restored(found.carried, gate, was_reset=was_reset)
        if found.problem:
            why = shorten(f"the state of an earlier run of this gate cannot be read: {found.problem}")
            gate.doubts.forget_holders(why, workflow.now())
            gate.lock(None, "airlock", why, workflow.now())
        return gate

    def _restored(self, carried: CarriedGate, gate: Gate, *, was_reset: bool) -> Gate:
        restored = carried.gate
        restored.label = gate.label
        restored.signing.begin(gate.signing.life)
        if was_reset:
            unite(restored, gate)
        self._refusals.add_earlier(carried.refused, carried.refusals)
        tell_again(restored)
        return restored
