"""The part of a tool's gate that a call asks for its turn; the turns are the real gate's."""

from typing import Any

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from airlock.gating import HoldOff, Permit, PermitAnswer
    from airlock.window import Turns


@workflow.defn(name="GateWorkflow")
class ToolGate:
    @workflow.init
    def __init__(self, start: Any) -> None:
        self._turns = Turns()

    @workflow.run
    async def run(self, start: Any) -> None:
        await workflow.wait_condition(lambda: False)

    @workflow.update
    def permit(self, permit: Permit) -> PermitAnswer:
        return PermitAnswer(wait=self._turns.turn(permit, workflow.now().timestamp()) or 0.0)

    @workflow.signal
    def hold_off(self, hold: HoldOff) -> None:
        self._turns.hold_off(hold, workflow.now().timestamp())
