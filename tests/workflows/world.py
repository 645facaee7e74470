"""A small world for workflow tests: real state in this process, and tools that change it, fail, hang and lose answers."""

import asyncio
import base64
import random
from collections import Counter, defaultdict
from typing import Any

from pydantic import BaseModel, ConfigDict

from airlock.base.errors import InDoubt, Stale, ToolFailed
from airlock.plans.refs import UNKNOWN
from airlock.plans.tool import tool
from airlock.plans.tool_call import Preview, Probe, ToolCall


class World:
    """State by plan, every effect by idempotency key, and what is to go wrong at which step."""

    def __init__(self) -> None:
        self.state: dict[str, dict[str, Any]] = defaultdict(dict)
        self.effects: Counter[str] = Counter()
        self.attempts: Counter[str] = Counter()
        self.log: list[tuple[str, str, str]] = []
        self.trouble: dict[tuple[str, str], list[str]] = {}
        self.undo_trouble: dict[tuple[str, str], int] = {}
        self.holds: dict[tuple[str, str], asyncio.Event] = {}
        self.running: set[tuple[str, str]] = set()
        self.overlap: dict[str, int] = defaultdict(int)
        self.inside: dict[str, set[str]] = defaultdict(set)
        self.together: dict[str, list[frozenset[str]]] = defaultdict(list)
        self.fences: dict[str, list[int | None]] = defaultdict(list)
        self.tokens_found: dict[tuple[str, str], list[Any]] = defaultdict(list)

    def hold(self, plan: str, step: str) -> asyncio.Event:
        """Make a step's live call wait until the event is set."""
        return self.holds.setdefault((plan, step), asyncio.Event())

    def release(self) -> None:
        """Let every call go on that waits."""
        for hold in self.holds.values():
            hold.set()

    async def live(self, call: ToolCall, effect: Any) -> Any:
        """Carry out one live call with whatever trouble was ordered for it."""
        place = (call.plan_id, call.step_id)
        self.attempts[call.idempotency_key] += 1
        self.log.append(("live", *place))
        self.running.add(place)
        self.overlap[call.plan_id] = max(self.overlap[call.plan_id], sum(plan == call.plan_id for plan, _ in self.running))
        try:
            if place in self.holds:
                await self.holds[place].wait()
            troubles = self.trouble.get(place, [])
            kind = troubles.pop(0) if troubles else "none"
            if kind != "none":
                return self._go_wrong(kind, call, effect)
            return self._apply(call, effect)
        finally:
            self.running.discard(place)

    def _go_wrong(self, kind: str, call: ToolCall, effect: Any) -> Any:
        """Fail as ordered, before or after the effect."""
        if kind in ("lost_after", "shape", "boom_after", "cancelled_after"):
            self._apply(call, effect)
        if kind == "shape":
            return "not a dict"
        raise {
            "fail": ToolFailed("the target refused"),
            "retry": ToolFailed("the target is busy", retry=True),
            "retry_in_an_hour": ToolFailed("the target is busy", retry=True, after=3_600.0),
            "stale": Stale("somebody else changed it"),
            "lost": InDoubt("connection lost before it was sent, as far as one can tell"),
            "lost_after": InDoubt("connection lost after it was sent"),
            "boom": RuntimeError("a bug in the tool"),
            "boom_after": RuntimeError("a bug after the effect"),
            "cancelled_after": asyncio.CancelledError(),
        }[kind]

    def _apply(self, call: ToolCall, effect: Any) -> Any:
        if self.effects[call.idempotency_key] == 0 or call.step_id.startswith("mail"):
            effect()
            self.effects[call.idempotency_key] += 1
        return {"key": call.idempotency_key, "step": call.step_id}


WORLD = World()


class Put(BaseModel):
    model_config = ConfigDict(extra="forbid")
    key: str
    value: Any = None


class Send(BaseModel):
    model_config = ConfigDict(extra="forbid")
    to: str
    body: str = ""


class Look(BaseModel):
    model_config = ConfigDict(extra="forbid")
    key: str = ""


@tool(name="put", risk="MEDIUM", reversibility="reversible", timeout=30, max_attempts=3)
async def put(args: Put, call: ToolCall) -> dict[str, Any]:
    """Set a key."""
    state = WORLD.state[call.plan_id]
    if (
        WORLD.effects[call.idempotency_key] == 0
        and call.observed is not None
        and call.observed != {"was": state.get(args.key)}
    ):
        raise Stale(f"{args.key} has changed")
    if WORLD.effects[call.idempotency_key] == 0:
        WORLD.state["undo"][call.idempotency_key] = {"had": args.key in state, "was": state.get(args.key)}
    call.undo = {"key": args.key, **WORLD.state["undo"][call.idempotency_key]}
    return await WORLD.live(call, lambda: state.__setitem__(args.key, args.value))


