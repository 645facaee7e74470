"""A plan that only visits gates: it asks until it is in, stays until it is told to go, and gives everything back."""

import asyncio
from datetime import timedelta
from typing import Any

from temporalio import activity, workflow

with workflow.unsafe.imports_passed_through():
    from pydantic import BaseModel

    from airlock.base import names
    from airlock.gates.answers import AcquireBusy, AcquireClosed, AcquireQueued, AcquireRefused, AcquireResult
    from airlock.gates.protocol import AcquireRequest, LeaveRequest, LeaveResult

QUEUE = "tiny-plans"


class Visit(BaseModel):
    request: AcquireRequest
    stay: bool = True
    leave: bool = True
    work: bool = False


class Workshop:
    """A workshop in which plans with slots do something; counts how many ever were in at once."""

    def __init__(self) -> None:
        self.now = self.most = self.done = 0

    @activity.defn
    async def work(self) -> None:
        self.now += 1
        self.most = max(self.most, self.now)
        await asyncio.sleep(0.005)
        self.now -= 1
        self.done += 1


@workflow.defn(name=names.PLAN_WORKFLOW)
class TinyPlan:
    def __init__(self) -> None:
        self.result: AcquireResult | None = None
        self.inside = False
        self.heard: list[dict[str, Any]] = []
        self.told = 0
        self.unlocked = 0
        self.go = False

    @workflow.run
    async def run(self, visit: Visit) -> AcquireResult:
        request, asked = visit.request, 0
        while True:
            asked, told, unlocked = asked + 1, self.told, self.unlocked
            request = request.model_copy(update={"held": self.result.held if self.result else ()})
            self.result = await self._activity("acquire", f"acquire:{asked}", request, AcquireResult)
            result = self.result
            if not isinstance(result, AcquireQueued | AcquireClosed):
                break
            if isinstance(result, AcquireQueued):
                await workflow.wait_condition(lambda told=told: self.told > told)
            else:
                await workflow.wait_condition(lambda unlocked=unlocked: self.unlocked > unlocked)
        self.inside = not isinstance(result, AcquireBusy | AcquireRefused)
        if visit.work:
            await workflow.execute_activity("work", activity_id="work", start_to_close_timeout=timedelta(seconds=120))
        if visit.stay:
            await workflow.wait_condition(lambda: self.go)
        self.inside = False
        if visit.leave:
            gates = tuple(held.gate for held in result.held)
            leaving = LeaveRequest(plan_id=request.plan_id, holder=request.holder, request=request.request, gates=gates)
            await self._activity("leave", "leave", leaving, LeaveResult)
        return result

    async def _activity(self, name: str, id: str, argument: Any, result: type[Any]) -> Any:
        return await workflow.execute_activity(
            name, argument, activity_id=id, task_queue=names.WORKFLOW_QUEUE, result_type=result,
            start_to_close_timeout=timedelta(seconds=120), heartbeat_timeout=timedelta(seconds=60),
        )  # fmt: skip

    @workflow.signal
    def granted(self, news: Any) -> None:
        self.told += 1
        self.heard.append({"granted": news})

    @workflow.signal
    def lock(self, news: Any) -> None:
        self.heard.append({"lock": news})

    @workflow.signal
    def unlock(self, news: Any) -> None:
        self.unlocked += 1
        self.heard.append({"unlock": news})

    @workflow.signal
    def leave(self) -> None:
        self.go = True

    @workflow.query
    def state(self) -> dict[str, Any]:
        result = self.result.model_dump(mode="json") if self.result else None
        return {"inside": self.inside, "result": result, "heard": self.heard}
