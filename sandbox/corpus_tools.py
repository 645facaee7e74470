"""The 81 tools of the corpus for Airlock: one for each line of `tools.jsonl`, against the corpus service.

A catalogue that names this module offers them all; nothing else of Airlock knows them.
"""

import json
import ssl
from typing import Any, ClassVar
from urllib.parse import quote

import httpx
from pydantic import BaseModel, ConfigDict, Field, JsonValue

from airlock.base.errors import InDoubt, Stale, ToolFailed
from airlock.plans.refs import UNKNOWN
from airlock.plans.tool import Tool, tool
from airlock.plans.tool_call import Preview, Probe, ToolCall
from sandbox.corpus_data import CorpusTool, load_tools

_TLS = ssl.create_default_context()  # once: it is slow to make, and every client wants one
_TIMEOUT = 15.0
_SHOWN = 200


class CorpusSettings(BaseModel):
    """`[settings.corpus]`: where the corpus service listens."""

    section: ClassVar[str] = "corpus"
    base_url: str = Field(min_length=1)


class CorpusArgs(BaseModel):
    """Whatever the API takes, by name; the dry run asks the API itself whether it fits."""

    model_config = ConfigDict(extra="allow")


def build(row: CorpusTool) -> Tool:
    """Return the tool for one method of one API: MEDIUM and reversible if it changes state, else LOW and read-only."""
    module, _, method = row.tool.partition(".")

    async def live(args: CorpusArgs, call: ToolCall) -> JsonValue:
        observed = call.observed if isinstance(call.observed, dict) else {}
        done = await _ask(
            call,
            "POST",
            "call",
            {
                **_target(module, method, args),
                "idempotency_key": call.idempotency_key,
                "if_digest": observed.get("digest"),
                "ours": f"{call.plan_id}/",  # only the earlier steps of this plan may move the API
            },
        )
        return _taken(done, call)

    live.__doc__ = f"Call {method} of the corpus API {module}."
    made = tool(
        name=row.tool,
        risk="MEDIUM" if row.changes_state else "LOW",
        reversibility="reversible" if row.changes_state else "read_only",
        permissions={module},
        settings=CorpusSettings,
        fidelity="probe",
        timeout=20,
        max_attempts=2,
        idempotent=True,
    )(live)
    made.mock(_mock)
    _add_dry_run(made, module, method, changes_state=row.changes_state)
    if row.changes_state:
        made.compensate(_restore)
        made.probe(_probe)
    return made


def _add_dry_run(made: Tool, module: str, method: str, *, changes_state: bool) -> None:
    @made.dry_run
    async def _look(args: CorpusArgs, call: ToolCall) -> Preview:
        """Ask a copy of the API.

        The steps before this one have not run yet, so what it answers, even an error, is not what the live call will get:
        only the arguments are known to fit. That is why the output stays unknown. What is observed is the API's state
        before the whole plan: the live call accepts it as moved by steps of this plan, and by no other program.
        """
        peeked = await _ask(call, "POST", "peek", _target(module, method, args))
        shown = json.dumps(peeked["result"], ensure_ascii=False)
        shown = shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}…"
        return Preview(
            effect=f"calls {method} of {module}; its arguments fit; before the rest of the plan, a copy answers {shown}",
            output=UNKNOWN,
            observed={"digest": peeked["digest_before"]},
            undo=f"puts the state of {module} back to what it was before this call" if changes_state else None,
        )


def _mock(_args: CorpusArgs, _call: ToolCall) -> JsonValue:
    return {"mocked": True}


async def _restore(_args: CorpusArgs, call: ToolCall) -> None:
    token = call.undo if isinstance(call.undo, dict) else await _recorded(call) or {}
    if token.get("undo"):  # a call that moved nothing has no snapshot
        await _ask(call, "POST", "restore", {"undo": token["undo"]})


async def _probe(_args: CorpusArgs, call: ToolCall) -> Probe:
    done = await _recorded(call)
    if done is None:
        return Probe(happened=False, why="the service has no call under its key")
    call.undo = {"undo": done["undo"]} if done["undo"] else None
    return Probe(happened=True, output=done["result"], why="the service has a call under its key")


def _taken(done: dict[str, Any], call: ToolCall) -> JsonValue:
    """Return the result of a call; the token is kept even when the result is an error, which may have come half-way."""
    if done["undo"]:
        call.undo = {"undo": done["undo"]}
    result: JsonValue = done["result"]
    if isinstance(result, dict) and "error" in result:
        raise ToolFailed(str(result["error"]))
    return result


async def _recorded(call: ToolCall) -> dict[str, Any] | None:
    """Return the service's answer under this call's key, None when it did nothing."""
    answer = await _request(call, "GET", f"calls/{quote(call.idempotency_key)}")
    return None if answer.status_code == 404 else _checked(answer)


async def _ask(call: ToolCall, verb: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
    return _checked(await _request(call, verb, path, body))


async def _request(call: ToolCall, verb: str, path: str, body: dict[str, Any] | None = None) -> httpx.Response:
    url = f"{call.settings.base_url.rstrip('/')}/worlds/{quote(call.plan_id)}/{path}"
    async with httpx.AsyncClient(trust_env=False, verify=_TLS, timeout=_TIMEOUT) as client:
        return await client.request(verb, url, json=body)


def _checked(answer: httpx.Response) -> dict[str, Any]:
    """Return the body of an answer; what went wrong, as Airlock wants to hear it, otherwise."""
    if answer.status_code >= 500:
        raise InDoubt(f"the corpus service answered {answer.status_code}: {answer.text[:_SHOWN]}")
    if answer.status_code == 409:
        raise Stale(answer.json()["error"])
    if answer.status_code >= 400:
        raise ToolFailed(answer.json()["error"])
    body: dict[str, Any] = answer.json()
    return body


def _target(module: str, method: str, args: CorpusArgs) -> dict[str, Any]:
    return {"module": module, "method": method, "args": args.model_extra or {}}


# a catalogue offers every tool that it finds in the namespace of a module
globals().update({row.tool.replace(".", "_"): build(row) for row in load_tools()})
