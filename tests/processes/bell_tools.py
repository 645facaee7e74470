"""A tool whose calls share one HTTP client. Loaded by workers only."""

from collections.abc import AsyncIterator
from typing import ClassVar

import httpx
from pydantic import BaseModel, ConfigDict

from airlock import Opening, Preview, ToolCall, shared, tool


class BellSettings(BaseModel):
    section: ClassVar[str] = "bell"
    url: str


class Nothing(BaseModel):
    model_config = ConfigDict(extra="forbid")


@shared(settings=BellSettings)
async def bell(opening: Opening) -> AsyncIterator[httpx.AsyncClient]:
    kept = httpx.Limits(keepalive_expiry=600)  # one connection, however long a busy machine takes between two requests
    async with httpx.AsyncClient(base_url=opening.settings.url, timeout=60, limits=kept, trust_env=False) as client:
        (await client.post("/open")).raise_for_status()
        yield client
        (await client.post("/close")).raise_for_status()


@tool(name="ring", risk="LOW", reversibility="read_only", shared=[bell])
async def ring(args: Nothing, call: ToolCall) -> dict[str, str]:
    """Ring the bell."""
    answer = await call.shared(bell).post("/ring", headers={"Idempotency-Key": call.idempotency_key})
    return {"said": answer.text}


@ring.dry_run
async def look(args: Nothing, call: ToolCall) -> Preview:
    await call.shared(bell).post("/look")
    return Preview(effect="Would ring the bell.")
