"""Honest people beside an attacker: a requester, whose plans run, and an approver, who reads seals and signs them."""

import asyncio
import itertools
import threading
from collections import Counter
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from typing import Any, TypeVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, rule
from temporalio.client import Client

from airlock.base.errors import AirlockError
from airlock.base.keys import read_private_key
from airlock.client import PlanHandle
from airlock.plans.state import State
from airlock.run.decisions.signature import sign
from airlock.run.messages import Approve
from airlock.temporal.connection import learn_of_server
from tests.attack.powers import Powers
from tests.workflows.protected import Place, keyring, place
from tests.workflows.world import WORLD

TOOLS_OF_A_PLAN = st.lists(st.sampled_from(["put", "send", "once", "share"]), min_size=1, max_size=3)
ONCE = ("send", "once")
"""The tools whose calls are made at most once for an approval."""
_NUMBERS = itertools.count(1)
_T = TypeVar("_T")
_KEY = Ed25519PrivateKey.generate()
PRIVATE = _KEY.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
PUBLIC = _KEY.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode() + " alice"
EVIL = "evil"
"""A word of every step that an attacker adds to a plan; no honest approver signs a preview that shows it."""
REACHABLE = 20.0
"""Seconds that an honest person waits for a plan that an attacker may have taken away."""


class Loop:
    """The event loop of the server's clients and workers, in a thread of its own: the state machine is not async."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, _T], within: float = 240.0) -> _T:
        """Run to the end, and fail after `within` seconds."""
        return asyncio.run_coroutine_threadsafe(asyncio.wait_for(work, within), self._loop).result(within + 10)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()


class HonestPeople(RuleBasedStateMachine):
    """A small Airlock with plans that people submit and approve, in a namespace that an attacker shares."""

    loop: Loop
    server: Client

    plans = Bundle("plans")

    async def _open(self) -> Place:
        made = await place(
            self.server, f"attack{next(_NUMBERS)}", keyring("k"),
            signature_required="always", authorized_keys=[PUBLIC],
        )  # fmt: skip
        await learn_of_server(made.workers)  # its workers name their setup, and new plans take the short path
        await self.stack.enter_async_context(made.working())
        return made

    @initialize(target=plans, tools=TOOLS_OF_A_PLAN)
    def begin(self, tools: list[str]) -> Any:
        """Open a namespace, and let a plan that was approved wait inside its first call."""
        self.approved: set[tuple[str, str]] = set()
        self.touched: set[str] = set()
        self.unrepeatable: set[str] = set()
        self.planned: list[str] = []
        self.votes: Counter[str] = Counter()
        self.handles: dict[str, PlanHandle] = {}
        self.done: Counter[str] = Counter()
        self.order: list[str] = []
        self.stack = AsyncExitStack()
        self.place: Place = self.loop.run(self._open())
        self.powers = Powers(self.place.attacker)
        return self.submit_plan(tools, approve=True, hold=True)

    @rule(target=plans, tools=TOOLS_OF_A_PLAN, approve=st.booleans(), hold=st.booleans())
    def submit(self, tools: list[str], approve: bool, hold: bool) -> Any:
        """Submit an honest plan; approve it or not, and let its first call take long or not."""
        return self.submit_plan(tools, approve, hold)

    def submit_plan(self, tools: list[str], approve: bool, hold: bool) -> Any:
        plan_id = f"attack-{next(_NUMBERS)}"
        steps: list[dict[str, Any]] = []
        for number, tool in enumerate(tools):
            args = (
                {"to": "jo@acme.test", "body": plan_id + str(number)}
                if tool == "send"
                else {"key": f"k{number}", "value": number}
            )
            steps.append({
                "id": f"s{number}", "agent": "agent", "tool": tool, "args": args, "confidence": 0.95,
                "after": [f"s{number - 1}"] if number else [],
            })  # fmt: skip
        self.unrepeatable |= {f"{plan_id}/{step['id']}" for step in steps if step["tool"] in ONCE}
        document = {"plan_id": plan_id, "goal": "honest work", "requested_by": "rita", "steps": steps}
        self.planned.append(plan_id)
        handle = self._honest(self.place.airlock.submit(document))
        if handle is not None:
            self.handles[plan_id] = handle
        if hold:
            WORLD.hold(plan_id, "s0")
        if approve:
            self._honest(self._approved(plan_id))
        return plan_id

    @rule(plan_id=plans)
    def go_on(self, plan_id: str) -> None:
        """Let the call end that takes long."""
        self.loop.run(self._let_go(plan_id))

    async def _let_go(self, plan_id: str) -> None:
        WORLD.hold(plan_id, "s0").set()

    @rule(plan_id=plans)
    def approve(self, plan_id: str) -> None:
        """Read a sealed preview, and sign it if it is the honest plan's."""
        self._honest(self._approved(plan_id))

    async def _approved(self, plan_id: str) -> None:
        handle = self.handles.get(plan_id)
        if handle is None:  # an attacker kept it from being submitted
            return
        status = await handle.wait_for(State.AWAITING_APPROVAL, State.LOCKED)
        if status.state is not State.AWAITING_APPROVAL:
            return
        preview = await handle.preview()
        if preview.digest is None or preview.sealed is None or EVIL in preview.text:
            return
        self.approved |= {(plan_id, each.id) for each in preview.sealed.steps}
        said = Approve(by="alice", digest=preview.digest)
        signature = sign(read_private_key(PRIVATE), plan_id, said, preview.digest)
        self.votes[plan_id] += 1
        await handle.decide("approve", by="alice", digest=preview.digest, signature=signature)

    def _honest(self, work: Coroutine[Any, Any, _T]) -> _T | None:
        """Attempt something as an honest person. An attacker may make it fail, never do something else."""
        try:
            return self.loop.run(work, REACHABLE)
        except (AirlockError, TimeoutError):
            return None