@put.mock
def _put_mock(args: Put, call: ToolCall) -> dict[str, Any]:
    return {"key": "mock", "step": call.step_id}


@put.dry_run(partial=True)
async def _put_dry(args: Put, call: ToolCall) -> Preview:
    WORLD.log.append(("dry", call.plan_id, call.step_id))
    if args.key == "undryable" or (args.key == "until_fixed" and WORLD.state[call.plan_id].get("broken")):
        raise ToolFailed("cannot look at this key")
    state = WORLD.state[call.plan_id]
    return Preview(
        effect=f"set {args.key}",
        output={"key": UNKNOWN, "step": call.step_id},
        observed={"was": state.get(args.key)},
        undo=f"set {args.key} back",
    )


@put.compensate
async def _put_undo(args: Put, call: ToolCall) -> None:
    WORLD.log.append(("undo", call.plan_id, call.step_id))
    left = WORLD.undo_trouble.get((call.plan_id, call.step_id), 0)
    if left:
        WORLD.undo_trouble[(call.plan_id, call.step_id)] = left - 1
        raise ToolFailed("cannot undo right now")
    if WORLD.effects[call.idempotency_key] == 0:
        return
    state, token = WORLD.state[call.plan_id], call.undo
    if token["had"]:
        state[token["key"]] = token["was"]
    else:
        state.pop(token["key"], None)


@put.probe
async def _put_probe(args: Put, call: ToolCall) -> Probe:
    if (call.plan_id, "probe") in WORLD.holds:
        WORLD.log.append(("probe", call.plan_id, call.step_id))
        await WORLD.holds[(call.plan_id, "probe")].wait()
        return Probe(happened=False, why="looked too early")
    if args.key.startswith("noprobe"):
        return Probe(happened=None, why="nobody can tell")
    if WORLD.effects[call.idempotency_key]:
        call.undo = {"key": args.key, **WORLD.state["undo"][call.idempotency_key]}
        return Probe(happened=True, output={"key": call.idempotency_key, "step": call.step_id}, why="it is there")
    return Probe(happened=False, why="it is not there")


linger = tool(name="linger", risk="MEDIUM", reversibility="reversible", timeout=600, max_attempts=3)(put.live)
"""`put` for calls that a test holds for long; a call of `put` that is held longer than it may take is made once more."""
linger.mock(_put_mock)
linger.dry_run(partial=True)(_put_dry)
linger.compensate(_put_undo)
linger.probe(_put_probe)


@tool(name="send", risk="HIGH", reversibility="irreversible", timeout=30, permissions={"send"})
async def send(args: Send, call: ToolCall) -> dict[str, Any]:
    """Send a message that cannot be taken back."""
    sent = WORLD.state[call.plan_id].setdefault("sent", [])
    return await WORLD.live(call, lambda: sent.append(args.to))


@send.dry_run(partial=True)
async def _send_dry(args: Send, call: ToolCall) -> Preview:
    return Preview(effect=f"send to {args.to}")


@tool(name="look", risk="LOW", reversibility="read_only", timeout=30)
async def look(args: Look, call: ToolCall) -> dict[str, Any]:
    """Read a key."""
    return await WORLD.live(call, lambda: None) | {"found": WORLD.state[call.plan_id].get(args.key)}


@look.dry_run
async def _look_dry(args: Look, call: ToolCall) -> Preview:
    return Preview(effect=f"read {args.key}", output={"found": WORLD.state[call.plan_id].get(args.key)})


@tool(name="vast", risk="LOW", reversibility="compensable", timeout=30)
async def vast(args: Look, call: ToolCall) -> dict[str, Any]:
    """Return a text that nothing predicted, and keep one as undo token; the world says how long they are."""
    sizes = WORLD.state[call.plan_id]
    call.undo = noise(f"token of {call.step_id}", sizes.get("token", 0))
    return await WORLD.live(call, lambda: None) | {"found": noise(f"output of {call.step_id}", sizes.get("output", 0))}


def noise(seed: str, size: int) -> str:
    """Return a text that hardly compresses; quickly, because it is made in the event loop that sends the heartbeats."""
    return base64.b64encode(random.Random(seed).randbytes(size)).decode()[:size]


@vast.dry_run
async def _vast_dry(args: Look, call: ToolCall) -> Preview:
    return Preview(effect=f"read {args.key}")


