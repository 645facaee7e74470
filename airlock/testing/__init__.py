"""Help for authors of tools: fake tools, whole plans on a test server, and a check of one tool's contract."""

from airlock.testing.fake_tool import FakeCall, FakeTool, fake_tool
from airlock.testing.plan_run import PlanRun, PlanStuck, run_plan
from airlock.testing.servers import temporal_server
from airlock.testing.tool_check import PromiseBroken, ToolReport, check_tool

__all__ = [
    "FakeCall",
    "FakeTool",
    "PlanRun",
    "PlanStuck",
    "PromiseBroken",
    "ToolReport",
    "check_tool",
    "fake_tool",
    "run_plan",
    "temporal_server",
]
