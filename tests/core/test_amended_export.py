"""Amended plans in an export: which approvals counted on can be computed again from the files, and a lie is named."""

from typing import Any

from airlock.base.canonical import digest
from airlock.export.hiding import Openings, hidden_line
from airlock.export.plan_lines import PlanRecord, plan_record
from airlock.run.audit import AuditKind
from airlock.run.state import Run
from tests.core.amend_build import OTHER_C, PLAN, TWO, change
from tests.core.build import awaiting, call, live, policy, say
from tests.core.export_build import trace
from tests.core.exported_seals import checked, relinked

KEY = bytes(32)


def ended(run: Run) -> PlanRecord:
    call(run, live("a"), live("b"), live("e"))
    call(run, live("c"))
    return plan_record(trace(call(run, live("d"), after=True)))


def amended() -> PlanRecord:
    """Ann approved the first seal; bob and cem approved the amended one."""
    run = awaiting(PLAN, TWO)
    assert say(run, "approve", by="ann").accepted
    change(run, OTHER_C)
    for by in ("bob", "cem"):
        assert say(run, "approve", by=by).accepted
    return ended(run)


def test_an_amended_plan_is_verified_from_its_files() -> None:
    record = amended()
    message, report = checked(record)
    assert message is None
    assert (report.recomputed, report.notes) == (2, [])
    first, second = record.seals
    assert first.replaced is not None
    assert second.content is not None
    assert second.content["amended"] == {"by": "author", "reason": "a better idea"}
    assert [one.by for one in first.decisions] == ["ann"]
    assert [one.by for one in second.decisions] == ["bob", "cem"]


def without(record: PlanRecord, by: str) -> PlanRecord:
    """The record of a plan that one person never approved, hashed as if that had always been so."""
    gone = next(event.seq for event in record.execution.events if getattr(event, "by", "") == by)
    events = tuple(
        event.model_copy(update={"kind": AuditKind.REFUSED}) if event.seq == gone else event
        for event in record.execution.events
    )
    line = record.execution.model_copy(update={"events": events})
    seals = []
    for seal in record.seals:
        decisions = tuple(
            one.model_copy(update={"counted": False, "steps": ()}) if one.by == by else one for one in seal.decisions
        )
        by_step = tuple(
            voices.model_copy(update={"approved_by": tuple(name for name in voices.approved_by if name != by)})
            for voices in seal.by_step
        )
        seals.append(seal.model_copy(update={"decisions": decisions, "by_step": by_step}))
    results = tuple(
        one.model_copy(update={"votes": sum(one.step == voices.step for seal in seals for voices in seal.by_step
                                            for _ in voices.approved_by)})
        for one in line.result.tool_results
    )  # fmt: skip
    line = line.model_copy(update={"result": line.result.model_copy(update={"tool_results": results})})
    return relinked(record.model_copy(update={"execution": line}), *seals)


def test_a_changed_step_whose_quorum_only_an_old_approval_completes_is_found() -> None:
    message, _ = checked(without(amended(), "cem"))
    assert message == "step 'c': it was called with 1 approvals, and needs 2"


def test_an_unchanged_step_has_the_old_approval_and_needs_it() -> None:
    run = awaiting(PLAN, TWO)
    assert say(run, "approve", by="ann").accepted
    change(run, OTHER_C)
    assert say(run, "approve", by="bob").accepted
    assert say(run, "approve", by="cem").accepted
    record = ended(run)
    assert checked(without(record, "ann"))[0] is None, "bob and cem approved everything"


def test_an_old_seal_that_was_made_up_does_not_fit_the_new_one() -> None:
    record = amended()
    first, second = record.seals
    assert first.content is not None
    assert second.content is not None
    content: dict[str, Any] = {**first.content, "steps": second.content["steps"]}
    lie = first.model_copy(update={"content": content})
    assert "its digest is" in str(checked(relinked(record, lie, second))[0])
    lie = first.model_copy(update={"content": content, "digest": digest(content)})
    assert checked(relinked(record, lie, second))[0] is not None


def test_hidden_values_are_compared_once_they_are_opened() -> None:
    record, openings = amended(), Openings()
    hidden = []
    for seal in record.seals:
        line, found = hidden_line(seal, KEY)
        hidden.append(line)
        assert all(openings.add(each) for each in found)
    shut = relinked(record, *hidden)
    message, report = checked(shut)
    assert message is None
    assert any("cannot be checked: values of its steps are hidden" in note for note in report.notes)
    message, report = checked(shut, openings)
    assert (message, report.notes) == (None, [])


def test_the_approval_of_a_proposer_is_no_voice_for_the_own_step() -> None:
    run = awaiting(PLAN, policy())
    change(run, OTHER_C, by="ann", rules=policy())
    assert say(run, "approve", by="ann").accepted
    assert say(run, "approve", by="bob").accepted
    record = ended(run)
    assert checked(record) == (None, checked(record)[1])
    voices = {one.step: one.approved_by for one in record.seals[-1].by_step}
    assert voices == {"a": ("ann", "bob"), "b": ("ann", "bob"), "c": ("bob",), "d": ("bob",), "e": ("ann", "bob")}
    message, _ = checked(without(record, "bob"))
    assert message == "step 'c': it was called with 0 approvals, and needs 1"


def test_a_plan_without_an_approval_as_it_was_amended_is_found() -> None:
    run = awaiting(PLAN, TWO)
    assert say(run, "approve", by="ann").accepted
    change(run, OTHER_C)
    assert say(run, "approve", by="bob").accepted
    change(run, remove=["c", "d"])
    assert say(run, "approve", by="cem").accepted
    call(run, live("a"), live("b"))
    record = plan_record(trace(call(run, live("e"), after=True)))
    assert checked(record)[0] is None
    message, _ = checked(without(record, "cem"))
    assert message == f"seal {record.seals[-1].digest[:12]}: no approval is for the plan as it was amended"