@vast.compensate
async def _vast_undo(args: Look, call: ToolCall) -> None:
    WORLD.log.append(("undo", call.plan_id, call.step_id))


@tool(name="once", risk="MEDIUM", reversibility="compensable", timeout=30)
async def once(args: Put, call: ToolCall) -> dict[str, Any]:
    """Set a key; not idempotent, so called once."""
    WORLD.tokens_found[(call.plan_id, call.step_id)].append(call.undo)
    call.undo = {"key": args.key}
    return await WORLD.live(call, lambda: WORLD.state[call.plan_id].__setitem__(args.key, args.value))


@once.dry_run
async def _once_dry(args: Put, call: ToolCall) -> Preview:
    return Preview(effect=f"set {args.key} once")


@once.compensate
async def _once_undo(args: Put, call: ToolCall) -> None:
    WORLD.log.append(("undo", call.plan_id, call.step_id))
    WORLD.state[call.plan_id].pop(args.key, None)


@tool(name="hasty", risk="MEDIUM", reversibility="compensable", timeout=1.0)
async def hasty(args: Put, call: ToolCall) -> dict[str, Any]:
    """Set a key; not idempotent, and gives up after one second: for calls that are to be given up."""
    return await WORLD.live(call, lambda: WORLD.state[call.plan_id].__setitem__(args.key, args.value))


@hasty.dry_run
async def _hasty_dry(args: Put, call: ToolCall) -> Preview:
    return Preview(effect=f"set {args.key} in haste")


@hasty.compensate
async def _hasty_undo(args: Put, call: ToolCall) -> None:
    WORLD.log.append(("undo", call.plan_id, call.step_id))
    WORLD.state[call.plan_id].pop(args.key, None)


class Shared(BaseModel):
    model_config = ConfigDict(extra="forbid")
    key: str
    value: Any = None


@tool(name="share", risk="MEDIUM", reversibility="reversible", timeout=30, resources=("shared:{key}",))
async def share(args: Shared, call: ToolCall) -> dict[str, Any]:
    """Set a key that all plans share; says who is inside at the same time, and with which fence it came."""
    WORLD.inside[args.key].add(call.plan_id)
    WORLD.together[args.key].append(frozenset(WORLD.inside[args.key]))
    WORLD.fences[args.key].append(call.fence)
    call.undo = {"key": args.key, "was": WORLD.state["shared"].get(args.key)}
    try:
        return await WORLD.live(call, lambda: WORLD.state["shared"].__setitem__(args.key, args.value))
    finally:
        WORLD.inside[args.key].discard(call.plan_id)


@share.dry_run(partial=True)
async def _share_dry(args: Shared, call: ToolCall) -> Preview:
    return Preview(effect=f"set the shared {args.key}", output={"key": UNKNOWN, "step": call.step_id})


@share.compensate
async def _share_undo(args: Shared, call: ToolCall) -> None:
    WORLD.log.append(("undo", call.plan_id, call.step_id))
    if call.undo["was"] is None:
        WORLD.state["shared"].pop(args.key, None)
    else:
        WORLD.state["shared"][args.key] = call.undo["was"]


@tool(name="brief", risk="MEDIUM", reversibility="irreversible", timeout=3.0, resources=("shared:{key}",))
async def brief(args: Shared, call: ToolCall) -> dict[str, Any]:
    """Set a shared key within three seconds."""
    return await WORLD.live(call, lambda: WORLD.state["shared"].__setitem__(args.key, args.value))


@brief.dry_run
async def _brief_dry(args: Shared, call: ToolCall) -> Preview:
    return Preview(effect=f"set the shared {args.key}")


@tool(name="narrow", risk="MEDIUM", reversibility="reversible", timeout=30, max_concurrent=2)
async def narrow(args: Shared, call: ToolCall) -> dict[str, Any]:
    """Do something of which the target stands only two at once."""
    WORLD.inside["narrow"].add(f"{call.plan_id}/{call.step_id}")
    WORLD.together["narrow"].append(frozenset(WORLD.inside["narrow"]))
    try:
        return await WORLD.live(call, lambda: None)
    finally:
        WORLD.inside["narrow"].discard(f"{call.plan_id}/{call.step_id}")


@narrow.dry_run
async def _narrow_dry(args: Shared, call: ToolCall) -> Preview:
    return Preview(effect="go through the narrow door")


@narrow.compensate
async def _narrow_undo(args: Shared, call: ToolCall) -> None:
    WORLD.log.append(("undo", call.plan_id, call.step_id))
