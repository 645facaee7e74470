"""An attacker with the namespace's API against a small Airlock: what took effect is read from the world."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Any, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule
from temporalio.api.common.v1 import Payload

from airlock.base import names
from tests.attack.honest import EVIL, HonestPeople
from tests.attack.powers import invented
from tests.workflows.attacker import JUNK, NESTED, made_checked, plain
from tests.workflows.world import WORLD

_PLACES = st.integers(0, 999)
OURS = ("attack-", "mallory")
"""The beginnings of the ids of attacked plans: the world belongs to every test of this process."""
_T = TypeVar("_T")
SIGNALS = (*["approve", "unlock"] * 3, "lock", "rollback", "abort", "deny", "resolve", "release", "settled", "report")
PAYLOADS = ("invented", "copied", "copied and marked", "own question", "empty", "junk", "nested")
DEEDS = (*["complete"] * 4, "fail", "cancel", "heartbeat", "options")
MEDDLING = ("pause", "unpause", "reset an activity", "move")
ASKED = {names.LIVE_QUEUE: "call", names.REHEARSE_QUEUE: "preview", names.WORKFLOW_QUEUE: "acquire"}
STARTS = ("plain", "retry", "cron", "signal", "replace", "schedule")


def effects_of_attacks() -> Counter[str]:
    """Return how often each call of the attacked plans took effect, by idempotency key."""
    return Counter({key: times for key, times in list(WORLD.effects.items()) if key.startswith(OURS)})


def attempts_at(place: str) -> int:
    """Return how often a call was made, each of its idempotency keys counted."""
    return sum(times for key, times in list(WORLD.attempts.items()) if key == place or key.startswith(f"{place}/"))


def _pick(data: st.DataObject, found: Sequence[_T]) -> _T | None:
    """Draw one of what there is at this moment; None if there is nothing.

    How much there is depends on time, and must not change what is drawn: Hypothesis reports that as a failure of its own,
    and an invariant that broke would be lost in it.
    """
    number = data.draw(_PLACES)
    return found[number % len(found)] if found else None


class Attack(HonestPeople):
    """Honest plans, an honest approver who signs, and everything that an attacker without keys can do beside them."""

    broken: list[str]
    """Every invariant that broke, with what the attacker did before, in order.

    Hypothesis repeats a run that failed. The next one meets another moment and may end well: it then reports that, not why.
    """

    # what the attacker does

    @rule(
        data=st.data(),
        kind=st.sampled_from(PAYLOADS),
        deed=st.sampled_from(["complete"] * 4 + ["fail", "cancel", "heartbeat", "options"]),
    )
    def answer(self, data: st.DataObject, kind: str, deed: str) -> None:
        """Answer, fail, cancel or overwrite an activity that an honest worker carries out."""
        pending = self.loop.run(self.powers.pending())
        chosen = _pick(data, pending)
        said = deed in ("complete", "heartbeat")
        payload = self._payload(data, kind, chosen.kind if chosen is not None else "") if said else None
        if chosen is None:
            return
        if deed == "complete":
            self.loop.run(self.powers.complete(chosen, payload))
        elif deed == "heartbeat":
            self.loop.run(self.powers.heartbeat(chosen, payload))
        else:
            attempt = {"fail": self.powers.fail, "cancel": self.powers.cancel, "options": self.powers.change_options}[deed]
            self.loop.run(attempt(chosen))
        self._count(deed)

    @rule(
        data=st.data(),
        queue=st.sampled_from(list(ASKED)),
        kind=st.sampled_from(PAYLOADS),
    )
    def steal_call(self, data: st.DataObject, queue: str, kind: str) -> None:
        """Compete with honest workers for an activity."""
        if self.loop.run(self.powers.steal_call(queue, self._payload(data, kind, ASKED[queue]))):
            self._count("stolen task")

    @rule(data=st.data(), activity_id=st.sampled_from(["s0:live", "s1:live", "other"]))
    def steal_decision(self, data: st.DataObject, activity_id: str) -> None:
        """Compete with honest workers for a workflow task, and schedule a call with a copied question."""
        question = self._payload(data, "copied", "call")
        assert question is not None
        if self.loop.run(self.powers.steal_decision("call", activity_id, question, names.LIVE_QUEUE)):
            self._count("stolen decision")

    @rule(data=st.data(), how=st.sampled_from(STARTS), copied=st.booleans())
    def start(self, data: st.DataObject, how: str, copied: bool) -> None:
        """Start a plan, a gate or a claim with a payload that claims to be far already."""
        workflow_type, workflow_id = data.draw(st.sampled_from([
            *((names.PLAN_WORKFLOW, names.plan_workflow_id(plan)) for plan in self.planned),
            (names.PLAN_WORKFLOW, names.plan_workflow_id("mallory")), (names.GATE_WORKFLOW, names.LIVE_GATE),
        ]))  # fmt: skip
        self.touched.add(workflow_id)
        lie = {"run": {"plan": {}, "state": "LIVE", "approved": ["s0"]}}
        payload = self._payload(data, "copied", "start") if copied else plain(lie)
        assert payload is not None
        self.loop.run(self.powers.start(workflow_type, workflow_id, payload, how))
        self._count(f"start {how}")

    @rule(data=st.data(), name=st.sampled_from(SIGNALS), kind=st.sampled_from(["said", *PAYLOADS]))
    def signal(self, data: st.DataObject, name: str, kind: str) -> None:
        """Say something to any workflow, as an approver, an operator or a worker would."""
        runs = [workflow_id for workflow_id, _, is_open in self.loop.run(self.powers.runs()) if is_open]
        chosen = _pick(data, sorted(set(runs)))
        signature = data.draw(st.sampled_from([None, "AAAA"]))
        copied = None if kind == "said" else self._payload(data, kind, "signal")
        if chosen is None:
            return
        said: dict[str, Any] = {"by": "alice", "reason": "because", "step": "s0", "outcome": "did_not_happen"}
        if name == "approve":
            said = {"by": "alice", "digest": self._digest(chosen), "signature": signature}
        payload = plain(said) if kind == "said" else copied
        self.loop.run(self.powers.signal(chosen, name, [] if payload is None else [payload]))
        self._count(f"signal {name}")

    @rule(plan_id=HonestPeople.plans, by=st.sampled_from(["rita", "alice", "mallory"]), known=st.booleans())
    def amend(self, plan_id: str, by: str, known: bool) -> None:
        """Put a step of one's own into an honest plan, in the name of its requester, of its approver or in one's own."""
        step = {
            "id": "s0" if known else EVIL, "agent": "agent", "tool": "send", "confidence": 0.95,
            "args": {"to": f"mallory@{EVIL}.test", "body": plan_id},
        }  # fmt: skip
        said = plain({"by": by, "reason": "cleaning up", "steps": [step]})
        self.loop.run(self.powers.signal(names.plan_workflow_id(plan_id), "amend", [said]))
        self._count("amend")

    @rule(data=st.data(), how=st.sampled_from(MEDDLING))
    def meddle(self, data: st.DataObject, how: str) -> None:
        """Pause, reset or move an activity, or let it go on."""
        chosen = _pick(data, self.loop.run(self.powers.pending()))
        if chosen is not None:
            self.loop.run(self.powers.meddle(chosen, how.split()[0]))
            self._count(how)

    @rule(data=st.data(), plan_id=HonestPeople.plans, commands=st.booleans(), release=st.booleans())
    def pin(self, data: st.DataObject, plan_id: str, commands: bool, release: bool) -> None:
        """Pin a plan to a build of the attacker's own, which commands a call with a copied question."""
        question = self._payload(data, "copied", "call") if commands else None
        if self.loop.run(self.powers.pin(names.plan_workflow_id(plan_id), question, release=release)):
            self._count("pinned task")

    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        """Delete the latest run of a plan, of a gate or of a claim, open or not."""
        chosen = _pick(data, sorted({workflow_id for workflow_id, _, _ in self.loop.run(self.powers.runs())}))
        if chosen is not None:
            self.touched.add(chosen)
            self.loop.run(self.powers.delete(chosen))
            self._count("delete")

    @rule(data=st.data(), last=st.booleans(), forget=st.booleans())
    def reset(self, data: st.DataObject, last: bool, forget: bool) -> None:
        chosen = _pick(data, self.loop.run(self.powers.runs()))
        if chosen is not None:
            workflow_id, run_id, _ = chosen
            self.touched.add(workflow_id)
            self.loop.run(self.powers.reset(workflow_id, run_id, last, forget))
            self._count("reset")

    @rule(data=st.data())
    def terminate(self, data: st.DataObject) -> None:
        runs = sorted({workflow_id for workflow_id, _, is_open in self.loop.run(self.powers.runs()) if is_open})
        chosen = _pick(data, runs)
        if chosen is not None:
            self.touched.add(chosen)
            self.loop.run(self.powers.terminate(chosen))
            self._count("terminate")

    def _payload(self, data: st.DataObject, kind: str, of: str) -> Payload | None:
        """A payload of some kind: invented, copied from a history, marked as checked, or none at all."""
        if kind in ("invented", "junk", "nested", "empty"):
            return {"invented": invented(of), "junk": JUNK, "nested": NESTED}.get(kind)
        run = _pick(data, self.loop.run(self.powers.runs()))
        stored = self.loop.run(self.powers.stored(run[0], run[1])) if run is not None else []
        copied = _pick(data, stored) or plain({})
        return made_checked(invented(of), copied) if kind == "copied and marked" else copied

    def _digest(self, workflow_id: str) -> str:
        """The digest of a seal, which everybody can ask for."""
        handle = next((each for each in self.handles.values() if each.workflow.id == workflow_id), None)
        status = self._honest(handle.status()) if handle is not None else None
        return (status.digest if status is not None else None) or "0" * 64

    def _count(self, deed: str) -> None:
        self.done[deed] += 1
        self.order.append(deed)

    def _must(self, holds: bool, otherwise: str) -> None:
        if not holds:
            self.broken.append(f"{otherwise}, after {self.order}")
        assert holds, otherwise

    # what must hold, read from the world

    @invariant()
    def nothing_unapproved_took_effect(self) -> None:
        for what, plan_id, step_id in list(WORLD.log):
            if what == "live" and (plan_id in self.planned or plan_id == "mallory"):
                approved = (plan_id, step_id) in self.approved
                self._must(approved, f"{plan_id}/{step_id} went live, and its seal was not approved")

    @invariant()
    def what_took_effect_is_what_was_sealed(self) -> None:
        for plan_id in self.handles:
            state = dict(WORLD.state.get(plan_id, {}))
            sent = state.pop("sent", [])
            self._must(set(sent) <= {"jo@acme.test"}, f"{plan_id} sent to {sent}")
            self._must(all(key == f"k{value}" for key, value in state.items()), f"{plan_id} put {state}")

    @invariant()
    def nothing_took_effect_twice(self) -> None:
        for key, times in effects_of_attacks().items():
            self._must(times <= 1, f"{key} took effect {times} times")
        # an attacker may say that a call in doubt did not happen, or delete what is known of it: then a person is asked
        for place in self.unrepeatable:
            times, votes = attempts_at(place), self.votes[place.partition("/")[0]]
            self._must(times <= votes, f"{place} was called {times} times, and its plan approved {votes} times")

    def teardown(self) -> None:
        """Let everything go on for a while, look again, and ask each plan that was not taken away what it has done."""
        if not hasattr(self, "stack"):
            return
        try:
            self.loop.run(self._settled())
            self.nothing_unapproved_took_effect()
            self.nothing_took_effect_twice()
            self._nothing_is_hidden()
        finally:
            self.loop.run(self.stack.aclose())

    async def _settled(self) -> None:
        """Wait until the world has stood still for two seconds."""
        WORLD.release()
        seen, still = -1, 0
        while still < 4:
            await asyncio.sleep(0.5)
            still = still + 1 if len(WORLD.log) == seen else 0
            seen = len(WORLD.log)

    def _nothing_is_hidden(self) -> None:
        for plan_id, handle in self.handles.items():
            made = {step for step in ("s0", "s1", "s2") if WORLD.effects[names.idempotency_key(plan_id, step, 0)]}
            if not made or handle.workflow.id in self.touched:
                continue
            status = self._honest(handle.status())
            if status is not None:
                told = {step.id for step in status.steps if step.status not in ("waiting", "duplicate")}
                self._must(made <= told, f"{plan_id} hides {sorted(made - told)}: {status}")
