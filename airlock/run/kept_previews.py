"""The previews that an amendment leaves standing: those of steps that neither it nor anything before them has changed."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from airlock.base.canonical import digest
from airlock.plans.contract import Mode
from airlock.plans.outcome import Previewed, PreviewOutcome, StepPreview
from airlock.run.rehearsal import take_previews
from airlock.run.sealing.sealed import SealedStep
from airlock.run.state import Run


def keep_previews(run: Run, now: datetime) -> None:
    """Take over the previews of the amended seal that still hold, at the beginning of a DRY_RUN.

    A preview holds if its call, its contract and everything that it depends on are the same. It is made again where that is
    not all that it relies on: the states in which steps of one plan leave things for each other, an output that was read
    before the preview, another policy. None is older than a seal may get.

    Args:
        run: The plan's run, in DRY_RUN, mocked; changed in place.
        now: UTC.
    """
    since = run.previewed_since or run.sealed_at
    run.previewed_since = None
    if run.amendment is None or not run.amendment.is_alone(run.moves) or since is None or run.sealed is None:
        return
    policy = run.contracts().policy
    if run.sealed.policy_hash != run.contracts().policy_hash or now >= since + timedelta(
        seconds=policy.approval_timeout_seconds
    ):
        return
    if kept := _kept(run, {step.id: step for step in run.sealed.steps}):
        run.previewed_since = since
        take_previews(run, kept)


def _kept(run: Run, before: dict[str, SealedStep]) -> tuple[StepPreview, ...]:
    admitted, by_id = run.contracts(), {step.id: step for step in run.steps}
    wanted, kept = set(run.left(Mode.DRY_RUN)), dict[str, StepPreview]()
    for step, row in admitted.steps.items():
        old = before.get(step)
        preview = old.preview if old is not None else None
        if old is None or preview is None or step not in wanted or not kept.keys() >= set(row.parents):
            continue
        planned = by_id[step]
        is_now = [planned.agent, planned.tool, planned.args, row.parents, row.contract_hash]
        was = [old.agent, old.tool, old.args, old.after, old.contract_hash]
        if digest(is_now) == digest(was) and step not in run.leaving and not preview.follows and not preview.beside:
            kept[step] = preview
    return tuple(kept.values())


def note_leaving(run: Run, outcomes: Iterable[PreviewOutcome]) -> None:
    """Note which dry runs told later steps how their calls leave things: an amendment lets them be made again."""
    found = [each.step for each in outcomes if isinstance(each, Previewed) and each.leaves]
    run.leaving = tuple(sorted({*run.leaving, *found}))
