"""The tool of docs/guides/writing-a-tool.md whose calls share one HTTP client."""

from collections.abc import AsyncIterator
from typing import ClassVar

import httpx
from pydantic import BaseModel, ConfigDict

from airlock import Opening, ToolCall, shared, tool


class RoomSettings(BaseModel):
    """`[settings.rooms]`: the address of the booking system."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    section: ClassVar[str] = "rooms"
    url: str


class FreeRooms(BaseModel):
    """Arguments of `free_rooms`."""

    model_config = ConfigDict(extra="forbid")
    building: str


@shared(settings=RoomSettings)
async def booking(opening: Opening) -> AsyncIterator[httpx.AsyncClient]:
    """Keep one client of the booking system open while the worker runs."""
    headers = {"Authorization": f"Bearer {opening.secret('BOOKING_TOKEN')}"}
    async with httpx.AsyncClient(base_url=opening.settings.url, headers=headers, timeout=10) as client:
        yield client


@tool(name="free_rooms", risk="LOW", reversibility="read_only", shared=[booking], needs_secrets={"BOOKING_TOKEN"})
async def free_rooms(args: FreeRooms, call: ToolCall) -> list[str]:
    """List the meeting rooms that are free now."""
    answer = await call.shared(booking).get("/free", params={"building": args.building})
    answer.raise_for_status()
    return [str(room) for room in answer.json()]
