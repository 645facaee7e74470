"""A signature is good for the one form it was made for, once; what a history keeps of it is good for nothing else."""

import json
from typing import Any

from airlock.plans.state import State
from tests.console.desk import Desk, Reader, note

At = tuple[Desk, Reader]
SIGNED = """(async (action, fields, sent) => {
  const csrf = document.querySelector('[name=csrf]').value, { get, post } = await import('/static/passkey.js');
  const told = await post('/sign', { csrf, action, ...fields });
  const own = { csrf, ticket: told.ticket, assertion: JSON.stringify(await get(told.options)), ...fields };
  const said = [];
  for (const [path, other] of sent) {
    const answer = await fetch(path, { method: 'POST', body: new URLSearchParams({ ...own, ...other }) });
    const page = new DOMParser().parseFromString(await answer.text(), 'text/html');
    said.push([...page.querySelectorAll('main > .notice:not([hidden])')].at(-1)?.textContent.trim());
  }
  return said;
})"""
NOT_THIS = "this is not the decision that was signed"


async def signed(olga: Reader, action: str, fields: dict[str, str], *sent: tuple[str, dict[str, str]]) -> list[str]:
    """Sign a decision, and return the answers to forms that are posted with that signature."""
    given = ", ".join(map(json.dumps, (action, fields, sent)))
    return list(await olga.value(f"{SIGNED}({given})"))


async def test_a_signature_of_one_form_is_refused_with_any_other(desk: At) -> None:
    made, olga = desk
    await olga.size(1024)
    plans = [await made.submit(note("a")) for _ in range(2)]
    one, other = (f"/plans/{plan.plan_id}" for plan in plans)
    digests = [str((await plan.preview()).digest) for plan in plans]
    for path in (one, other):
        await olga.go(path)
    fields = {"digest": digests[0], "reason": "read it"}
    for path, changed in (
        (f"{one}/approve", {"reason": "something else"}),
        (f"{one}/approve", {"only": "a"}),
        (f"{one}/deny", {}),
        (f"{one}/abort", {}),
        (f"{other}/approve", {"digest": digests[1]}),
    ):
        (said,) = await signed(olga, f"{one}/approve", fields, (path, changed))
        assert NOT_THIS in said, (path, changed, said)
    scope = {"reason": "a drill", "scope": "tool:none"}
    (said,) = await signed(olga, "/lock/lock", scope, ("/lock/lock", {"scope": ""}))
    assert NOT_THIS in said
    for plan in plans:
        assert (await plan.status()).approvals == ()
    first, again = await signed(olga, f"{one}/approve", fields, (f"{one}/approve", {}), (f"{one}/approve", {}))
    assert "approve accepted" in first
    assert NOT_THIS in again
    await plans[0].wait_for(State.COMPLETED)
    await plans[1].decide("abort", by="test", reason="over")


async def test_evidence_from_a_history_decides_nothing_more(desk: At) -> None:
    made, olga = desk
    known, other = await made.submit(note("a")), await made.submit(note("a"))
    fields = {"digest": str((await known.preview()).digest), "reason": "read it"}
    path = f"/plans/{known.plan_id}"
    await olga.go(path)
    await signed(olga, f"{path}/approve", fields, (f"{path}/approve", {}))
    (entry,) = [each for each in (await known.audit()).entries if each.signed is not None]
    assert entry.signed is not None
    evidence = entry.signed.evidence.model_dump(mode="json")
    digest = str((await other.preview()).digest)
    forged: dict[str, dict[str, Any]] = {
        "approve": {"digest": digest}, "deny": {}, "abort": {}, "rollback": {}, "unlock": {},
        "amend": {"remove": ["a"], "digest": digest},
    }  # fmt: skip
    for decision, more in forged.items():
        message = {"decision": decision, "by": "olga", "reason": "read it", "evidence": evidence, **more}
        verdict = await other.workflow.execute_update("decide", message)
        assert verdict["accepted"] is False, (decision, verdict)
        del message["decision"]
        await other.workflow.signal(decision, message)
    status = await other.status()
    assert (status.state, status.approvals) == (State.AWAITING_APPROVAL, ())
    await other.decide("abort", by="test", reason="over")
