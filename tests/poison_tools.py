"""Tools that hand on what a test gives them, unseen."""

from typing import Any

from pydantic import BaseModel, ConfigDict

from airlock.plans.tool import tool
from airlock.plans.tool_call import Preview, Probe, ToolCall


class Anything(BaseModel):
    model_config = ConfigDict(extra="allow")


class Given:
    """The poison of the moment, by the place where a tool hands it on."""

    def __init__(self) -> None:
        self.at: dict[str, Any] = {}

    def take(self, place: str, otherwise: Any = None) -> Any:
        """Return the poison for a place."""
        return self.at.get(place, otherwise)


GIVEN = Given()


@tool(name="keeps", risk="MEDIUM", reversibility="compensable", secrets={"value"})
async def keeps(args: Anything, call: ToolCall) -> Any:
    """Return the poison."""
    call.undo = GIVEN.take("undo token")
    if "error" in GIVEN.at:
        raise RuntimeError(GIVEN.at["error"])
    return GIVEN.take("output")


@keeps.mock
async def _mock(args: Anything, call: ToolCall) -> Any:
    return GIVEN.take("mock")


@keeps.dry_run(partial=True)
async def _look(args: Anything, call: ToolCall) -> Preview:
    said = Preview(effect="keep it")
    # past the model, as code does that builds its answer by hand
    return said.model_copy(update={name: GIVEN.at[name] for name in ("output", "observed", "effect") if name in GIVEN.at})


@keeps.compensate
async def _undo(args: Anything, call: ToolCall) -> None: ...


@keeps.probe
async def _probe(args: Anything, call: ToolCall) -> Probe:
    call.undo = GIVEN.take("undo token")
    said = Probe(happened=True)
    return said.model_copy(update={name: GIVEN.at[name] for name in ("output", "why") if name in GIVEN.at})
